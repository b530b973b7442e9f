//! One pass over a `User-Agent`: which of the words that browsers, systems, machines and robots write are in it.
//!
//! A single automaton holds all words of all tables, so that a text costs the same however many rows they have. Robots
//! are found in any spelling, everything else as it is written.

use std::{ops::Range, sync::LazyLock};

use aho_corasick::{Anchored, MatchKind, automaton::Automaton, dfa::DFA};

use super::{browsers, categories, robots, url, user_agent::MAX_LENGTH};

/// Words whose place matters, for what follows them or what else has to be there.
#[rustfmt::skip]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
#[allow(missing_docs)]
pub enum Anchor {
    Android, AndroidVersion, AppleTv, AppleWebKit, Build, Chrome, Chromium, Client, Compatible, ConnectedTv, CrOs, Dalvik, Firefox, HuaweiBrowser, IeMobile, IosCpu, IosPhone,
    IPad, IPhone, IPod, IPodTouch, KaiOs, LikeMac, Linux, Macintosh, MacOsX, MicrosoftIe, Mobile, NetCast, Other,
    PlayStation, Ppc, Safari, Tizen, TizenVersion, Trident, Version, VersionOfView, WebOs, WebView, Whale,
    Windows, WindowsNt, WindowsPhone, WindowsTablet, X11,
}

use Anchor::*;

#[rustfmt::skip]
const ANCHORS: &[(&str, Anchor)] = &[
    ("Android", Android), ("Android ", AndroidVersion), ("AppleTV", AppleTv), ("Apple TV", AppleTv), ("tvOS", AppleTv), ("AppleWebKit/", AppleWebKit), (" Build/", Build),
    ("Chrome/", Chrome), ("Chromium/", Chromium), ("HTTP", Client), ("Http", Client), ("http", Client), ("Client", Client), ("client", Client), ("compatible", Compatible), ("TV", ConnectedTv), ("CrOS", CrOs), ("Dalvik/", Dalvik),
    ("Firefox/", Firefox), ("HuaweiBrowser/", HuaweiBrowser), ("CPU OS ", IosCpu), ("iPhone OS ", IosPhone), ("iPad", IPad), ("iPhone", IPhone), ("iPod", IPod), ("iPod touch", IPodTouch),
    ("KAIOS/", KaiOs), ("like Mac OS X", LikeMac), ("Linux", Linux), ("LINUX", Linux), ("Mac OS X", MacOsX), ("Macintosh", Macintosh), ("MSIE ", MicrosoftIe), ("IEMobile/", IeMobile), ("IEMobile ", IeMobile), ("Mobile", Mobile),
    ("NetCast", NetCast), ("PlayStation", PlayStation), ("PLAYSTATION", PlayStation), ("PPC", Ppc),
    ("Safari/", Safari), ("Tizen", Tizen), ("Tizen ", TizenVersion), ("Trident/", Trident), ("Version/", Version), ("Version/4.0 Chrome/", VersionOfView),
    ("Web0S", WebOs), ("webOS", WebOs), ("hpwOS", Other), ("; wv)", WebView), ("Whale/", Whale),
    ("Windows", Windows), ("Win9", Windows), ("WinNT", Windows), ("Windows NT ", WindowsNt), ("Windows Phone", WindowsPhone), ("WPDesktop", WindowsPhone), ("XBLWP7", WindowsPhone), ("ZuneWP7", WindowsPhone), ("Tablet PC", WindowsTablet), ("X11", X11),
    ("FreeBSD", Other), ("OpenBSD", Other), ("NetBSD", Other), ("SunOS", Other), ("DragonFly", Other),
    ("BlackBerry", Other), ("BB10", Other), ("PlayBook", Other), ("Symbian", Other), ("SymbOS", Other), ("Series60", Other), ("Series40", Other), ("S60", Other),
    ("Bada", Other), ("MeeGo", Other), ("Maemo", Other), ("Nintendo", Other), ("Xbox", Other), ("HarmonyOS", Other), ("OpenHarmony", Other), ("Fuchsia", Other), ("Roku", Other), ("Adr ", Other), ("Silk/", Other), ("Silk-", Other), ("OculusBrowser/", Other), ("EdgiOS/", Other), ("Mac_PowerPC", Other),
];

/// What a word means.
#[derive(Clone, Copy)]
enum Meaning {
    Anchor(Anchor),
    /// A row of [`browsers::TOKENS`].
    Browser(u8),
    App,
    /// The bit of a [`categories::Sign`].
    Sign(u8),
    /// A row of [`robots::KNOWN`].
    Robot(u16),
    RobotWord,
}

