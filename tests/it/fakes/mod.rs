//! Stand-ins for Google's services, on loopback and as strict as the documented rules.

pub mod bigquery;
pub mod front;
pub mod judge;
pub mod proxy;
pub mod pubsub;
mod rest;
mod rules;
pub mod schemas;
mod streams;
mod subscriptions;
pub mod tally;
