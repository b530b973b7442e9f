//! Remembered answers: user agents repeat, and reading one is slow.
//!
//! The key is the whole text with all hints, compared in full, so that no two visitors can be mixed up. The number of
//! answers is bounded, and so is the length of each.

use std::{
    borrow::Cow,
    hash::{Hash, Hasher},
    sync::Arc,
};

use http::HeaderMap;
use quick_cache::{Equivalent, sync::Cache};

use super::{
    client_hints::{Hints, KeptHints},
    robots::Robot,
    url,
    user_agent::{self, Agent, MAX_LENGTH},
};
use crate::{
    collect::Hit,
    schema::proto::event::{Device, WebInfo},
};

/// What one kind of client is.
#[derive(Debug)]
pub struct Known {
    /// Columns of `device` that depend on nothing but the client.
    pub device: Device<'static>,
    /// Who it is, when it is a robot.
    pub robot: Option<Robot>,
}

/// The cache.
pub struct Agents {
    answers: Cache<Key, Arc<Known>>,
}

impl Agents {
    /// A cache of at most `capacity` answers. Starts compiling the patterns.
    pub fn new(capacity: usize) -> Agents {
        user_agent::warm_up();
        Agents { answers: Cache::new(capacity) }
    }

    /// What the client is that sent this `User-Agent` among these headers.
    pub fn of(&self, text: &str, headers: &HeaderMap) -> Arc<Known> {
        let question = Question { text, hints: Hints::read(text, headers) };
        if let Some(answer) = self.answers.get(&question) {
            return answer;
        }
        let answer = Arc::new(question.answer());
        self.answers.insert(Key { text: text.into(), hints: (&question.hints).into() }, answer.clone());
        answer
    }
}

/// The `User-Agent` of a hit, cut to what is looked at.
pub fn user_agent<'a>(hit: &Hit<'a>) -> Option<&'a str> {
    let text = hit.header("user-agent")?.trim_ascii();
    (!text.is_empty()).then(|| url::cut(text, MAX_LENGTH))
}

#[derive(Hash)]
struct Question<'a> {
    text: &'a str,
    hints: Hints<'a>,
}

impl Question<'_> {
    fn answer(&self) -> Known {
        let mut agent = user_agent::parse(self.text);
        self.hints.refine(&mut agent);
        Known { robot: agent.robot.take(), device: device(agent) }
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
fn device(agent: Agent) -> Device<'static> {
    let system_version = agent.system.map(|system| match &agent.system_version {
        Some(version) => Cow::Owned(format!("{system} {version}")),
        None => Cow::Borrowed(system),
    });
    let own = |text: Option<String>| text.map(Cow::Owned);
    let web_info = WebInfo { browser: own(agent.browser), browser_version: own(agent.browser_version), hostname: None };
    Device {
        category: agent.category.map(Cow::Borrowed),
        mobile_brand_name: own(agent.brand),
        mobile_model_name: own(agent.model),
        operating_system: agent.system.map(Cow::Borrowed),
        operating_system_version: system_version,
        is_limited_ad_tracking: Some("No".into()),
        web_info: Some(web_info),
        ..Device::default()
    }
}
