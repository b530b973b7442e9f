//! The tiers of reading one by one, for explanations.

use super::{Agents, Known, Question};
use crate::{
    collect::Hit,
    enrich::{
        client_hints::NAMES,
        device_data::{self, Lists},
        user_agent::{Agent, Reading},
    },
};

/// What each tier of reading makes of a client on top of the one before, without the memory and without the budget: for
/// explanations.
pub struct Tiers<'a> {
    /// Our own words.
    pub words: Known,
    /// The patterns.
    pub patterns: Known,
    /// The hints.
    pub hinted: Known,
    /// The table of marketing names that comes with us.
    pub named: Known,
    /// The lists that are configured.
    pub listed: Known,
    question: Question<'a>,
}

impl<'a> Tiers<'a> {
    /// Reads the text anew for each.
    pub fn of(agents: &Agents, text: &'a str, hit: &Hit<'a>) -> Tiers<'a> {
        let question = Question::of(text, hit);
        let named = |lists: &Lists| {
            let mut agent = refined(&question);
            lists.name(&mut agent);
            if let Some(detector) = lists.asks(&agent) {
                device_data::complete(&mut agent, text, detector);
            }
            Known::new(agent, lists.edition)
        };
        Tiers {
            words: Known::new(Reading::of(text).agent(), 0),
            patterns: Known::new(full(text).agent(), 0),
            hinted: Known::new(refined(&question), 0),
            named: named(&Lists::default()),
            listed: named(&agents.data.now()),
            question,
        }
    }

    /// Names of the hints that something in `hinted` hangs on: without one of them it `differs`. Where none alone makes
    /// the difference, those that say the same by themselves.
    pub fn hints_behind(&self, differs: impl Fn(&Known) -> bool) -> Vec<&'static str> {
        let Question { text, hints } = self.question;
        let answer = |hints| Known::new(refined(&Question { text, hints }), 0);
        let sent = || NAMES.into_iter().filter(|name| hints.without(name) != hints);
        let needed: Vec<_> = sent().filter(|name| differs(&answer(hints.without(name)))).collect();
        let alone = |name: &&str| {
            !differs(&answer(sent().filter(|other| other != name).fold(hints, |left, other| left.without(other))))
        };
        if needed.is_empty() { sent().filter(alone).collect() } else { needed }
    }
}

/// All that the text and the hints tell.
fn refined<'a>(question: &Question<'a>) -> Agent<'a> {
    let mut agent = full(question.text).agent();
    question.hints.refine(&mut agent);
    agent
}

/// All that can be read of a text.
fn full(text: &str) -> Reading<'_> {
    let mut reading = Reading::of(text);
    if reading.is_open() {
        reading.ask_patterns();
    }
    reading
}
