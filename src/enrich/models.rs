//! Model codes of phones and tablets.

use super::{
    tokens::{Anchor, Tokens},
    url,
};

/// Model code as the maker writes it. The web never says which iPhone it is.
pub fn name<'t>(tokens: &Tokens<'t>, system: Option<&str>) -> Option<&'t str> {
    match system? {
        "iOS" if tokens.has(Anchor::IPad) => Some("iPad"),
        // It writes `iPod` or `iPod touch`, depending on the year.
        "iOS" if tokens.has(Anchor::IPod) => Some("iPod touch"),
        "iOS" if tokens.has(Anchor::IPhone) => Some("iPhone"),
        "Android" => android_model(tokens),
        _ => None,
    }
}

/// The part of `(Linux; Android 13; SM-S911B Build/TP1A; wv)` that is neither system, nor language, nor build.
fn android_model<'t>(tokens: &Tokens<'t>) -> Option<&'t str> {
    let begin = tokens.end(Anchor::Android)?;
    let comment = &tokens.text[begin..];
    let comment = &comment[..closing(comment)];
    let build = tokens.end(Anchor::Build).and_then(|end| end.checked_sub(" Build/".len() + begin));
    let mut at = 0;
    for whole in comment.split(';') {
        // The first part is the version of the system.
        let is_first = at == 0;
        let length = build.and_then(|build| build.checked_sub(at)).map_or(whole.len(), |build| build.min(whole.len()));
        at += whole.len() + 1;
        let part = whole[..length].trim();
        let part = part.strip_prefix("Build/").map_or(part, |_| "");
        let part = part.trim_start_matches("arm_64").trim();
        if is_first || part.is_empty() || is_noise(part) {
            continue;
        }
        // Some browsers put the maker before the code.
        let code = ["SAMSUNG ", "HUAWEI ", "Huawei "].into_iter().find_map(|maker| part.strip_prefix(maker));
        return Some(url::cut(code.unwrap_or(part), 64));
    }
    None
}

/// Where the comment ends: at the parenthesis that was opened before it, not at one of its own.
fn closing(comment: &str) -> usize {
    let mut depth = 0;
    for (at, byte) in comment.bytes().enumerate() {
        match byte {
            b'(' => depth += 1,
            b')' if depth == 0 => return at,
            b')' => depth -= 1,
            _ => {}
        }
    }
    comment.len()
}

fn is_noise(part: &str) -> bool {
    // `K` stands for every model in browsers that froze their text.
    const WORDS: &[&str] = &[
        "K",
        "U",
        "wv",
        "Mobile",
        "Tablet",
        "TV",
        "Linux",
        "arm",
        "arm_64",
        "x86",
        "x86_64",
        "HarmonyOS",
        "HMSCore",
        "unknown",
    ];
    const LONGEST: usize = "HarmonyOS".len();
    let is_language = || {
        let bytes = part.as_bytes();
        let letters = |range: &[u8]| range.iter().all(u8::is_ascii_alphabetic);
        (bytes.len() == 2 && part.bytes().all(|b| b.is_ascii_lowercase()))
            || (bytes.len() == 5
                && matches!(bytes[2], b'-' | b'_')
                && letters(&bytes[..2])
                && letters(&bytes[3..])
                && bytes[0].is_ascii_lowercase())
    };
    part.len() <= LONGEST && WORDS.contains(&part)
        || part.starts_with("rv:")
        || part.starts_with("HMSCore")
        || part.starts_with("Android ")
        || part.starts_with("API ")
        || part.starts_with("Opera ")
        || part.contains(':') && part.contains("://")
        || is_language()
}
