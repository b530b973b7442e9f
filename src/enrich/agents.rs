//! Remembered answers: user agents repeat, and reading one is slow.
//!
//! The key is the whole text with all hints, compared in full, so that no two visitors can be mixed up. The number of
//! answers is bounded, and so is the length of each. An answer is what goes into rows: encoded columns.

use std::{
    borrow::Cow,
    hash::{Hash, Hasher},
    sync::Arc,
};

use prost::Message;
use quick_cache::{Equivalent, sync::Cache};

use super::{
    budget::Budget,
    client_hints::{Hints, KeptHints, NAMES},
    patterns,
    robots::Robot,
    tokens, url,
    user_agent::{Agent, MAX_LENGTH, Reading},
};
use crate::{
    collect::Hit,
    schema::{
        Encode,
        proto::event::{Device, WebInfo},
        reference,
    },
};

/// What one kind of client is.
#[derive(Debug)]
pub struct Known {
    /// Columns of `device` that depend on nothing but the client, encoded, without `web_info`.
    pub device: Arc<[u8]>,
    /// The same of `device.web_info`.
    pub web_info: Arc<[u8]>,
    /// Who it is, when it is a robot.
    pub robot: Option<Robot>,
}

impl Known {
    /// The columns of `device` one by one.
    pub fn record(&self) -> Device<'static> {
        let read = |bytes: &[u8]| reference::event::Device::decode(bytes).map(Device::from).unwrap_or_default();
        let web_info = reference::event::WebInfo::decode(&*self.web_info).map(WebInfo::from).ok();
        Device { web_info, ..read(&self.device) }
    }
}

/// The cache.
pub struct Agents {
    answers: Cache<Key, Arc<Known>>,
    /// For what takes long.
    budget: Budget,
}

impl Agents {
    /// A cache of at most `capacity` answers, which asks the patterns at most `cold_parses` times a second. Starts
    /// compiling them.
    pub fn new(capacity: usize, cold_parses: u32) -> Agents {
        tokens::warm_up();
        patterns::warm_up();
        Agents { answers: Cache::new(capacity), budget: Budget::new(cold_parses) }
    }

    /// What the client is that sent this `User-Agent` among these headers. Beyond the budget what our own words tell
    /// has to do; that is not remembered.
    pub fn of(&self, text: &str, hit: &Hit<'_>) -> Arc<Known> {
        let question = Question { text, hints: Hints::read(text, hit.headers) };
        if let Some(answer) = self.answers.get(&question) {
            return answer;
        }
        let mut reading = Reading::of(text);
        let is_open = reading.is_open();
        let may_ask = is_open && self.budget.take(hit.received_at);
        if may_ask {
            reading.ask_patterns();
        }
        let answer = Arc::new(question.answer(reading));
        if may_ask || !is_open {
            self.answers.insert(Key { text: text.into(), hints: (&question.hints).into() }, answer.clone());
        }
        answer
    }
}

/// The `User-Agent` of a hit, cut to what is looked at.
pub fn user_agent<'a>(hit: &Hit<'a>) -> Option<&'a str> {
    let text = hit.header("user-agent")?.trim_ascii();
    (!text.is_empty()).then(|| url::cut(text, MAX_LENGTH))
}

/// What each tier of reading makes of a client, without the memory and without the budget: for explanations.
pub struct Tiers<'a> {
    /// Our own words.
    pub words: Known,
    /// The patterns on top.
    pub patterns: Known,
    question: Question<'a>,
}

impl<'a> Tiers<'a> {
    /// Reads the text anew for each.
    pub fn of(text: &'a str, hit: &'a Hit<'_>) -> Tiers<'a> {
        let question = Question { text, hints: Hints::read(text, hit.headers) };
        let plain = Question { text, hints: Hints::default() };
        Tiers { words: plain.answer(Reading::of(text)), patterns: plain.answer(full(text)), question }
    }

    /// The hints on top of both.
    pub fn hinted(&self) -> Known {
        self.question.answer(full(self.question.text))
    }

    /// Names of the hints that something in the last answer hangs on: without one of them it `differs`. Where none
    /// alone makes the difference, those that say the same by themselves.
    pub fn hints_behind(&self, differs: impl Fn(&Known) -> bool) -> Vec<&'static str> {
        let Question { text, hints } = self.question;
        let answer = |hints| Question { text, hints }.answer(full(text));
        let sent = || NAMES.into_iter().filter(|name| hints.without(name) != hints);
        let needed: Vec<_> = sent().filter(|name| differs(&answer(hints.without(name)))).collect();
        let alone = |name: &&str| {
            !differs(&answer(sent().filter(|other| other != name).fold(hints, |left, other| left.without(other))))
        };
        if needed.is_empty() { sent().filter(alone).collect() } else { needed }
    }
}

/// All that can be read of a text.
fn full(text: &str) -> Reading<'_> {
    let mut reading = Reading::of(text);
    if reading.is_open() {
        reading.ask_patterns();
    }
    reading
}

#[derive(Clone, Copy, Hash)]
struct Question<'a> {
    text: &'a str,
    hints: Hints<'a>,
}

impl<'a> Question<'a> {
    fn answer(&self, reading: Reading<'a>) -> Known {
        let mut agent = reading.agent();
        self.hints.refine(&mut agent);
        let robot = agent.robot.take();
        let mut device = device(agent);
        let web_info = device.web_info.take().unwrap_or_default();
        Known { device: device.encode_to_vec().into(), web_info: web_info.encode_to_vec().into(), robot }
    }
}

/// Hashes like the [`Question`] it answers.
struct Key {
    text: Box<str>,
    hints: KeptHints,
}

impl Hash for Key {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.text.hash(state);
        self.hints.hash(state);
    }
}

impl PartialEq for Key {
    fn eq(&self, other: &Key) -> bool {
        self.text == other.text && self.hints == other.hints
    }
}

impl Eq for Key {}

impl Equivalent<Key> for Question<'_> {
    fn equivalent(&self, key: &Key) -> bool {
        *self.text == *key.text && key.hints.are(&self.hints)
    }
}

/// GA4 repeats the name of the system before its version.
fn device(agent: Agent<'_>) -> Device<'_> {
    let system_version = agent.system.map(|system| match &agent.system_version {
        Some(version) => Cow::Owned([system, " ", version].concat()),
        None => Cow::Borrowed(system),
    });
    let web_info = WebInfo { browser: agent.browser, browser_version: agent.browser_version, ..WebInfo::default() };
    Device {
        category: agent.category.map(Cow::Borrowed),
        mobile_brand_name: agent.brand,
        mobile_model_name: agent.model,
        operating_system: agent.system.map(Cow::Borrowed),
        operating_system_version: system_version,
        is_limited_ad_tracking: Some("No".into()),
        web_info: Some(web_info),
        ..Device::default()
    }
}
