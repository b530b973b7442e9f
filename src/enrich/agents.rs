//! Remembered answers: user agents repeat, and reading one is slow.
//!
//! The key is the whole text with all hints, compared in full, so that no two visitors can be mixed up. The memory
//! that answers take is bounded. An answer is what goes into rows: encoded columns.

mod question;
mod tiers;

use std::{borrow::Cow, sync::Arc};

use foldhash::fast::RandomState;
use http::header;
use prost::Message;
use quick_cache::{Weighter, sync::Cache};

use self::question::{Key, Question};
pub use self::tiers::Tiers;
use super::{
    budget::Budget,
    device_data::{self, DeviceData, Lists},
    marketing, patterns,
    robots::Robot,
    tokens, url,
    user_agent::{Agent, MAX_LENGTH, Reading},
};
use crate::{
    collect::{Hit, Micros},
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
    /// Edition of the lists that were asked.
    edition: u64,
}

impl Known {
    fn new(mut agent: Agent<'_>, edition: u64) -> Known {
        let robot = agent.robot.take();
        let mut device = device(agent);
        let web_info = device.web_info.take().unwrap_or_default();
        Known { device: device.encode_to_vec().into(), web_info: web_info.encode_to_vec().into(), robot, edition }
    }

    /// The columns of `device` one by one.
    pub fn record(&self) -> Device<'static> {
        let read = |bytes: &[u8]| reference::event::Device::decode(bytes).map(Device::from).unwrap_or_default();
        let web_info = reference::event::WebInfo::decode(&*self.web_info).map(WebInfo::from).ok();
        Device { web_info, ..read(&self.device) }
    }
}

/// The cache.
pub struct Agents {
    answers: Cache<Key, Arc<Known>, Footprint, RandomState>,
    /// For what takes long.
    budget: Budget,
    data: DeviceData,
}

impl Agents {
    /// A cache of at most `capacity` answers, which asks the patterns at most `cold_parses` times a second, and
    /// the lists of `data`.
    pub fn new(capacity: usize, cold_parses: u32, data: DeviceData) -> Agents {
        warm_up();
        let weight = (capacity * TYPICAL) as u64;
        let answers = Cache::with(capacity, weight, Footprint, RandomState::default(), Default::default());
        Agents { answers, budget: Budget::new(cold_parses), data }
    }

    /// What the client is that sent this `User-Agent` among these headers. Beyond the budget what our own words tell, or
    /// what older lists told, has to do; that is not remembered.
    pub fn of(&self, text: &str, hit: &Hit<'_>) -> Arc<Known> {
        let question = Question::of(text, hit);
        let lists = self.data.now();
        let outdated = match self.answers.get(&question) {
            Some(answer) if answer.edition == lists.edition => return answer,
            outdated => outdated,
        };
        let (answer, is_whole) = self.answer(&question, &lists, hit.received_at);
        if !is_whole {
            return outdated.unwrap_or(answer);
        }
        self.answers.insert(question.key(), answer.clone());
        answer
    }

    /// The answer, and whether everybody was asked who may know something.
    fn answer(&self, question: &Question<'_>, lists: &Lists, now: Micros) -> (Arc<Known>, bool) {
        let mut paid = None;
        let mut may_ask = || *paid.get_or_insert_with(|| self.budget.take(now));
        let mut reading = Reading::of(question.text);
        if reading.is_open() && may_ask() {
            reading.ask_patterns();
        }
        let mut agent = reading.agent();
        question.hints.refine(&mut agent);
        lists.name(&mut agent);
        if let Some(detector) = lists.asks(&agent)
            && may_ask()
        {
            self.budget.charge(device_data::complete(&mut agent, question.text, detector));
        }
        (Arc::new(Known::new(agent, lists.edition)), paid.unwrap_or(true))
    }
}

/// What an answer takes in memory, with its key, in bytes: a text of 150, hints of 150, columns of 100, and what holds
/// them together. Whoever sends the longest texts is remembered with fewer of them.
const TYPICAL: usize = 704;

#[derive(Clone)]
struct Footprint;

impl Weighter<Key, Arc<Known>> for Footprint {
    fn weight(&self, key: &Key, known: &Arc<Known>) -> u64 {
        let fixed = size_of::<Key>() + size_of::<Known>() + 128;
        (fixed + key.len() + known.device.len() + known.web_info.len()) as u64
    }
}

/// Builds the tables on a thread of their own, so that neither start-up nor the first hit waits for them: the words take
/// some ten milliseconds, the patterns a hundred. A hit that needs them earlier waits for the rest, so that answers
/// never depend on the time.
fn warm_up() {
    let build = || {
        tokens::warm_up();
        marketing::warm_up();
        patterns::warm_up();
    };
    // Without a thread the first hit builds.
    let _ = std::thread::Builder::new().name("user-agents".into()).spawn(build);
}

/// The `User-Agent` of a hit, cut to what is looked at.
pub fn user_agent<'a>(hit: &Hit<'a>) -> Option<&'a str> {
    let text = hit.header(header::USER_AGENT)?.trim_ascii();
    (!text.is_empty()).then(|| url::cut(text, MAX_LENGTH))
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
        mobile_marketing_name: agent.marketing_name,
        operating_system: agent.system.map(Cow::Borrowed),
        operating_system_version: system_version,
        is_limited_ad_tracking: Some("No".into()),
        web_info: Some(web_info),
        ..Device::default()
    }
}
