//! The tests' stand-ins for Google's services as a program, for clients that others wrote.
//!
//!     fake_google [tally | moments | count] [<certificate> <key>]
//!
//! Prints its ports as a line of JSON: `bigquery` (gRPC), `rest`, `pubsub` (gRPC) and `control`. Rows are kept;
//! or tallied by event id, as are messages; or the same and not judged; or only counted. With a certificate and its key, both
//! files in PEM, BigQuery is also at `bigquery_tls` and `rest_tls`.

#![allow(dead_code, clippy::unwrap_used)]

mod control;
#[path = "../../it/fakes/mod.rs"]
mod fakes;

use fakes::{
    bigquery::BigQuery,
    front::Front,
    pubsub::PubSub,
    tally::{Keep, Tally},
};

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
    if keep == Keep::Tally {
        pubsub.state.lock().tally = Some(Tally::default());
    }
    let mut ports = serde_json::json!({
        "bigquery": bigquery.grpc.port(),
        "rest": bigquery.rest.port(),
        "pubsub": pubsub.addr.port(),
        "control": control::serve(0, bigquery.clone(), pubsub.clone()).await,
    });
    if let [Some(certificate), Some(key)] = [2, 3].map(|number| std::env::args().nth(number)) {
        let [certificate, key] = [certificate, key].map(|path| std::fs::read(path).unwrap());
        for (name, of) in [("bigquery_tls", bigquery.grpc), ("rest_tls", bigquery.rest)] {
            ports[name] = Front::start(of, &certificate, &key).await.addr.port().into();
        }
    }
    println!("{ports}");
    std::future::pending::<()>().await;
}
