//! Rows to one Parquet file, written and synced.

use std::{fs::File, path::Path};

use arrow_array::RecordBatch;
use arrow_schema::SchemaRef;
use bytes::Bytes;
use parquet::{
    arrow::{ArrowSchemaConverter, ArrowWriter, arrow_writer::ArrowWriterOptions},
    basic::{Compression, ZstdLevel},
    errors::ParquetError,
    file::properties::{EnabledStatistics, WriterProperties},
    schema::types::ColumnPath,
};

use super::{LakeError, columns, order};
use crate::{deliver::Position, schema};

/// Rows turned into columns at a time: enough to spread the cost of 250 column writers, few enough to stay in a few
/// megabytes.
const CHUNK: usize = 4_096;

/// Most rows in a row group: readers skip and spread their work by row groups, and a writer keeps one in memory,
/// encoded.
const ROW_GROUP: usize = 128 * 1_024;

/// Most bytes of a page, encoded. A merge holds one page of every column of every part, and a compressor takes memory
/// by the largest it has seen: 0.2 MB a column with pages of this size, 0.7 MB with the usual ones of 1 MB.
const PAGE: usize = 32 * 1_024;
/// Most bytes of a column's dictionary, per row group; beyond it, values are written out.
const DICTIONARY: usize = 256 * 1_024;
/// Most rows of a page, for the same reason.
const PAGE_ROWS: usize = 4_096;

/// Columns whose values hardly ever repeat. A dictionary of them is work for nothing, and makes the file larger: by a
/// fifth with 25,000 rows.
const UNIQUE: [&[&str]; 5] =
    [&["event_timestamp"], &["batch_page_id"], &["synced_at_utc_"], &["synced_at_micros_"], &["rs_info", "event_id"]];

/// Compression level. Higher ones cost time, and a megabyte of memory for every column, for some hundredths of the size.
const LEVEL: i32 = 1;

/// A row that is not an event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rejected {
    /// Place among the rows given.
    pub index: usize,
    /// Why.
    pub reason: String,
}

/// What became of the rows.
#[derive(Debug)]
pub struct Written {
    /// Rows in the file; when 0 there is nothing worth keeping in it.
    pub rows: usize,
    /// Rows that could not be decoded.
    pub rejected: Vec<Rejected>,
}

/// Those of `rows` that are no events.
pub fn unreadable(rows: &[(Position, Bytes)]) -> Vec<Rejected> {
    let mut rejected = Vec::new();
    for (chunk, part) in rows.chunks(CHUNK).enumerate() {
        if schema::arrow::record_batch(part.iter().map(|(_, bytes)| bytes.as_ref())).is_ok() {
            continue;
        }
        for (index, (_, bytes)) in part.iter().enumerate() {
            if let Err(error) = schema::arrow::record_batch([bytes.as_ref()]) {
                rejected.push(Rejected { index: chunk * CHUNK + index, reason: error.to_string() });
            }
        }
    }
    rejected
}

/// Writes encoded rows, in the lake's order, to a new file at `path`, and syncs it.
pub fn write(path: &Path, rows: &[&[u8]]) -> Result<Written, LakeError> {
    let mut file = None;
    let mut written = Written { rows: 0, rejected: Vec::new() };
    let order = order::sorted(rows);
    let mut chunk: Vec<&[u8]> = Vec::with_capacity(CHUNK.min(rows.len()));
    for indices in order.chunks(CHUNK) {
        chunk.clear();
        chunk.extend(indices.iter().map(|&index| rows[index]));
        let batch = match schema::arrow::record_batch(chunk.iter().copied()) {
            Ok(batch) => batch,
            Err(_) => {
                chunk.clear();
                for &index in indices {
                    match schema::arrow::record_batch([rows[index]]) {
                        Ok(_) => chunk.push(rows[index]),
                        Err(error) => written.rejected.push(Rejected { index, reason: error.to_string() }),
                    }
                }
                schema::arrow::record_batch(chunk.iter().copied()).map_err(|error| {
                    let source = ParquetError::External(Box::new(error));
                    LakeError::Parquet { action: "encode rows for", path: path.into(), source }
                })?
            }
        };
        if batch.num_rows() == 0 {
            continue;
        }
        written.rows += batch.num_rows();
        let file = match &mut file {
            Some(file) => file,
            // The first rows stand for all: their order has nothing to do with what is in them.
            None => file.insert(ParquetFile::create(path, batch.schema(), &columns::empty(&batch))?),
        };
        file.write(&batch)?;
    }
    written.rejected.sort_by_key(|rejected| rejected.index);
    file.map_or(Ok(()), ParquetFile::close)?;
    Ok(written)
}

