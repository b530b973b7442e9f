//! Merges sorted files into one sorted file, row group by row group: memory does not grow with the files.

use std::{
    fs::File,
    path::{Path, PathBuf},
};

use arrow_array::RecordBatch;
use arrow_schema::SchemaRef;
use arrow_select::interleave::interleave_record_batch;
use parquet::{
    arrow::arrow_reader::{ParquetRecordBatchReader, ParquetRecordBatchReaderBuilder},
    errors::ParquetError,
};

use super::{
    LakeError,
    order::{self, Keys},
    writer::{Effort, ParquetFile},
};

/// Rows decoded at a time from each part.
const READ: usize = 1_024;
/// Rows handed to the writer at a time.
const CHUNK: usize = 4_096;

/// What a merge made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Merged {
    /// Rows in the new file: as many as in its parts.
    pub rows: usize,
}

/// Writes the rows of `parts` to a new file at `path`, and syncs it. Ties keep the order of the parts. All must have
/// the columns of the last, the newest. `checkpoint` is called every few thousand rows; an error from it ends the
/// merge.
pub fn merge(
    parts: &[PathBuf],
    path: &Path,
    checkpoint: &dyn Fn() -> Result<(), LakeError>,
) -> Result<Merged, LakeError> {
    let opened = parts.iter().map(|part| Cursor::open(part)).collect::<Result<Vec<_>, _>>()?;
    let Some((schema, _)) = opened.last() else { return Ok(Merged { rows: 0 }) };
    let schema = schema.clone();
    let mut cursors = Vec::with_capacity(parts.len());
    for (part, (columns, cursor)) in parts.iter().zip(opened) {
        if columns.fields() != schema.fields() {
            return Err(LakeError::OtherColumns { path: part.clone() });
        }
        cursors.extend(cursor);
    }

    let mut file = ParquetFile::create(path, schema, Effort::Merged)?;
    let mut chunk = Chunk::default();
    let mut merged = Merged { rows: 0 };
    while !cursors.is_empty() {
        let least = least(&cursors);
        let cursor = &mut cursors[least];
        chunk.push(cursor);
        merged.rows += 1;
        if !cursor.advance()? {
            cursors.remove(least);
        }
        if chunk.rows.len() >= CHUNK {
            checkpoint()?;
            chunk.write(&mut file, path)?;
            cursors.iter_mut().for_each(|cursor| cursor.slot = None);
        }
    }
    chunk.write(&mut file, path)?;
    checkpoint()?;
    file.close()?;
    Ok(merged)
}

/// The cursor with the lowest key; the first of those with equal keys. Parts are few, so a scan beats a heap that
/// would have to own its keys.
fn least(cursors: &[Cursor]) -> usize {
    let mut least = 0;
    for index in 1..cursors.len() {
        if cursors[index].key() < cursors[least].key() {
            least = index;
        }
    }
    least
}

/// A place in one part.
struct Cursor {
    path: PathBuf,
    reader: ParquetRecordBatchReader,
    batch: RecordBatch,
    keys: Keys,
    row: usize,
    /// Place of `batch` in the current chunk, once a row of it is there.
    slot: Option<usize>,
}

impl Cursor {
    /// The part's columns, and its first row if it has one.
    fn open(path: &Path) -> Result<(SchemaRef, Option<Cursor>), LakeError> {
        let failed = |source: ParquetError| LakeError::Parquet { action: "read", path: path.into(), source };
        let file = File::open(path).map_err(LakeError::io("open", path))?;
        let builder = ParquetRecordBatchReaderBuilder::try_new(file).map_err(failed)?.with_batch_size(READ);
        let schema = builder.schema().clone();
        let mut reader = builder.build().map_err(failed)?;
        let Some(batch) = reader.next().transpose().map_err(|e| failed(e.into()))? else { return Ok((schema, None)) };
        let keys = Keys::of(&batch).map_err(failed)?;
        Ok((schema, Some(Cursor { path: path.into(), reader, batch, keys, row: 0, slot: None })))
    }

    fn key(&self) -> order::Key<'_> {
        self.keys.at(self.row)
    }

    /// Moves to the next row; `false` when there is none.
    fn advance(&mut self) -> Result<bool, LakeError> {
        self.row += 1;
        if self.row < self.batch.num_rows() {
            return Ok(true);
        }
        let failed = |source| LakeError::Parquet { action: "read", path: self.path.clone(), source };
        let Some(batch) = self.reader.next().transpose().map_err(|e| failed(e.into()))? else { return Ok(false) };
        self.keys = Keys::of(&batch).map_err(failed)?;
        self.batch = batch;
        self.row = 0;
        self.slot = None;
        Ok(true)
    }
}

/// Rows chosen for the next write.
#[derive(Default)]
struct Chunk {
    batches: Vec<RecordBatch>,
    rows: Vec<(usize, usize)>,
}

impl Chunk {
    fn push(&mut self, cursor: &mut Cursor) {
        let slot = *cursor.slot.get_or_insert_with(|| {
            self.batches.push(cursor.batch.clone());
            self.batches.len() - 1
        });
        self.rows.push((slot, cursor.row));
    }

    fn write(&mut self, file: &mut ParquetFile<'_>, path: &Path) -> Result<(), LakeError> {
        if !self.rows.is_empty() {
            let batches: Vec<&RecordBatch> = self.batches.iter().collect();
            let rows = interleave_record_batch(&batches, &self.rows).map_err(|e| LakeError::Parquet {
                action: "merge into",
                path: path.into(),
                source: e.into(),
            })?;
            file.write(&rows)?;
        }
        self.batches.clear();
        self.rows.clear();
        Ok(())
    }
}
