//! What the page's script read off its browser: field `client_hints`, the same hints under the names that Google's tag
//! gives them, and the scalars beside.
//!
//! The object is understood as `getHighEntropyValues()` returns it, so that a page can pass it on, and in the house's
//! spelling. What cannot be read is left out with a remark: nobody should lose an event over a hint.

use std::{borrow::Cow, fmt};

use percent_encoding::percent_decode_str;
use serde::de::{DeserializeSeed, Deserializer, MapAccess, SeqAccess, Visitor};

use super::{Context, Key, Scalar, Skip, scalar::every_scalar};
use crate::collect::{Claim, RemarkKind};

/// Longest list of brands believed, in bytes as its header writes it; browsers send three or four brands.
const MAX_LIST: usize = 512;
/// Members of a list looked at.
const MAX_MEMBERS: usize = 16;
/// Longest other text believed, in bytes.
const MAX_TEXT: usize = 128;

impl<'t> Claim<'t> {
    /// Reads the members of `client_hints`; `context` is the one inside.
    pub(super) fn read_hints<A: MapAccess<'t>>(&mut self, context: Context<'_>, map: &mut A) -> Result<(), A::Error> {
        while let Some(key) = map.next_key_seed(Key)? {
            let browser = self.browser.get_or_insert_default();
            let (list, of) = match &*key {
                "brands" => (&mut browser.brands, Member::Brand),
                "fullVersionList" | "full_version_list" => (&mut browser.full_version_list, Member::Brand),
                "formFactors" | "form_factors" => (&mut browser.form_factors, Member::Text),
                _ => {
                    let value = map.next_value_seed(context)?;
                    self.take_hint(&key, value);
                    continue;
                }
            };
            match map.next_value_seed(ListSeed { context, of })? {
                Some(text) => *list = text.into(),
                None => self.unreadable(&key),
            }
        }
        Ok(())
    }

    /// Takes over a scalar that tells of the browser: a field beside `client_hints`, or a hint by Google's name.
    pub(super) fn take_of_browser(&mut self, field: &str, value: Scalar<'t>) {
        let browser = self.browser.get_or_insert_default();
        let read = match field {
            "max_touch_points" => value.int().map(|points| browser.max_touch_points = points).is_ok(),
            "webdriver" => flag(&value).map(|flag| browser.webdriver = flag).is_some(),
            "language" => text(value).map(|text| browser.language = text).is_some(),
            _ => return self.take_hint(field, value),
        };
        if !read {
            self.unreadable(field);
        }
    }

    /// Takes over a hint that is no list.
    fn take_hint(&mut self, member: &str, value: Scalar<'t>) {
        let browser = self.browser.get_or_insert_default();
        let slot = match member {
            "model" | "uam" => &mut browser.model,
            "platform" | "uap" => &mut browser.platform,
            "platformVersion" | "platform_version" | "uapv" => &mut browser.platform_version,
            "uafvl" => {
                let Scalar::Text(list) = value else { return self.unreadable(member) };
                browser.full_version_list = from_wire(&list).into();
                return;
            }
            "mobile" | "uamb" => match flag(&value) {
                Some(flag) => return browser.mobile = flag,
                None => return self.unreadable(member),
            },
            // No column depends on them.
            "architecture" | "uaa" | "bitness" | "uab" | "wow64" | "uaw" | "uaFullVersion" | "ua_full_version" => {
                return;
            }
            _ => {
                self.unknown("client_hints", member);
                return;
            }
        };
        match text(value) {
            Some(text) => *slot = text,
            None => self.unreadable(member),
        }
    }

    fn unreadable(&mut self, hint: &str) {
        self.log.remark(RemarkKind::HintUnreadable, hint, hint);
    }
}

/// Empty for null; `None` when it is no text, or longer than any of these.
fn text(value: Scalar<'_>) -> Option<Cow<'_, str>> {
    match value {
        Scalar::Text(text) if text.len() <= MAX_TEXT => Some(text),
        Scalar::Null => Some(Cow::Borrowed("")),
        _ => None,
    }
}

/// As scripts, headers and Google's tag write it.
fn flag(value: &Scalar<'_>) -> Option<Option<bool>> {
    Some(match value {
        Scalar::Null => None,
        Scalar::Bool(flag) => Some(*flag),
        Scalar::Int(1) => Some(true),
        Scalar::Int(0) => Some(false),
        Scalar::Text(text) if matches!(&**text, "1" | "?1" | "true") => Some(true),
        Scalar::Text(text) if matches!(&**text, "0" | "?0" | "false") => Some(false),
        _ => return None,
    })
}

/// The list that Google's tag writes as `Google%20Chrome;126.0.6478.127|Chromium;126.0.6478.127`.
fn from_wire(text: &str) -> String {
    let mut list = List::default();
    for member in text.split('|').take(MAX_MEMBERS).filter(|member| member.len() <= MAX_LIST) {
        let member = percent_decode_str(member).decode_utf8_lossy();
        let (brand, version) = member.rsplit_once(';').unwrap_or((&member, ""));
        list.push(brand, version);
    }
    list.0
}

/// A list on its way into the form of its header, without what would make it too long.
#[derive(Default)]
struct List(String);

impl List {
    fn push(&mut self, name: &str, version: &str) {
        let List(out) = self;
        let longest = name.len() + version.len() + r#", "";v="""#.len();
        if name.is_empty() || out.len() + longest > MAX_LIST {
            return;
        }
        let plain = |text: &str, out: &mut String| out.extend(text.chars().filter(|c| !matches!(c, '"' | '\\')));
        out.push_str(if out.is_empty() { "\"" } else { ", \"" });
        plain(name, out);
        out.push('"');
        if !version.is_empty() {
            out.push_str(";v=\"");
            plain(version, out);
            out.push('"');
        }
    }
}

/// What a list consists of.
#[derive(Clone, Copy)]
enum Member {
    /// `{"brand": "Chromium", "version": "126"}`.
    Brand,
    /// `"Tablet"`.
    Text,
}

/// Reads a list as its header would write it; `None` when it is none.
struct ListSeed<'r> {
    context: Context<'r>,
    of: Member,
}

