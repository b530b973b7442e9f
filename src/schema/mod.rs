//! What a row is made of. `proto/event.proto` is the only place where a column exists; everything here is derived
//! from its descriptor. Imports nothing of the house.
//!
//! A [`Row`] is encoded once ([`Row::freeze`]). Its other forms, [`arrow`] and [`json`], are made straight from the
//! encoded bytes with the column tree ([`columns`]) as the guide, never by way of an [`Event`].

pub mod arrow;
pub mod bigquery;
mod column;
mod decode;
pub mod descriptor;
pub mod docs;
mod encode;
mod event;
mod format;
pub mod json;
mod leaves;
pub mod narrow;
pub mod proto;
pub mod reference;
mod row;
pub mod wire;

pub use column::{Column, Fields, Kind, Mode, column, columns, flatten};
pub use decode::{DecodeError, Fault};
pub use encode::Encode;
pub use format::{Format, UnknownFormat};
pub use leaves::{Leaf, leaves, leaves_of};
pub use proto::Event;
pub use row::{Date, Row, StreamId};
