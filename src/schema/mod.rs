//! What a row is made of. `proto/event.proto` is the only place where a column exists; everything here is derived
//! from its descriptor. Imports nothing of the house.

pub mod proto;
mod row;

pub use proto::Event;
pub use row::{Date, Row, StreamId};