impl<'de> DeserializeSeed<'de> for ListSeed<'_> {
    type Value = Option<String>;
    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Option<String>, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for ListSeed<'_> {
    type Value = Option<String>;
    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list")
    }
    fn visit_unit<R>(self) -> Result<Option<String>, R> {
        Ok(Some(String::new()))
    }
    every_scalar!(Option<String>, |self| None);
    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Option<String>, A::Error> {
        Skip(self.context).visit_map(map)?;
        Ok(None)
    }
    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Option<String>, A::Error> {
        let context = self.context.enter()?;
        let mut list = List::default();
        for _ in 0..MAX_MEMBERS {
            match self.of {
                Member::Brand => {
                    let Some(member) = seq.next_element_seed(BrandSeed(context))? else { return Ok(Some(list.0)) };
                    list.push(&member.name, &member.version);
                }
                Member::Text => {
                    let Some(member) = seq.next_element_seed(context)? else { return Ok(Some(list.0)) };
                    list.push(&text(member).unwrap_or_default(), "");
                }
            }
        }
        while seq.next_element_seed(Skip(context))?.is_some() {}
        Ok(Some(list.0))
    }
}

/// One brand; empty when it is none.
#[derive(Default)]
struct Brand<'t> {
    name: Cow<'t, str>,
    version: Cow<'t, str>,
}

/// Reads a [`Brand`].
struct BrandSeed<'r>(Context<'r>);

