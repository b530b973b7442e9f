//! Host of the page: `device.web_info.hostname` and `event_dimensions.hostname`, from the parameter `page_location`.
//!
//! Lower case, without port. An event without a readable address has no hostname. `page_path` is never invented: GA4
//! exports it only when the client sent it.

use std::ops::ControlFlow;

use super::{Enricher, url};
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

    fn enrich(&self, _: &Hit<'_>, event: &mut Event) -> ControlFlow<DropReason> {
        if let Some(host) = event.param("page_location").and_then(url::host).map(String::from) {
            event.web_info_mut().hostname.get_or_insert_with(|| host.clone());
            event.dimensions_mut().hostname.get_or_insert(host);
        }
        ControlFlow::Continue(())
    }
}
