//! The destinations. Adding one: a file here that implements [`Sink`](super::Sink), and a line in
//! `deliver::Delivery::start`.

pub mod bigquery;
mod doubt;
pub mod lake;
pub mod parquet;
pub mod pubsub;
