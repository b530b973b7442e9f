//! The tests' stand-ins for Google's services as a program, for clients that others wrote.
//!
//!     fake_google [tally | moments | count]
//!
//! Prints its ports as a line of JSON: `bigquery` (gRPC), `rest`, `pubsub` (gRPC) and `control`. Rows are kept;
//! or tallied by event id; or the same and not judged; or only counted.

#![allow(dead_code, clippy::unwrap_used)]

mod control;
#[path = "../../it/fakes/mod.rs"]
mod fakes;

use fakes::{bigquery::BigQuery, pubsub::PubSub, tally::Keep};

#[tokio::main(flavor = "multi_thread", worker_threads = 2)]
async fn main() {
    let keep = match std::env::args().nth(1).as_deref() {
        None => Keep::Rows,
        Some("tally") => Keep::Tally,
        Some("moments") => Keep::Moments,
        Some("count") => Keep::Count,
        Some(other) => panic!("`{other}` is none of `tally`, `moments`, `count`"),
    };
    let (bigquery, pubsub) = (BigQuery::start().await, PubSub::start().await);
    bigquery.state.lock().keep = keep;
    let ports = serde_json::json!({
        "bigquery": bigquery.grpc.port(),
        "rest": bigquery.rest.port(),
        "pubsub": pubsub.addr.port(),
        "control": control::serve(0, bigquery.clone(), pubsub.clone()).await,
    });
    println!("{ports}");
    std::future::pending::<()>().await;
}
