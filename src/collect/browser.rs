//! What a script in the page read off its browser: user agent client hints, and what the `User-Agent` never says.
//!
//! As untrusted as the rest of a claim. Which of it counts beside the headers is for enrichment to judge.

use std::borrow::Cow;

/// Told by one event; whatever is absent or empty was not.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Browser<'t> {
    /// Brands with major versions, as `Sec-CH-UA` writes them: `"Chromium";v="126", "Google Chrome";v="126"`.
    pub brands: Cow<'t, str>,
    /// The same with full versions.
    pub full_version_list: Cow<'t, str>,
    /// What the machine is shaped like, as `Sec-CH-UA-Form-Factors` writes it: `"Tablet"`.
    pub form_factors: Cow<'t, str>,
    /// `Pixel 8 Pro`.
    pub model: Cow<'t, str>,
    /// `Windows`.
    pub platform: Cow<'t, str>,
    /// `15.0.0`.
    pub platform_version: Cow<'t, str>,
    /// Whether pages should be those for phones.
    pub mobile: Option<bool>,
    /// `navigator.maxTouchPoints`: fingers that are told apart.
    pub max_touch_points: Option<i64>,
    /// `navigator.webdriver`: a program steers the browser.
    pub webdriver: Option<bool>,
    /// `navigator.language`.
    pub language: Cow<'t, str>,
}

impl<'t> Browser<'t> {
    /// Fills what is missing here.
    pub(super) fn default_to(&mut self, common: &Browser<'t>) {
        for (own, common) in self.texts_mut().into_iter().zip(common.texts()) {
            if own.is_empty() {
                own.clone_from(common);
            }
        }
        self.mobile = self.mobile.or(common.mobile);
        self.max_touch_points = self.max_touch_points.or(common.max_touch_points);
        self.webdriver = self.webdriver.or(common.webdriver);
    }

    /// The same, borrowing nothing.
    pub fn into_owned(self) -> Browser<'static> {
        fn own(text: Cow<'_, str>) -> Cow<'static, str> {
            Cow::Owned(text.into_owned())
        }
        Browser {
            brands: own(self.brands),
            full_version_list: own(self.full_version_list),
            form_factors: own(self.form_factors),
            model: own(self.model),
            platform: own(self.platform),
            platform_version: own(self.platform_version),
            mobile: self.mobile,
            max_touch_points: self.max_touch_points,
            webdriver: self.webdriver,
            language: own(self.language),
        }
    }

    /// Bytes of the texts.
    pub(super) fn weight(&self) -> usize {
        self.texts().iter().map(|text| text.len()).sum()
    }

    fn texts(&self) -> [&Cow<'t, str>; 7] {
        [
            &self.brands,
            &self.full_version_list,
            &self.form_factors,
            &self.model,
            &self.platform,
            &self.platform_version,
            &self.language,
        ]
    }

    fn texts_mut(&mut self) -> [&mut Cow<'t, str>; 7] {
        [
            &mut self.brands,
            &mut self.full_version_list,
            &mut self.form_factors,
            &mut self.model,
            &mut self.platform,
            &mut self.platform_version,
            &mut self.language,
        ]
    }
}
