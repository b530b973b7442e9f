//! Looking on while a hit turns into rows: nobody does when events are collected, [`super::explain`] does when they are
//! explained. It is the same pipeline either way, and nobody costs nothing: each call is the work itself.

use std::ops::ControlFlow;

use super::commerce;
use crate::{
    collect::{Caller, Claim, DropReason, Hit, Redaction, Visitor},
    enrich::Enricher,
    schema::{Event, Row},
};

/// Called at every turn of a hit's way, in this order.
pub(super) trait Watch {
    /// Takes secrets out of a claim.
    fn redact(&mut self, redaction: &Redaction, claim: &mut Claim<'_>) {
        redaction.apply(claim);
    }

    /// Browser and visitor objects, by the header of this name.
    fn object(&mut self, header: &'static str, claims: &mut [Claim<'_>]) {
        let _ = header;
        claims.iter_mut().for_each(|claim| claim.consent.object());
    }

    /// The next claim is to become an event.
    fn begin(&mut self, _: &Claim<'_>, _: &Hit<'_>, _: Caller, _: &Visitor<'_>, _cookie: &str) {}

    /// Derives order values.
    fn derive(&mut self, event: &mut Event<'_>) {
        commerce::derive(event);
    }

    /// Takes a step.
    fn step<'h>(&mut self, step: &dyn Enricher, hit: &'h Hit<'h>, event: &mut Event<'h>) -> ControlFlow<DropReason> {
        step.enrich(hit, event)
    }

    /// The event is kept.
    fn keep(&mut self, _: &Row) {}

    /// The event is dropped, as far as it came.
    fn drop(&mut self, _: DropReason, _: Option<&Event<'_>>) {}
}

/// Nobody looks.
pub(super) struct Nobody;

impl Watch for Nobody {}
