//! The one integration binary.

#![allow(clippy::unwrap_used)]

mod access_log;
mod acme;
mod authority;
mod bigquery;
mod books;
mod callers;
mod cli;
mod client;
mod collect;
mod config;
mod crash;
mod crash_in_lake;
mod disk_full;
mod edge;
mod enrich;
mod explain;
mod fakes;
mod fuzz;
mod golden;
mod google_cloud;
mod hit;
mod lake;
mod layers;
mod machines;
mod main_job;
mod mmdb;
mod place;
mod pubsub;
mod redact;
mod reload;
mod schema;
mod setup;
mod site;
mod upgrade;
mod world;