impl<'de> DeserializeSeed<'de> for BrandSeed<'_> {
    type Value = Brand<'de>;
    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Brand<'de>, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for BrandSeed<'_> {
    type Value = Brand<'de>;
    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a brand")
    }
    fn visit_unit<R>(self) -> Result<Brand<'de>, R> {
        Ok(Brand::default())
    }
    every_scalar!(Brand<'de>, |self| Brand::default());
    fn visit_seq<A: SeqAccess<'de>>(self, seq: A) -> Result<Brand<'de>, A::Error> {
        Skip(self.0).visit_seq(seq)?;
        Ok(Brand::default())
    }
    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Brand<'de>, A::Error> {
        let context = self.0.enter()?;
        let mut brand = Brand::default();
        while let Some(key) = map.next_key_seed(Key)? {
            let text = text(map.next_value_seed(context)?).unwrap_or_default();
            match &*key {
                "brand" => brand.name = text,
                "version" => brand.version = text,
                _ => {}
            }
        }
        Ok(brand)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use crate::collect::{Browser, Caller, Claim, LimitsConfig, read, read_text};

    fn claim(fields: &str) -> Claim<'static> {
        let body = format!(r#"{{"event_name":"a",{fields}}}"#);
        let text = read_text(body.as_bytes());
        let claims = read(&text, false, Caller::Ordinary, &LimitsConfig::default().resolve()).unwrap();
        claims.list.into_iter().next().unwrap().into_owned()
    }

    fn told(fields: &str) -> Browser<'static> {
        let claim = claim(fields);
        assert_eq!(claim.log.notes(), [] as [&str; 0], "{fields}");
        assert!(claim.log.violations.is_empty(), "{:?}", claim.log.violations);
        *claim.browser.unwrap()
    }

    #[test]
    fn the_browsers_own_object_is_understood() {
        let browser = told(
            r#""client_hints":{"architecture":"x86","bitness":"64","brands":[{"brand":"Chromium","version":"126"},
            {"brand":"Not/A)Brand","version":"8"}],"fullVersionList":[{"brand":"Chromium","version":"126.0.6478.127"}],
            "formFactors":["Desktop","XR"],"mobile":false,"model":"","platform":"Windows","platformVersion":"15.0.0",
            "uaFullVersion":"126.0.6478.127","wow64":false},"max_touch_points":10,"webdriver":false,"language":"de-CH""#,
        );
        let expected = Browser {
            brands: r#""Chromium";v="126", "Not/A)Brand";v="8""#.into(),
            full_version_list: r#""Chromium";v="126.0.6478.127""#.into(),
            form_factors: r#""Desktop", "XR""#.into(),
            model: "".into(),
            platform: "Windows".into(),
            platform_version: "15.0.0".into(),
            mobile: Some(false),
            max_touch_points: Some(10),
            webdriver: Some(false),
            language: "de-CH".into(),
        };
        assert_eq!(browser, expected);
        let ours = told(
            r#""client_hints":{"full_version_list":[{"brand":"Chromium","version":"126.0.6478.127"}],"mobile":null,
            "form_factors":null,"platform_version":"15.0.0"}"#,
        );
        assert_eq!((ours.full_version_list, ours.platform_version), (expected.full_version_list, "15.0.0".into()));
    }

    #[test]
    fn googles_names_are_understood() {
        let browser = told(
            r#""uaa":"arm","uab":"64","uaw":0,"uam":"Pixel 8","uamb":1,"uap":"Android","uapv":"14.0.0",
            "uafvl":"Google%20Chrome;126.0.6478.127|Not%2FA)Brand;8.0.0.0|Chromium;126.0.6478.127""#,
        );
        let list = r#""Google Chrome";v="126.0.6478.127", "Not/A)Brand";v="8.0.0.0", "Chromium";v="126.0.6478.127""#;
        assert_eq!(browser.full_version_list, list);
        assert_eq!((&*browser.model, &*browser.platform, &*browser.platform_version), ("Pixel 8", "Android", "14.0.0"));
        assert_eq!(browser.mobile, Some(true));
    }

    #[test]
    fn what_cannot_be_read_is_left_out_and_harms_nothing_else() {
        let long = "x".repeat(1_000);
        for (fields, note) in [
            (r#""client_hints":{"platform":"Linux","brands":"x"}"#, "hint_unreadable:brands"),
            (r#""client_hints":{"platform":"Linux","model":7}"#, "hint_unreadable:model"),
            (r#""client_hints":{"platform":"Linux","mobile":"maybe"}"#, "hint_unreadable:mobile"),
            (r#""client_hints":{"platform":"Linux","formFactors":{}}"#, "hint_unreadable:formFactors"),
            (r#""client_hints":{"platform":"Linux","colour":[]}"#, "unknown_fields:1"),
            (&format!(r#""client_hints":{{"platform":"Linux","model":"{long}"}}"#), "hint_unreadable:model"),
            (r#""uap":"Linux","uafvl":[]"#, "hint_unreadable:uafvl"),
            (r#""uap":"Linux","max_touch_points":"many""#, "hint_unreadable:max_touch_points"),
            (r#""uap":"Linux","webdriver":{}"#, "hint_unreadable:webdriver"),
            (&format!(r#""uap":"Linux","language":"{long}""#), "hint_unreadable:language"),
        ] {
            let claim = claim(fields);
            assert_eq!(claim.log.notes(), [note], "{fields}");
            assert!(claim.log.violations.is_empty(), "{fields}");
            assert_eq!(claim.browser.unwrap().platform, "Linux", "{fields}");
        }
        assert_eq!(claim(r#""client_hints":[]"#).log.violations[0].path, "client_hints");
    }

    #[test]
    fn lists_are_bounded_whatever_their_length() {
        let member = r#"{"brand":"Chromium\"","version":"126"},7,[],{"brand":{},"version":null}"#;
        let list = told(&format!(r#""client_hints":{{"brands":[{}]}}"#, [member; 10_000].join(","))).brands;
        assert_eq!(list.matches(r#""Chromium";v="126""#).count(), super::MAX_MEMBERS / 4);
        let long = format!(r#"{{"brand":"{}","version":"1"}}"#, "x".repeat(100));
        let list = told(&format!(r#""client_hints":{{"brands":[{}]}}"#, [&*long; 16].join(","))).brands;
        assert!(list.len() <= super::MAX_LIST && list.len() > super::MAX_LIST / 2, "{}", list.len());
        let wire = told(&format!(r#""uafvl":"{}""#, ["Chromium;126"; 10_000].join("|"))).full_version_list;
        assert_eq!(wire.matches("Chromium").count(), super::MAX_MEMBERS);
        let endless = told(&format!(r#""uafvl":"{}""#, "%22".repeat(100_000))).full_version_list;
        assert_eq!(endless, "");
    }

    #[test]
    fn fields_beside_the_events_fill_the_gaps() {
        let body = r#"{"events":[{"name":"a","uap":"Linux"},{"name":"b"}],"uap":"Windows","webdriver":true}"#;
        let text = read_text(body.as_bytes());
        let claims = read(&text, false, Caller::Ordinary, &LimitsConfig::default().resolve()).unwrap();
        let told: Vec<_> = claims.list.iter().map(|claim| claim.browser.as_deref().unwrap()).collect();
        assert_eq!((&*told[0].platform, told[0].webdriver), ("Linux", Some(true)));
        assert_eq!((&*told[1].platform, told[1].webdriver), ("Windows", Some(true)));
    }
}
