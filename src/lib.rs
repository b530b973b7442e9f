//! real-streaming: one binary that fronts a website, collects its events, and keeps them as rows of Google Analytics
//! 4's BigQuery export.
//!
//! The modules in reading order. Arrows point down, never up; `tests/it/layers.rs` checks them.

/// Durations as people write them.
pub mod units;

/// What is wrong with a configuration.
pub mod problem;

/// The columns, the finished row, and every derived form of the schema.
pub mod schema;

/// From bytes on the wire to claims, and the client's answers.
pub mod collect;

/// The steps that fill a row's columns from the request.
pub mod enrich;

/// The journey of an event: a hit in, rows and an answer out.
pub mod pipeline;

/// Clients of Google Cloud: tokens, BigQuery, Pub/Sub.
pub mod gcp;

/// Certificates from an authority that speaks ACME.
pub mod acme;

/// From rows to destinations: spool, couriers, sinks.
pub mod deliver;

/// The listeners: collection ends here, everything else is the site's.
pub mod edge;

/// Metrics and logs.
pub mod telemetry;

/// The parts' settings under one roof.
pub mod config;

/// The parts are built here, in order, and taken down here, in order.
pub mod app;

/// A small shop to try everything on.
pub mod demo;

/// The commands.
pub mod cli;
