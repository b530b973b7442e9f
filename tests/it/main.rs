//! The one integration binary.

mod cli;
mod collect;
mod config;
mod edge;
mod enrich;
mod golden;
mod lake;
mod schema;
