//! How rows are written into a table that has all columns of ours, or not.

use std::{collections::HashSet, sync::Arc};

use bytes::Bytes;

use crate::{
    gcp::write::WriterSchema,
    schema::{self, Row, descriptor, narrow::Narrow, wire::WireError},
};

/// How rows are written.
pub struct Writer {
    /// What the server is told.
    pub schema: Arc<WriterSchema>,
    /// What the table lacks.
    pub narrow: Option<Narrow>,
}

impl Writer {
    /// For a table that lacks this.
    pub fn new(narrow: Option<Narrow>) -> Writer {
        let descriptor = narrow.as_ref().map_or_else(descriptor::self_contained, Narrow::descriptor);
        Writer { schema: Arc::new(WriterSchema::new(descriptor)), narrow }
    }

    /// The row as the table takes it: as it is, unless the table lacks columns.
    pub fn row(&self, row: &Row) -> Result<Bytes, WireError> {
        match &self.narrow {
            None => Ok(row.to_bytes()),
            Some(narrow) => narrow.row(row.bytes()),
        }
    }
}

/// Columns of ours that are not among these; of a record that is not, the record alone.
pub fn lacking(columns: &HashSet<String>) -> Vec<String> {
    let mut lacking: Vec<String> = Vec::new();
    for (path, _) in schema::flatten() {
        let is_member =
            lacking.last().is_some_and(|last| path.strip_prefix(&**last).is_some_and(|rest| rest.starts_with('.')));
        if !is_member && !columns.contains(&path.to_lowercase()) {
            lacking.push(path);
        }
    }
    lacking
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_table_lacks_is_named_once() {
        let mut columns: HashSet<_> = schema::flatten().into_iter().map(|(path, _)| path.to_lowercase()).collect();
        assert_eq!(lacking(&columns), [""; 0]);
        columns.retain(|path| path != "user_id" && path != "rs_info.ip" && !path.starts_with("geo"));
        assert_eq!(lacking(&columns), ["user_id", "geo", "rs_info.ip"]);
    }
}
