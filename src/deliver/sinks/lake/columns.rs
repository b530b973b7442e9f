//! Which columns have no value at all. Of some 250, most are there for the sake of GA4's schema.

use arrow_array::{Array, ArrayRef, RecordBatch, cast::AsArray};
use arrow_schema::DataType;
use parquet::{file::metadata::ParquetMetaData, schema::types::ColumnPath};

/// Leaf columns of a batch without a value.
pub fn empty(batch: &RecordBatch) -> Vec<ColumnPath> {
    let mut empty = Vec::new();
    for (field, column) in batch.schema().fields().iter().zip(batch.columns()) {
        walk(&mut vec![field.name().clone()], column, false, &mut empty);
    }
    empty
}

/// Adds the leaves at or below `array` that have no value; `null` when something above has none already.
fn walk(path: &mut Vec<String>, array: &ArrayRef, null: bool, empty: &mut Vec<ColumnPath>) {
    let null = null || array.null_count() == array.len();
    match array.data_type() {
        DataType::Struct(fields) => {
            for (field, column) in fields.iter().zip(array.as_struct().columns()) {
                path.push(field.name().clone());
                walk(path, column, null, empty);
                path.pop();
            }
        }
        DataType::List(element) => {
            // The names that Parquet gives to the levels of a list.
            path.extend(["list".to_owned(), element.name().clone()]);
            walk(path, array.as_list::<i32>().values(), null, empty);
            path.truncate(path.len() - 2);
        }
        _ if null => empty.push(ColumnPath::new(path.clone())),
        _ => {}
    }
}

/// Leaf columns without a value in all of `files`, which have the same columns.
pub fn empty_in_all<'a>(files: impl Iterator<Item = &'a ParquetMetaData> + Clone) -> Vec<ColumnPath> {
    let Some(first) = files.clone().next() else { return Vec::new() };
    let leaves = first.file_metadata().schema_descr().columns();
    let row_groups = files.flat_map(|file| file.row_groups());
    let is_empty = |index: usize| {
        row_groups.clone().all(|group| {
            let column = group.column(index);
            let nulls = column.statistics().and_then(|statistics| statistics.null_count_opt());
            nulls == u64::try_from(column.num_values()).ok()
        })
    };
    (0..leaves.len()).filter(|index| is_empty(*index)).map(|index| leaves[index].path().clone()).collect()
}

#[cfg(test)]
mod tests {
    use parquet::arrow::ArrowSchemaConverter;

    use super::*;
    use crate::schema::{
        Encode, arrow,
        proto::{Event, event::*},
    };

    #[test]
    fn what_has_a_value_is_not_empty_and_all_else_is() {
        let event = Event {
            event_name: Some("a".into()),
            device: Some(Device { web_info: Some(WebInfo::default()), ..Device::default() }),
            items: vec![Item { item_params: vec![Param { key: Some("k".into()), value: None }], ..Item::default() }],
            ..Event::default()
        };
        let rows = [Vec::new(), event.encode_to_vec()];
        let batch = arrow::record_batch(rows.iter().map(Vec::as_slice)).unwrap();
        let empty = empty(&batch);
        let descriptor = ArrowSchemaConverter::new().convert(&arrow::schema()).unwrap();
        let all: Vec<_> = descriptor.columns().iter().map(|leaf| leaf.path().clone()).collect();
        let full: Vec<_> = all.iter().filter(|path| !empty.contains(path)).map(ColumnPath::string).collect();
        assert_eq!(full, ["event_name", "items.list.element.item_params.list.element.key"]);
        assert!(empty.iter().all(|path| all.contains(path)));
    }
}