struct Words {
    automaton: DFA,
    meanings: Vec<(&'static str, Meaning)>,
}

static WORDS: LazyLock<Words> = LazyLock::new(|| {
    let mut meanings: Vec<(&'static str, Meaning)> = Vec::new();
    meanings.extend(ANCHORS.iter().map(|(word, anchor)| (*word, Meaning::Anchor(*anchor))));
    meanings.extend(browsers::TOKENS.iter().enumerate().map(|(row, (word, _))| (*word, Meaning::Browser(row as u8))));
    meanings.extend(browsers::APPS.iter().map(|word| (*word, Meaning::App)));
    for (sign, words) in categories::SIGNS {
        meanings.extend(words.iter().map(|word| (*word, Meaning::Sign(*sign as u8))));
    }
    meanings.extend(robots::KNOWN.iter().enumerate().map(|(row, (word, ..))| (*word, Meaning::Robot(row as u16))));
    meanings.extend(robots::WORDS.iter().map(|word| (*word, Meaning::RobotWord)));
    let automaton = DFA::builder()
        .match_kind(MatchKind::Standard)
        .ascii_case_insensitive(true)
        .build(meanings.iter().map(|(word, _)| word))
        .expect("some hundred words fit any automaton");
    Words { automaton, meanings }
});

/// Builds the automaton, so that no hit has to.
pub fn warm_up() {
    LazyLock::force(&WORDS);
}

/// What was found in a text.
pub struct Tokens<'t> {
    /// The text.
    pub text: &'t str,
    /// Where the first word of each anchor ends; 0 when it is not there.
    ends: [u16; X11 as usize + 1],
    /// Row of the first token in the table of browsers, and its end in the text.
    pub browser: Option<(u8, u16)>,
    /// A word of an app that shows pages inside itself.
    pub is_app: bool,
    signs: u16,
    /// First row of the table of robots.
    pub robot: Option<u16>,
    /// The first word that only programs use.
    pub robot_word: Option<Range<usize>>,
}

impl<'t> Tokens<'t> {
    /// Reads a text of at most [`MAX_LENGTH`] bytes; what is beyond is passed over.
    pub fn of(text: &'t str) -> Tokens<'t> {
        let text = url::cut(text, MAX_LENGTH);
        let mut tokens = Tokens {
            text,
            ends: [0; X11 as usize + 1],
            browser: None,
            is_app: false,
            signs: 0,
            robot: None,
            robot_word: None,
        };
        let Words { automaton, meanings } = &*WORDS;
        let Ok(mut state) = automaton.start_state(Anchored::No) else { return tokens };
        // Every word that ends here, and on: the automaton's own search for overlapping ones takes thrice as long.
        for (at, byte) in text.bytes().enumerate() {
            state = automaton.next_state(Anchored::No, state, byte);
            if automaton.is_special(state) && automaton.is_match(state) {
                for index in 0..automaton.match_len(state) {
                    let (word, meaning) = meanings[automaton.match_pattern(state, index)];
                    tokens.note(word, meaning, at + 1 - word.len()..at + 1);
                }
            }
        }
        tokens
    }

    // In line it would take the registers of the loop, which runs ten times as often.
    #[inline(never)]
    fn note(&mut self, word: &str, meaning: Meaning, at: Range<usize>) {
        let is_written = || self.text.as_bytes()[at.clone()] == *word.as_bytes();
        let end = at.end as u16;
        match meaning {
            Meaning::Robot(row) => self.robot = Some(self.robot.map_or(row, |known| known.min(row))),
            Meaning::RobotWord if self.robot_word.is_none() && !robots::is_cubot(self.text, at.end) => {
                self.robot_word = Some(at);
            }
            Meaning::RobotWord => {}
            _ if !is_written() => {}
            Meaning::Anchor(anchor) => {
                let place = &mut self.ends[anchor as usize];
                *place = if *place == 0 { end } else { *place };
            }
            Meaning::Browser(row) if self.browser.is_none_or(|(known, _)| row < known) => {
                self.browser = Some((row, end));
            }
            Meaning::Browser(_) => {}
            Meaning::App => self.is_app = true,
            Meaning::Sign(sign) => self.signs |= 1 << sign,
        }
    }

    /// Whether a word of the anchor is in the text.
    pub fn has(&self, anchor: Anchor) -> bool {
        self.ends[anchor as usize] != 0
    }

    /// Where the first word of the anchor ends in the text.
    pub fn end(&self, anchor: Anchor) -> Option<usize> {
        match self.ends[anchor as usize] {
            0 => None,
            end => Some(usize::from(end)),
        }
    }

    /// The text after the first word of the anchor.
    pub fn after(&self, anchor: Anchor) -> Option<&'t str> {
        self.text.get(self.end(anchor)?..)
    }

    /// The number that follows the anchor.
    pub fn version(&self, anchor: Anchor) -> Option<&'t str> {
        version(self.after(anchor)?)
    }

    /// Whether the text has a word of this kind.
    pub fn shows(&self, sign: categories::Sign) -> bool {
        self.signs & 1 << sign as u8 != 0
    }
}

/// Longest version kept, in bytes.
const MAX_VERSION: usize = 32;

/// Digits and dots at the beginning of a text.
pub fn version(text: &str) -> Option<&str> {
    let end = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    let version = text[..end.min(MAX_VERSION)].trim_matches('.');
    (!version.is_empty()).then_some(version)
}
