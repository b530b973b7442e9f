//! Rows to one Parquet file, written and synced.

use std::{
    fs::File,
    path::Path,
    sync::{Arc, LazyLock},
};

use arrow_array::RecordBatch;
use arrow_schema::SchemaRef;
use parquet::{
    arrow::{ArrowSchemaConverter, ArrowWriter, arrow_writer::ArrowWriterOptions},
    basic::{Compression, ZstdLevel},
    errors::ParquetError,
    file::properties::{EnabledStatistics, WriterProperties},
};

use super::{LakeError, order};
use crate::{deliver::Position, schema};
use bytes::Bytes;

/// Rows turned into columns at a time: enough to spread the cost of 250 column writers, few enough to stay in a few
/// megabytes.
const CHUNK: usize = 4_096;

/// Most rows in a row group: readers skip and spread their work by row groups, and a writer keeps one in memory,
/// encoded.
const ROW_GROUP: usize = 128 * 1_024;

/// Compression of a file. Higher levels cost more time than they save space on rows like ours.
#[derive(Clone, Copy, Debug)]
pub enum Effort {
    /// For fresh files, which are merged soon.
    Fast,
    /// For merged files, which stay.
    Merged,
}

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
    let mut file = ParquetFile::create(path, schema::arrow::schema(), Effort::Fast)?;
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
                schema::arrow::record_batch(chunk.iter().copied())
                    .map_err(|e| file.failed("encode")(ParquetError::External(Box::new(e))))?
            }
        };
        written.rows += batch.num_rows();
        file.write(&batch)?;
    }
    written.rejected.sort_by_key(|rejected| rejected.index);
    file.close()?;
    Ok(written)
}

/// A file being written.
pub struct ParquetFile<'a> {
    path: &'a Path,
    writer: ArrowWriter<File>,
}

impl<'a> ParquetFile<'a> {
    /// Creates the file.
    pub fn create(path: &'a Path, schema: SchemaRef, effort: Effort) -> Result<ParquetFile<'a>, LakeError> {
        let file = File::create(path).map_err(LakeError::io("create", path))?;
        let failed = |source| LakeError::Parquet { action: "write", path: path.into(), source };
        let options = ArrowWriterOptions::new()
            .with_properties(properties(&schema, effort).map_err(failed)?)
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

fn properties(schema: &SchemaRef, effort: Effort) -> Result<WriterProperties, ParquetError> {
    static OURS: LazyLock<Option<[WriterProperties; 2]>> = LazyLock::new(|| {
        let schema = schema::arrow::schema();
        Some([build(&schema, Effort::Fast).ok()?, build(&schema, Effort::Merged).ok()?])
    });
    match &*OURS {
        Some(ours) if Arc::ptr_eq(schema, &schema::arrow::schema()) => Ok(ours[effort as usize].clone()),
        _ => build(schema, effort),
    }
}

fn build(schema: &SchemaRef, effort: Effort) -> Result<WriterProperties, ParquetError> {
    let level = match effort {
        Effort::Fast => 1,
        Effort::Merged => 3,
    };
    let descriptor = ArrowSchemaConverter::new().convert(schema)?;
    Ok(WriterProperties::builder()
        .set_created_by(concat!("real-streaming ", env!("CARGO_PKG_VERSION")).into())
        .set_compression(Compression::ZSTD(ZstdLevel::try_new(level)?))
        .set_statistics_enabled(EnabledStatistics::Chunk)
        .set_offset_index_disabled(true)
        .set_max_row_group_row_count(Some(ROW_GROUP))
        .set_sorting_columns(Some(order::sorting_columns(&descriptor)))
        .build())
}
