//! `real-streaming explain --user-agents`: what is made of user agents, one answer for each line, for machines to compare.

use http::{HeaderMap, HeaderName, HeaderValue, header};
use serde::{Deserialize, Serialize};

use super::enriched;
use crate::{enrich::Enricher, schema::Event};

/// A line of the input; whatever else it has is passed over.
#[derive(Deserialize)]
struct Line {
    ua: String,
    #[serde(default)]
    headers: std::collections::HashMap<String, String>,
}

/// What is made of it. Columns as in a row, except that the version stands without the name of the system.
#[derive(Debug, PartialEq, Serialize)]
pub struct Answer {
    browser: Option<String>,
    browser_version: Option<String>,
    os: Option<String>,
    os_version: Option<String>,
    category: Option<String>,
    brand: Option<String>,
    model: Option<String>,
    marketing_name: Option<String>,
    bot: bool,
    bot_name: Option<String>,
    bot_category: Option<String>,
}

/// What is made of one line.
pub fn answer(line: &[u8], steps: &[Box<dyn Enricher>]) -> Result<Answer, String> {
    let line: Line = serde_json::from_slice(line).map_err(|error| error.to_string())?;
    let mut headers = HeaderMap::with_capacity(line.headers.len() + 1);
    for (name, value) in &line.headers {
        // What could not have come as a header is not there.
        if let (Ok(name), Ok(value)) = (HeaderName::try_from(name), HeaderValue::try_from(value)) {
            headers.append(name, value);
        }
    }
    if let Ok(value) = HeaderValue::from_bytes(line.ua.as_bytes()) {
        headers.insert(header::USER_AGENT, value);
    }
    Ok(ask(&headers, steps))
}

fn ask(headers: &HeaderMap, steps: &[Box<dyn Enricher>]) -> Answer {
    let event = enriched(Event::default(), headers, steps);
    let device = event.device.unwrap_or_default();
    let web = device.web_info.unwrap_or_default();
    let info = event.rs_info.unwrap_or_default();
    let own = |text: Option<std::borrow::Cow<'_, str>>| text.map(std::borrow::Cow::into_owned);
    let os = own(device.operating_system);
    let os_version = own(device.operating_system_version).and_then(|version| without_name(&version, os.as_deref()?));
    Answer {
        browser: own(web.browser),
        browser_version: own(web.browser_version),
        os_version,
        os,
        category: own(device.category),
        brand: own(device.mobile_brand_name),
        model: own(device.mobile_model_name),
        marketing_name: own(device.mobile_marketing_name),
        bot: info.is_bot == Some(true),
        bot_name: own(info.bot_name),
        bot_category: own(info.bot_category),
    }
}

/// `13` of `Android 13`, `10.15` of `Macintosh Intel 10.15`; nothing of a name alone.
fn without_name(version: &str, name: &str) -> Option<String> {
    let number = version.strip_prefix(name)?.trim_start();
    let number = number.strip_prefix("Intel").or(number.strip_prefix("PPC")).unwrap_or(number).trim_start();
    (!number.is_empty()).then(|| number.to_owned())
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn versions_stand_without_the_system() {
        for (version, name, number) in [
            ("Android 13", "Android", Some("13")),
            ("Macintosh Intel 10.15", "Macintosh", Some("10.15")),
            ("Macintosh PPC 10.5", "Macintosh", Some("10.5")),
            ("Linux", "Linux", None),
            ("Windows XP", "Windows", Some("XP")),
        ] {
            assert_eq!(without_name(version, name).as_deref(), number, "{version}");
        }
    }
}
