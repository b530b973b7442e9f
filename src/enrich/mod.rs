//! The steps between a claim and a row: each fills the columns it owns from the request. Pure and synchronous.

use std::ops::ControlFlow;

use crate::{
    collect::{DropReason, Hit},
    schema::Event,
};

/// One step. Total: a step that cannot know leaves its columns null.
pub trait Enricher: Send + Sync {
    /// Name in metrics and explanations.
    fn name(&self) -> &'static str;

    /// Fills the columns this step owns, or ends the event's journey. What the client said stands in `event` already:
    /// parameters, items, time, identity.
    fn enrich(&self, hit: &Hit<'_>, event: &mut Event) -> ControlFlow<DropReason>;
}