/// A file being written.
pub struct ParquetFile<'a> {
    path: &'a Path,
    writer: ArrowWriter<File>,
}

impl<'a> ParquetFile<'a> {
    /// Creates the file. `empty` are leaf columns in which no value is expected.
    pub fn create(path: &'a Path, schema: SchemaRef, empty: &[ColumnPath]) -> Result<ParquetFile<'a>, LakeError> {
        let file = File::create(path).map_err(LakeError::io("create", path))?;
        let failed = |source| LakeError::Parquet { action: "write", path: path.into(), source };
        let options = ArrowWriterOptions::new()
            .with_properties(properties(&schema, empty).map_err(failed)?)
            // The Parquet types say everything ours need; repeating 250 columns would double a small file.
            .with_skip_arrow_metadata(true);
        let writer = ArrowWriter::try_new_with_options(file, schema, options).map_err(failed)?;
        Ok(ParquetFile { path, writer })
    }

    /// Adds rows.
    pub fn write(&mut self, batch: &RecordBatch) -> Result<(), LakeError> {
        self.writer.write(batch).map_err(self.failed("write"))
    }

    /// Completes and syncs the file.
    pub fn close(self) -> Result<(), LakeError> {
        let failed = self.failed("write");
        let file = self.writer.into_inner().map_err(failed)?;
        file.sync_all().map_err(LakeError::io("sync", self.path))
    }

    fn failed(&self, action: &'static str) -> impl FnOnce(ParquetError) -> LakeError + use<'a> {
        let path = self.path;
        move |source| LakeError::Parquet { action, path: path.into(), source }
    }
}

fn properties(schema: &SchemaRef, empty: &[ColumnPath]) -> Result<WriterProperties, ParquetError> {
    let descriptor = ArrowSchemaConverter::new().convert(schema)?;
    let mut builder = WriterProperties::builder()
        .set_created_by(concat!("real-streaming ", env!("CARGO_PKG_VERSION")).into())
        .set_compression(Compression::ZSTD(ZstdLevel::try_new(LEVEL)?))
        // Per row group is enough to skip by; per page would cost more than a small file's rows.
        .set_statistics_enabled(EnabledStatistics::Chunk)
        .set_offset_index_disabled(true)
        .set_max_row_group_row_count(Some(ROW_GROUP))
        .set_data_page_size_limit(PAGE)
        .set_data_page_row_count_limit(PAGE_ROWS)
        .set_dictionary_page_size_limit(DICTIONARY)
        .set_sorting_columns(Some(order::sorting_columns(&descriptor)));
    for column in UNIQUE {
        let path = ColumnPath::new(column.iter().map(|name| (*name).to_owned()).collect());
        builder = builder.set_column_dictionary_enabled(path, false);
    }
    // A compressor costs writers and readers more time and memory than all rows of a column without values, and most
    // of our columns have none.
    for path in empty {
        builder = builder.set_column_compression(path.clone(), Compression::UNCOMPRESSED);
    }
    Ok(builder.build())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_columns_named_here_exist() {
        let descriptor = ArrowSchemaConverter::new().convert(&schema::arrow::schema()).unwrap();
        for column in UNIQUE {
            assert!(descriptor.columns().iter().any(|leaf| leaf.path().parts() == column), "{column:?}");
        }
        assert_eq!(order::sorting_columns(&descriptor).len(), order::COLUMNS.len());
    }
}
