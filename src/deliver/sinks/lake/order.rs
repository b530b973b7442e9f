//! The order of rows in a file: by `user_pseudo_id`, then `event_name`, bytewise, nulls first; ties in spool order.
//!
//! Rows are put in order before they become columns, where moving one is moving a pointer. It brings the events of a
//! visitor together, which most questions ask for, and makes the file smaller.

use arrow_array::{Array, ArrayRef, RecordBatch, StringArray};
use parquet::{errors::ParquetError, file::metadata::SortingColumn, schema::types::SchemaDescriptor};

use crate::deliver::peek::{self, Wire};

/// The columns of the order, first to last.
pub const COLUMNS: [&str; 2] = ["user_pseudo_id", "event_name"];

/// What a row is ordered by.
pub type Key<'a> = [Option<&'a [u8]>; 2];

/// Key of an encoded row.
pub fn key_of_row(row: &[u8]) -> Key<'_> {
    let mut key = [None, None];
    for (number, wire) in peek::fields(row) {
        match (number, wire) {
            (peek::USER_PSEUDO_ID, Wire::Bytes(text)) => key[0] = Some(text),
            (peek::EVENT_NAME, Wire::Bytes(text)) => key[1] = Some(text),
            // Encoders write fields by number, and neither repeats.
            (number, _) if number > peek::USER_PSEUDO_ID => break,
            _ => {}
        }
    }
    key
}

/// The indices of `rows` in order.
pub fn sorted(rows: &[&[u8]]) -> Vec<usize> {
    let keys = rows.iter().map(|row| key_of_row(row));
    let mut keyed: Vec<(u64, Key<'_>, usize)> = keys.zip(0..).map(|(key, at)| (beginning(key[0]), key, at)).collect();
    keyed.sort_unstable();
    keyed.into_iter().map(|(_, _, index)| index).collect()
}

/// A text's first bytes as a number of the same order, which tells most texts apart without a look at them.
fn beginning(text: Option<&[u8]>) -> u64 {
    let mut bytes = [0; 8];
    let text = text.unwrap_or_default();
    let len = text.len().min(bytes.len());
    bytes[..len].copy_from_slice(&text[..len]);
    u64::from_be_bytes(bytes)
}

/// The key columns of a batch.
pub struct Keys([StringArray; 2]);

impl Keys {
    /// Finds the columns by name.
    pub fn of(batch: &RecordBatch) -> Result<Keys, ParquetError> {
        let column = |name: &str| {
            let column: Option<&ArrayRef> = batch.column_by_name(name);
            column
                .and_then(|array| array.as_any().downcast_ref::<StringArray>())
                .cloned()
                .ok_or_else(|| ParquetError::General(format!("no text column `{name}`")))
        };
        Ok(Keys([column(COLUMNS[0])?, column(COLUMNS[1])?]))
    }

    /// Key of the row at `index`.
    pub fn at(&self, index: usize) -> Key<'_> {
        let [user, event] = &self.0;
        [
            user.is_valid(index).then(|| user.value(index).as_bytes()),
            event.is_valid(index).then(|| event.value(index).as_bytes()),
        ]
    }
}

/// The order as Parquet metadata.
pub fn sorting_columns(schema: &SchemaDescriptor) -> Vec<SortingColumn> {
    let leaf = |name: &str| schema.columns().iter().position(|column| column.path().parts() == [name.to_owned()]);
    COLUMNS
        .iter()
        .filter_map(|name| leaf(name))
        .map(|index| SortingColumn { column_idx: index as i32, descending: false, nulls_first: true })
        .collect()
}

/// Whether a batch is in order.
#[cfg(test)]
pub fn is_sorted(batch: &RecordBatch) -> bool {
    Keys::of(batch).is_ok_and(|keys| (1..batch.num_rows()).all(|i| keys.at(i - 1) <= keys.at(i)))
}

#[cfg(test)]
mod tests {

    use super::*;
    use crate::schema::{Encode, Event, arrow};

    fn event(user: Option<&str>, name: Option<&str>) -> Vec<u8> {
        Event {
            user_pseudo_id: user.map(Into::into),
            event_name: name.map(Into::into),
            platform: Some("WEB".into()),
            ..Event::default()
        }
        .encode_to_vec()
    }

    #[test]
    fn nulls_come_first_and_ties_keep_their_order() {
        let rows = [
            event(Some("b"), Some("x")),
            event(Some("a"), Some("y")),
            event(None, Some("z")),
            event(Some("a"), None),
            event(Some("a"), Some("y")),
            event(Some("12345678.9"), None),
            event(Some("12345678"), None),
            event(Some(""), None),
            event(Some("a\0"), None),
        ];
        let rows: Vec<&[u8]> = rows.iter().map(Vec::as_slice).collect();
        assert_eq!(sorted(&rows), [2, 7, 6, 5, 3, 1, 4, 8, 0]);
    }

    #[test]
    fn the_wire_and_the_columns_agree_on_the_order() {
        let rows = [event(Some("b"), Some("é")), event(None, None), event(Some(""), Some("a")), event(None, Some(""))];
        let rows: Vec<&[u8]> = rows.iter().map(Vec::as_slice).collect();
        let batch = arrow::record_batch(rows.iter().copied()).unwrap();
        let keys = Keys::of(&batch).unwrap();
        for (index, row) in rows.iter().enumerate() {
            assert_eq!(keys.at(index), key_of_row(row));
        }
        assert!(!is_sorted(&batch));
        let ordered: Vec<&[u8]> = sorted(&rows).into_iter().map(|i| rows[i]).collect();
        assert!(is_sorted(&arrow::record_batch(ordered).unwrap()));
    }
}
