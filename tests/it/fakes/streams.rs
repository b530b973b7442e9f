//! Streams that were created, and what becomes of offsets: the rules of committed streams.

use real_streaming::gcp::proto::{rpc, storage::storage_error::StorageErrorCode};
use tonic::Code;

use super::judge::storage_error;

/// A committed stream.
#[derive(Clone, Debug, Default)]
pub struct Committed {
    /// Rows so far, so the offset of the next one.
    pub rows: i64,
    pub finalized: bool,
}

impl Committed {
    /// Whether rows may be appended at this offset; without one, at the end.
    pub fn check(&self, offset: Option<i64>) -> Result<(), rpc::Status> {
        if self.finalized {
            let words = "Stream has been finalized and cannot be appended.";
            return Err(storage_error(Code::InvalidArgument, StorageErrorCode::StreamFinalized as i32, words));
        }
        match offset {
            Some(offset) if offset < self.rows => {
                let words = format!("The offset is within stream, expected offset {}, received {offset}", self.rows);
                Err(storage_error(Code::AlreadyExists, StorageErrorCode::OffsetAlreadyExists as i32, &words))
            }
            Some(offset) if offset > self.rows => {
                let words = format!("The offset is beyond stream, expected offset {}, received {offset}", self.rows);
                Err(storage_error(Code::OutOfRange, StorageErrorCode::OffsetOutOfRange as i32, &words))
            }
            _ => Ok(()),
        }
    }
}

/// The key of a stream's or a table's table, `P/D/T`, and the stream's own name: `_default` or another.
pub fn parts(name: &str) -> Option<(String, &str)> {
    let parts: Vec<_> = name.split('/').collect();
    match parts[..] {
        ["projects", project, "datasets", dataset, "tables", table, "streams", stream] => {
            Some((format!("{project}/{dataset}/{table}"), stream))
        }
        // The short form of the default stream, and the parent of a new one.
        ["projects", project, "datasets", dataset, "tables", table, "_default"]
        | ["projects", project, "datasets", dataset, "tables", table] => {
            Some((format!("{project}/{dataset}/{table}"), "_default"))
        }
        _ => None,
    }
}
