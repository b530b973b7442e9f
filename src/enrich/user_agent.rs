//! What a `User-Agent` text says, in two tiers: our own words ([`super::tokens`]) and rules on them, which explain nearly
//! every text in less than a microsecond; and the patterns of uap-core ([`super::patterns`]), asked only for what those
//! leave open, since they take some fifteen. What neither tells, tables and an operator's lists may
//! ([`super::device_data`]).
//!
//! Pure functions of the text. [`super::agents`] remembers the answers.

use std::borrow::Cow;

use super::{
    brands, browsers, categories, models, patterns,
    robots::{self, Category, Evidence, Robot},
    systems,
    tokens::{Anchor, Tokens},
};

/// Longest text looked at and kept, in bytes. Real ones end below 512.
pub const MAX_LENGTH: usize = 1024;

/// What is known of the machine behind a hit, in GA4's spelling.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Agent<'t> {
    /// `desktop`, `mobile`, `tablet` or `smart tv`; `None` when there was no text to look at.
    pub category: Option<&'static str>,
    /// `Android`.
    pub system: Option<&'static str>,
    /// `13`, without the name of the system.
    pub system_version: Option<Cow<'t, str>>,
    /// `Samsung`.
    pub brand: Option<Cow<'t, str>>,
    /// `SM-S911B`.
    pub model: Option<Cow<'t, str>>,
    /// `Galaxy S23`: tables tell it, the text does not.
    pub marketing_name: Option<Cow<'t, str>>,
    /// `Chrome`.
    pub browser: Option<Cow<'t, str>>,
    /// `126.0.0.0`.
    pub browser_version: Option<Cow<'t, str>>,
    /// Who it is, when it is a robot.
    pub robot: Option<Robot>,
}

/// A text that has been read by our own words.
pub struct Reading<'t> {
    tokens: Tokens<'t>,
    agent: Agent<'t>,
    /// The system was told by the patterns: those who build such machines name them elsewhere as well.
    is_rare: bool,
}

impl<'t> Reading<'t> {
    /// Reads a text. What follows after [`MAX_LENGTH`] bytes is passed over.
    pub fn of(text: &'t str) -> Reading<'t> {
        let tokens = Tokens::of(text);
        let mut reading = Reading { tokens, agent: Agent::default(), is_rare: false };
        reading.agent.robot = robots::of_tokens(&reading.tokens);
        let is_robot = reading.agent.robot.is_some();
        let guess = || systems::of_family(&reading.tokens, "", None).filter(|_| is_robot);
        reading.set_system(systems::of_tokens(&reading.tokens).or_else(guess));
        let browser = browsers::of_tokens(&reading.tokens, reading.agent.system, reading.agent.robot.as_ref());
        reading.set_browser(browser);
        reading
    }

    /// Whether something is left open that the patterns may know, which are about ASCII. Robots are not: nobody counts
    /// their machines.
    pub fn is_open(&self) -> bool {
        let agent = &self.agent;
        let may_be_known = agent.robot.is_none() && self.tokens.text.is_ascii();
        may_be_known && (agent.system.is_none() || agent.browser.is_none() || self.lacks_brand())
    }

    /// Asks the patterns for what is open.
    pub fn ask_patterns(&mut self) {
        let text = self.tokens.text;
        let is_strange = self.agent.system.is_none() || self.agent.browser.is_none();
        if self.agent.system.is_none() {
            let told = patterns::system(text);
            self.is_rare = true;
            self.set_system(systems::of_family(&self.tokens, &told.family, told.version));
        }
        if is_strange {
            let known = browsers::of_tokens(&self.tokens, self.agent.system, None);
            self.set_browser(known);
        }
        let mut family = Cow::Borrowed("");
        if self.agent.browser.is_none() {
            let told = patterns::browser(text);
            family = told.family.clone();
            let browser = browsers::of_family(&self.tokens, self.agent.system, told.family, told.version);
            self.set_browser(browser);
        }
        if is_strange || self.lacks_brand() {
            let machine = patterns::machine(text);
            if machine.is_spider {
                let name = Some(family.into_owned()).filter(|family| !family.is_empty());
                self.agent.robot = Some(Robot { name, category: Category::Other, evidence: vec![Evidence::UaPattern] });
            }
            self.agent.brand = self.agent.brand.take().or_else(|| brands::of_pattern(self.agent.system, machine.brand));
        }
    }

    /// What is known now.
    pub fn agent(self) -> Agent<'t> {
        let Reading { tokens, mut agent, .. } = self;
        // A text of nothing is nobody's.
        if !tokens.text.trim_ascii().is_empty() {
            agent.category = Some(categories::name(&tokens, agent.system));
        }
        // The system of LG's televisions before webOS.
        if agent.brand.is_none() && tokens.has(Anchor::NetCast) {
            agent.brand = Some("LG".into());
        }
        agent
    }

    fn set_system(&mut self, system: Option<systems::System<'t>>) {
        let agent = &mut self.agent;
        (agent.system, agent.system_version) = system.map_or((None, None), |(name, version)| (Some(name), version));
        agent.model = models::name(&self.tokens, agent.system).map(Cow::Borrowed);
        agent.brand = brands::of(agent.system, agent.model.as_deref()).map(Cow::Borrowed);
    }

    fn set_browser(&mut self, browser: Option<browsers::Browser<'t>>) {
        let agent = &mut self.agent;
        (agent.browser, agent.browser_version) = browser.map_or((None, None), |(name, version)| (Some(name), version));
    }

    fn lacks_brand(&self) -> bool {
        let agent = &self.agent;
        let may_have_one = match agent.system {
            Some("Android") => agent.model.is_some(),
            Some(_) => self.is_rare,
            None => false,
        };
        agent.brand.is_none() && may_have_one
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_patterns_are_asked_about_ascii_alone() {
        let text = "Mozilla/5.0 (Nintendo WiiU) AppleWebKit/536.28 (KHTML, like Gecko) NX/3.0.3.12.6 NintendoBrowser/2.0.0.9362.EU";
        assert!(Reading::of(text).is_open());
        assert!(!Reading::of(&text.replace(')', "é)")).is_open());
    }
}
