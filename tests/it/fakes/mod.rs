//! Stand-ins for Google's services, on loopback and as strict as the documented rules.

pub mod bigquery;
mod judge;
pub mod proxy;
pub mod pubsub;
mod rest;
mod rules;
mod subscriptions;
