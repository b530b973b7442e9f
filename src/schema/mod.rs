//! What a row is made of. `proto/event.proto` is the only place where a column exists; everything here is derived
//! from its descriptor. Imports nothing of the house.

mod format;
pub mod proto;
mod row;

pub use format::Format;
pub use proto::Event;
pub use row::{Date, Row, StreamId};
