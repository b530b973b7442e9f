//! The machine of the visitor: `device`, the text it was read from in `rs_info.user_agent`, and whether it is a robot's
//! in `rs_info.is_bot` and `rs_info.bot_*`.
//!
//! Columns another step or the client filled stay as they are. A hit without a `User-Agent` has no device.

use std::{borrow::Cow, ops::ControlFlow};

use super::{
    Enricher, Origins,
    agents::{Agents, Known, Tiers, user_agent},
    client_hints,
    device_data::DeviceData,
    values,
};
use crate::{
    collect::{DropReason, Hit},
    schema::{Event, proto::event::Device as DeviceRecord},
};

/// The step.
pub struct Device {
    agents: Agents,
}

impl Device {
    /// A step that remembers `capacity` user agents, and asks the slow patterns at most `cold_parses` times a second
    /// and the lists of `data`.
    pub fn new(capacity: usize, cold_parses: u32, data: DeviceData) -> Device {
        Device { agents: Agents::new(capacity, cold_parses, data) }
    }
}

impl Enricher for Device {
    fn name(&self) -> &'static str {
        "device"
    }

    fn enrich<'h>(&self, hit: &'h Hit<'h>, event: &mut Event<'h>) -> ControlFlow<DropReason> {
        if let Some(text) = user_agent(hit) {
            write(event, text, &self.agents.of(text, hit));
        }
        ControlFlow::Continue(())
    }

    /// Each tier alone writes into an event like this one; a value is that tier's which wrote it last.
    fn explain(&self, hit: &Hit<'_>, before: &Event<'_>, after: &Event<'_>, origins: &mut Origins) {
        let Some(text) = user_agent(hit) else {
            return origins.remark("there is no User-Agent, hence no device");
        };
        let written = |known: &Known| {
            let mut event = before.spelled_out();
            write(&mut event, text, known);
            event
        };
        let tiers = Tiers::of(&self.agents, text, hit);
        let words = written(&tiers.words);
        origins.note_new(before, &words, |_| Some("words of the user agent".into()));
        let patterns = written(&tiers.patterns);
        origins.note_new(&words, &patterns, |_| Some("patterns of uap-core".into()));
        let hinted = written(&tiers.hinted);
        origins.note_new(&patterns, &hinted, |leaf| {
            let differs = |known: &Known| !values(&written(known)).contains(leaf);
            let behind = tiers.hints_behind(differs).into_iter();
            let sources: Vec<_> = behind.map(|name| client_hints::source(name, hit.browser)).collect();
            Some(format!("client hints: {}", sources.join(", ")))
        });
        let named = written(&tiers.named);
        origins.note_new(&hinted, &named, |_| Some("table of marketing names".into()));
        let listed = written(&tiers.listed);
        origins.note_new(&named, &listed, |_| Some("lists of machines: device.play_devices, device.matomo".into()));
        // The budget for what is slow may have been spent.
        origins.note_new(&listed, after, |_| Some("words of the user agent".into()));
        let headers =
            [("rs_info.user_agent", "header user-agent"), ("device.is_limited_ad_tracking", "always so on the web")];
        for (path, origin) in headers {
            if !values(before).iter().any(|leaf| leaf.path == path) {
                origins.note(path, origin);
            }
        }
    }
}

fn write<'h>(event: &mut Event<'h>, text: &'h str, known: &Known) {
    fill(event.device_mut(), known);
    let info = event.info_mut();
    info.user_agent = Some(text.into());
    info.is_bot = Some(known.robot.is_some());
    if let Some(robot) = &known.robot {
        info.bot_name = robot.name.clone().map(Cow::Owned);
        info.bot_category = Some(robot.category.name().into());
        info.bot_evidence = robot.evidence.iter().map(|sign| sign.code().into()).collect();
    }
}

/// Columns that a trusted caller has filled stand.
fn fill(device: &mut DeviceRecord<'_>, known: &Known) {
    let web_info = device.web_info.get_or_insert_default();
    let own = [
        &device.category,
        &device.mobile_brand_name,
        &device.mobile_model_name,
        &device.mobile_marketing_name,
        &device.operating_system,
        &device.operating_system_version,
        &device.is_limited_ad_tracking,
        &web_info.browser,
        &web_info.browser_version,
    ];
    if own.into_iter().all(Option::is_none) {
        device.ready = Some(known.device.clone());
        web_info.ready = Some(known.web_info.clone());
        return;
    }
    let known = known.record();
    let known_web = known.web_info.unwrap_or_default();
    let rows = [
        (&mut device.category, known.category),
        (&mut device.mobile_brand_name, known.mobile_brand_name),
        (&mut device.mobile_model_name, known.mobile_model_name),
        (&mut device.mobile_marketing_name, known.mobile_marketing_name),
        (&mut device.operating_system, known.operating_system),
        (&mut device.operating_system_version, known.operating_system_version),
        (&mut device.is_limited_ad_tracking, known.is_limited_ad_tracking),
        (&mut web_info.browser, known_web.browser),
        (&mut web_info.browser_version, known_web.browser_version),
    ];
    for (column, known) in rows {
        if column.is_none() {
            *column = known;
        }
    }
}
