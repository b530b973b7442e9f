//! From JSON to claims, in one pass and without a tree in between.
//!
//! Each field has a small serde visitor that takes whatever JSON is there. A value of the wrong type never fails the
//! parser: it becomes a violation of its own event, and batch-mates do not notice. What does fail the parser is text
//! that is no JSON, and nesting beyond the limit; depth is counted where visitors descend, which costs flat events
//! nothing.

mod browser;
mod event;
mod field;
mod items;
mod members;
mod params;
mod scalar;
mod value;

use std::cell::Cell;

use serde::de;

pub(super) use event::{ClaimSeed, Fields, no_object};
pub(super) use field::Field;
pub use scalar::Scalar;
pub(super) use scalar::{Key, Skip, every_scalar};

use super::{Caller, Limits};

/// What every visitor needs to know.
#[derive(Clone, Copy)]
pub(super) struct Context<'r> {
    pub(super) limits: &'r Limits,
    /// Whose word it is.
    caller: Caller,
    /// Containers that may still be opened here.
    left: u8,
    /// Set when a container too many was met; tells that error from bad JSON.
    too_deep: &'r Cell<bool>,
}

impl<'r> Context<'r> {
    pub(super) fn new(limits: &'r Limits, caller: Caller, too_deep: &'r Cell<bool>) -> Context<'r> {
        Context { limits, caller, left: limits.depth, too_deep }
    }

    /// The context inside an object or array.
    pub(super) fn enter<E: de::Error>(self) -> Result<Context<'r>, E> {
        match self.left.checked_sub(1) {
            Some(left) => Ok(Context { left, ..self }),
            None => {
                self.too_deep.set(true);
                Err(E::custom("too deep"))
            }
        }
    }
}
