//! The steps between a claim and a row: each fills the columns it owns from the request. Pure and synchronous.
//!
//! Every step is total: what it cannot know stays null, and no header or address makes it fail. None overwrites what
//! the client or a trusted caller already set.

mod address;
mod agents;
mod bots;
mod brands;
mod browsers;
mod budget;
mod categories;
mod channel;
mod click_ids;
mod client_hints;
mod countries;
mod device;
mod device_config;
mod device_data;
mod geo;
mod language;
mod marketing;
pub mod matomo;
mod models;
mod origins;
mod page;
mod patterns;
pub mod play_devices;
mod referrers;
mod regions;
mod robots;
mod row;
mod systems;
mod tokens;
mod traffic;
mod traffic_config;
mod url;
mod user_agent;

use std::ops::ControlFlow;

use serde::{Deserialize, Serialize};

pub use address::IpMask;
pub use bots::BotAction;
pub use device_config::DeviceConfig;
pub use device_data::DeviceData;
pub use geo::{Atlas, CustomHeaders, Database, GeoConfig, GeoHeaders, Unreadable};
pub use origins::{Origins, new_values, values};
pub use robots::{Category, Evidence, Robot};
pub use traffic::Traffic;
pub use traffic_config::{Referrers, TrafficConfig};
pub use user_agent::{Agent, Reading};

use crate::{
    collect::{DropReason, Hit},
    problem::Problem,
    schema::Event,
};

/// One step. Total: a step that cannot know leaves its columns null.
pub trait Enricher: Send + Sync {
    /// Name in metrics and explanations.
    fn name(&self) -> &'static str;

    /// Fills the columns this step owns, or ends the event's journey. What the client said stands in `event` already:
    /// parameters, items, time, identity.
    fn enrich<'h>(&self, hit: &'h Hit<'h>, event: &mut Event<'h>) -> ControlFlow<DropReason>;

    /// Says where each value came from that the step has put into `after`; `before` is the event as the step met it.
    /// Asked only when somebody wants an event explained.
    fn explain(&self, hit: &Hit<'_>, before: &Event<'_>, after: &Event<'_>, origins: &mut Origins);
}

/// What can be chosen about the steps.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// What happens to events of robots: `flag` marks them in `rs_info.is_bot`, `drop` ends them, `keep` does not look.
    pub bots: BotAction,
    /// What is known of machines beyond what comes with the binary.
    pub device: DeviceConfig,
    /// Where the visitor's place comes from, and what is kept of the address.
    pub geo: GeoConfig,
    /// How many user agents are remembered. One takes about a kilobyte; a site of mixed visitors shows some ten
    /// thousand a day.
    pub user_agents: usize,
    /// Which sites sent a visit.
    pub traffic: TrafficConfig,
}

impl Default for Config {
    fn default() -> Config {
        Config {
            bots: BotAction::default(),
            device: DeviceConfig::default(),
            geo: GeoConfig::default(),
            user_agents: 8_192,
            traffic: TrafficConfig::default(),
        }
    }
}

impl Config {
    /// Reports what needs judgement.
    pub fn check(&self, path: &str, problems: &mut Vec<Problem>) {
        if !(1..=1_000_000).contains(&self.user_agents) {
            let message = format!("{} user agents cannot be remembered", self.user_agents);
            let problem = Problem::new(format!("{path}.user_agents"), message);
            problems.push(problem.hint("choose between 1 and 1000000; the default is 16384"));
        }
    }
}

/// [`standard_with`], without a database of addresses.
pub fn standard(config: &Config) -> Vec<Box<dyn Enricher>> {
    standard_with(config, &Atlas::default())
}

/// [`standard_on`], without lists of machines.
pub fn standard_with(config: &Config, atlas: &Atlas) -> Vec<Box<dyn Enricher>> {
    standard_on(config, atlas, &DeviceData::default())
}

/// The steps in the order they run. The device comes first because it tells the robots, whose events may end here.
/// Places are looked up in `atlas`, machines in `devices`.
pub fn standard_on(config: &Config, atlas: &Atlas, devices: &DeviceData) -> Vec<Box<dyn Enricher>> {
    vec![
        Box::new(device::Device::new(config.user_agents, config.device.cold_parses, devices.clone())),
        Box::new(bots::Bots::new(config.bots)),
        Box::new(page::Page),
        Box::new(language::Language),
        Box::new(address::Address::new(config.geo.ip)),
        Box::new(geo::Geo::new(&config.geo.headers, atlas.clone())),
        Box::new(traffic::Traffic::new(&config.traffic)),
    ]
}
