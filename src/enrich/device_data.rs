//! What is known of machines by tables: the marketing names of common models that come with the binary, and the lists
//! that an operator may have.
//!
//! Who is believed, from first to last:
//!
//! - maker: our own words, uap-core, Google's list, Matomo's folder;
//! - marketing name: Google's list, the table in the binary, Matomo's folder. A list only counts as far as it means the
//!   same maker;
//! - browser: our own words, uap-core, Matomo's folder;
//! - robots: the same; nobody asks about a text that is explained as a person's.

use std::{borrow::Cow, sync::Arc};

use arc_swap::{ArcSwap, Guard};

use super::{
    browsers, marketing,
    matomo::{Detector, Effort},
    play_devices::{Listed, PlayDevices},
    robots::{Evidence, Robot},
    url,
    user_agent::Agent,
};

/// The lists in use. Its copies show the same ones. Each is replaced whole, so a hit sees the old or the new.
#[derive(Clone, Debug, Default)]
pub struct DeviceData(Arc<ArcSwap<Lists>>);

impl DeviceData {
    /// From now on this folder is asked.
    pub fn replace_matomo(&self, detector: Detector) {
        let detector = Arc::new(detector);
        self.0.rcu(|lists| Lists { matomo: Some(detector.clone()), ..lists.next() });
    }

    /// From now on this list is asked.
    pub fn replace_play_devices(&self, list: PlayDevices) {
        let list = Arc::new(list);
        self.0.rcu(|lists| Lists { play_devices: Some(list.clone()), ..lists.next() });
    }

    /// The lists as they are now.
    pub(super) fn now(&self) -> Guard<Arc<Lists>> {
        self.0.load()
    }
}

/// Lists of one moment.
#[derive(Debug, Default)]
pub(super) struct Lists {
    matomo: Option<Arc<Detector>>,
    play_devices: Option<Arc<PlayDevices>>,
    /// Grows with each replacement: answers of another edition are out of date.
    pub edition: u64,
}

impl Lists {
    fn next(&self) -> Lists {
        let Lists { matomo, play_devices, edition } = self;
        Lists { matomo: matomo.clone(), play_devices: play_devices.clone(), edition: edition + 1 }
    }

    /// Fills in what tables know of a model code.
    pub fn name(&self, agent: &mut Agent<'_>) {
        let (Some("Android"), Some(model)) = (agent.system, agent.model.as_deref()) else { return };
        let listed = self.play_devices.as_ref().and_then(|list| list.find(model, agent.brand.as_deref()));
        // A name that is the code says nothing, and of several names the first may be another market's.
        let is_better = |row: &Listed<'_>| row.name != model && (row.is_sole || marketing::name(model).is_none());
        let name = listed.as_ref().filter(|row| is_better(row)).map(|row| row.name).or_else(|| marketing::name(model));
        let name = name.map(|name| Cow::Owned(name.to_owned()));
        let brand = listed.map(|row| Cow::Owned(row.brand.to_owned()));
        agent.brand = agent.brand.take().or(brand);
        agent.marketing_name = name;
    }

    /// The folder, when it may know something that is still open.
    pub fn asks(&self, agent: &Agent<'_>) -> Option<&Detector> {
        let is_open = match &agent.robot {
            Some(robot) => is_nameless(robot),
            None => has_open_machine(agent) || has_open_browser(agent),
        };
        self.matomo.as_deref().filter(|_| is_open)
    }
}

/// What gave the robot away is no name of our table.
fn is_nameless(robot: &Robot) -> bool {
    robot.evidence.iter().all(|sign| matches!(sign, Evidence::UaWord | Evidence::UaShape))
}

fn has_open_machine(agent: &Agent<'_>) -> bool {
    match agent.system {
        Some("Android") => agent.model.is_some() && (agent.brand.is_none() || agent.marketing_name.is_none()),
        // Their makers cannot be told, or there is one.
        Some("Windows" | "Chrome OS" | "Macintosh" | "iOS" | "tvOS") => false,
        Some("Linux") => agent.brand.is_none() && agent.category == Some("smart tv"),
        _ => agent.brand.is_none(),
    }
}

fn has_open_browser(agent: &Agent<'_>) -> bool {
    agent.browser.as_deref().is_none_or(|name| name == browsers::COMPATIBLE)
}

/// Asks the folder for what is open of a text. Returns how many cold parses that was worth beyond the first.
pub(super) fn complete(agent: &mut Agent<'_>, text: &str, detector: &Detector) -> u32 {
    let mut effort = Effort::new();
    if let Some(robot) = &mut agent.robot {
        if let Some((name, category)) = detector.robot(text, &mut effort) {
            agent.browser = Some(name.clone().into());
            (robot.name, robot.category) = (Some(name), category);
            robot.evidence.push(Evidence::UaPattern);
        }
        return effort.extra();
    }
    if (agent.system.is_none() || has_open_browser(agent))
        && let Some((name, category)) = detector.robot(text, &mut effort)
    {
        agent.browser.get_or_insert_with(|| name.clone().into());
        agent.robot = Some(Robot { name: Some(name), category, evidence: vec![Evidence::UaPattern] });
        return effort.extra();
    }
    if has_open_machine(agent) {
        let is_television = agent.category == Some("smart tv");
        let model = agent.model.as_deref().filter(|model| !text.contains(model));
        let found = match model {
            // A client hint told it; the text is frozen.
            Some(model) => {
                let text = format!("Mozilla/5.0 (Linux; Android 10; {}) AppleWebKit/537.36", url::cut(model, 64));
                detector.machine(&text, is_television, &mut effort)
            }
            None => detector.machine(text, is_television, &mut effort),
        };
        if let Some(machine) = found {
            let is_same = agent.brand.as_deref().is_none_or(|brand| brand == machine.brand);
            if is_same && agent.model.is_some() && agent.marketing_name.is_none() {
                agent.marketing_name = machine.name.map(Cow::Owned);
            }
            agent.brand.get_or_insert(Cow::Owned(machine.brand));
        }
    }
    if has_open_browser(agent)
        && let Some(client) = detector.client(text, &mut effort)
    {
        agent.browser = Some(client.name.into());
        agent.browser_version = client.version.map(Cow::Owned);
    }
    effort.extra()
}
