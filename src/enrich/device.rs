//! The machine of the visitor: `device`, the text it was read from in `rs_info.user_agent`, and whether it is a robot's
//! in `rs_info.is_bot` and `rs_info.bot_*`.
//!
//! Columns another step or the client filled stay as they are. A hit without a `User-Agent` has no device.

use std::{borrow::Cow, ops::ControlFlow};

use super::{
    Enricher,
    agents::{Agents, user_agent},
};
use crate::{
    collect::{DropReason, Hit},
    schema::{
        Event,
        proto::event::{Device as DeviceRecord, WebInfo},
    },
};

/// The step.
pub struct Device {
    agents: Agents,
}

impl Device {
    /// A step that remembers `capacity` user agents.
    pub fn new(capacity: usize) -> Device {
        Device { agents: Agents::new(capacity) }
    }
}

impl Enricher for Device {
    fn name(&self) -> &'static str {
        "device"
    }

    fn enrich<'h>(&self, hit: &'h Hit<'h>, event: &mut Event<'h>) -> ControlFlow<DropReason> {
        if let Some(text) = user_agent(hit) {
            let known = self.agents.of(text, hit.headers);
            fill(event.device_mut(), &known.device);
            let info = event.info_mut();
            info.user_agent = Some(text.into());
            info.is_bot = Some(known.robot.is_some());
            if let Some(robot) = &known.robot {
                info.bot_name = robot.name.clone().map(Cow::Owned);
                info.bot_category = Some(robot.category.name().into());
                info.bot_evidence = robot.evidence.iter().map(|sign| sign.code().into()).collect();
            }
        }
        ControlFlow::Continue(())
    }
}

fn fill(device: &mut DeviceRecord<'_>, known: &DeviceRecord<'static>) {
    let web_info = device.web_info.get_or_insert_default();
    let unknown = WebInfo::default();
    let known_web = known.web_info.as_ref().unwrap_or(&unknown);
    let rows = [
        (&mut device.category, &known.category),
        (&mut device.mobile_brand_name, &known.mobile_brand_name),
        (&mut device.mobile_model_name, &known.mobile_model_name),
        (&mut device.operating_system, &known.operating_system),
        (&mut device.operating_system_version, &known.operating_system_version),
        (&mut device.is_limited_ad_tracking, &known.is_limited_ad_tracking),
        (&mut web_info.browser, &known_web.browser),
        (&mut web_info.browser_version, &known_web.browser_version),
    ];
    for (column, known) in rows {
        if column.is_none() {
            column.clone_from(known);
        }
    }
}
