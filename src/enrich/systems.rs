//! Operating systems in GA4's vocabulary, and their versions.

use std::borrow::Cow;

use super::tokens::{Anchor, Tokens, version};

/// A system: GA4's name, and the version without it.
pub type System<'t> = (&'static str, Option<Cow<'t, str>>);

/// What the words of a text say for certain; nothing about the rarer systems, which [`super::patterns`] knows.
pub fn of_tokens<'t>(tokens: &Tokens<'t>) -> Option<System<'t>> {
    let has = |anchor| tokens.has(anchor);
    if has(Anchor::WindowsPhone) || has(Anchor::AppleTv) {
        return None;
    }
    let is_handheld = has(Anchor::IPhone) || has(Anchor::IPad) || has(Anchor::IPod);
    if has(Anchor::LikeMac) && is_handheld {
        let numbers = tokens.after(Anchor::IosPhone).or_else(|| tokens.after(Anchor::IosCpu))?;
        return Some(("iOS", Some(thawed(tokens, underscored(numbers)?))));
    }
    // Fire OS, HarmonyOS and their like write the Android they are compatible with; GA4 goes by that.
    if has(Anchor::Android) {
        return Some(("Android", Some(tokens.version(Anchor::AndroidVersion)?.into())));
    }
    if let Some(after) = tokens.after(Anchor::WindowsNt) {
        return Some(("Windows", Some(windows_release(after)?.into())));
    }
    if has(Anchor::Macintosh) && has(Anchor::MacOsX) && !is_handheld && !has(Anchor::Other) {
        let numbers = tokens.after(Anchor::MacOsX).map(str::trim_start).and_then(underscored);
        return Some(("Macintosh", Some(macintosh(tokens, numbers.as_deref()).into())));
    }
    if let Some(after) = tokens.after(Anchor::CrOs) {
        let numbers = after.trim_start().split_once(' ').and_then(|(_, after)| version(after))?;
        return Some(("Chrome OS", Some(numbers.into())));
    }
    if let Some(numbers) = tokens.version(Anchor::TizenVersion) {
        return Some(("Tizen", Some(numbers.into())));
    }
    let is_other = [
        Anchor::Windows,
        Anchor::MacOsX,
        Anchor::Macintosh,
        Anchor::KaiOs,
        Anchor::PlayStation,
        Anchor::WebOs,
        Anchor::Tizen,
        Anchor::NetCast,
        Anchor::Other,
    ];
    let is_linux = (has(Anchor::Linux) || has(Anchor::X11)) && !is_handheld && !is_other.into_iter().any(has);
    is_linux.then_some(("Linux", None))
}

/// GA4's name and version of a system that uap-core calls `family`; empty, it is guessed from the words.
pub fn of_family<'t>(tokens: &Tokens<'t>, family: &str, version: Option<Cow<'t, str>>) -> Option<System<'t>> {
    let has = |anchor| tokens.has(anchor);
    let name = match family {
        "Windows" => "Windows",
        "Mac OS X" | "Mac OS" => return Some(("Macintosh", Some(macintosh(tokens, version.as_deref()).into()))),
        // iPods and iPads too: GA4 has no system of their own for them.
        "iOS" | "iPadOS" => "iOS",
        "tvOS" | "ATV OS X" => "tvOS",
        _ if has(Anchor::Android) && !has(Anchor::WindowsPhone) => {
            let own = tokens.version(Anchor::AndroidVersion).map(Cow::Borrowed);
            return Some(("Android", own.or(version.filter(|_| family == "Android"))));
        }
        "Android" => "Android",
        "HarmonyOS" | "FireOS" | "Fire OS" => return Some(("Android", None)),
        "Chrome OS" => "Chrome OS",
        "Chromecast" | "Google TV" => "Android",
        "Windows Phone" | "Windows Mobile" => "Windows Phone",
        "BlackBerry OS" | "BlackBerry Tablet OS" => "BlackBerry",
        "Symbian OS" | "Symbian^3" | "Symbian^3 Anna" | "Symbian^3 Belle" => "Symbian OS",
        "Tizen" => "Tizen",
        "webOS" | "web0S" => "webOS",
        "KaiOS" => "KaiOS",
        "Firefox OS" => "Firefox OS",
        "Bada" => "Bada",
        "FreeBSD" => "FreeBSD",
        "OpenBSD" => "OpenBSD",
        "NetBSD" => "NetBSD",
        "Solaris" => "SunOS",
        _ if has(Anchor::CrOs) => "Chrome OS",
        _ if has(Anchor::PlayStation) => "PlayStation",
        _ if tokens.text.contains("Nintendo") => "Nintendo",
        _ if has(Anchor::WebOs) => "webOS",
        _ if has(Anchor::Tizen) => "Tizen",
        _ if has(Anchor::AppleTv) => "tvOS",
        _ if has(Anchor::IPhone) || has(Anchor::IPad) || has(Anchor::IPod) => "iOS",
        _ if has(Anchor::Windows) => "Windows",
        // Distributions.
        _ if has(Anchor::Linux) || has(Anchor::X11) => return Some(("Linux", None)),
        _ => return None,
    };
    // No browser writes `NT 11.0`; those who wish they were on Windows 11 do.
    let is_11 = version.as_deref() == Some("NT") && tokens.text.contains("Windows NT 11");
    Some((name, if is_11 { Some("11".into()) } else { version }))
}

/// Since iOS 26 Safari's text says 18 for the system, whatever it is; Safari's own version is the system's.
fn thawed<'t>(tokens: &Tokens<'t>, written: Cow<'t, str>) -> Cow<'t, str> {
    let major = |version: &str| version.split('.').next().and_then(|major| major.parse::<u32>().ok());
    match tokens.version(Anchor::Version) {
        Some(own) if major(&written) == Some(18) && major(own).is_some_and(|major| major >= 26) => own.into(),
        _ => written,
    }
}

/// The name that people know a kernel by.
fn windows_release(after: &str) -> Option<&'static str> {
    let release = match version(after)? {
        "10.0" => "10",
        "11.0" => "11",
        "6.1" => "7",
        "6.0" => "Vista",
        "5.1" | "5.2" => "XP",
        "5.0" => "2000",
        // Tablets of these two are called RT.
        "6.2" if !after.contains("ARM;") => "8",
        "6.3" if !after.contains("ARM;") => "8.1",
        _ => return None,
    };
    Some(release)
}

/// GA4 writes the processor of the text and two numbers: `Intel 10.15`. Browsers froze both years ago.
fn macintosh(tokens: &Tokens<'_>, version: Option<&str>) -> String {
    let processor = if tokens.has(Anchor::Ppc) { "PPC" } else { "Intel" };
    match version {
        Some(version) => [processor, " ", major_minor(version)].concat(),
        None => processor.to_owned(),
    }
}

/// The first two numbers of a version.
pub fn major_minor(version: &str) -> &str {
    let end = version.match_indices('.').nth(1).map_or(version.len(), |(at, _)| at);
    &version[..end]
}

/// `16_4_1` at the beginning of a text is `16.4.1`. Longer ones are cut to 16 bytes.
fn underscored(text: &str) -> Option<Cow<'_, str>> {
    let is_part = |b: u8| b.is_ascii_digit() || matches!(b, b'_' | b'.');
    let end = text.bytes().take(16).position(|b| !is_part(b)).unwrap_or(text.len().min(16));
    let numbers = text[..end].trim_matches(['_', '.']);
    match numbers {
        "" => None,
        _ if numbers.contains('_') => Some(numbers.replace('_', ".").into()),
        _ => Some(numbers.into()),
    }
}
