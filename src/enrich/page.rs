//! Host of the page: `device.web_info.hostname` and `event_dimensions.hostname`, from the parameter `page_location`.
//!
//! Lower case, without port. An event without a readable address has no hostname. `page_path` is never invented: GA4
//! exports it only when the client sent it.

use std::ops::ControlFlow;

use super::{Enricher, Origins, url};
use crate::{
    collect::{DropReason, Hit},
    schema::Event,
};

/// The step.
pub struct Page;

impl Enricher for Page {
    fn name(&self) -> &'static str {
        "page"
    }

    fn enrich<'h>(&self, _: &'h Hit<'h>, event: &mut Event<'h>) -> ControlFlow<DropReason> {
        if let Some(host) = event.text("page_location").and_then(|location| url::host_of(&location)) {
            event.web_info_mut().hostname.get_or_insert_with(|| host.clone());
            event.dimensions_mut().hostname.get_or_insert(host);
        }
        ControlFlow::Continue(())
    }

    fn explain(&self, _: &Hit<'_>, before: &Event<'_>, after: &Event<'_>, origins: &mut Origins) {
        origins.note_new(before, after, |_| Some("host in page_location".into()));
    }
}
