//! How an append ends when it does not succeed.

use crate::gcp::{Failure, failure::shortened, proto::storage::RowError};

/// Why rows are not in the table.
#[derive(Clone, Debug, thiserror::Error)]
pub enum AppendError {
    /// The request was refused as a whole because of some of its rows. There may be more than are listed.
    #[error("{} rows are refused, the first with: {}", .0.len(), .0.first().map_or("", |fault| &fault.message))]
    Rows(Vec<RowFault>),
    /// Anything else.
    #[error(transparent)]
    Failed(#[from] Failure),
}

/// A row that the table will not take.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RowFault {
    /// Index in the request, as the server says.
    pub index: i64,
    /// The server's words.
    pub message: String,
}

impl RowFault {
    /// As the server lists it.
    pub fn of(error: RowError) -> RowFault {
        RowFault { index: error.index, message: shortened(error.message) }
    }
}
