//! Merges sorted files into one sorted file, row group by row group: memory does not grow with the files.

use std::{
    fs::File,
    path::{Path, PathBuf},
};

use arrow_array::RecordBatch;
use arrow_select::interleave::interleave_record_batch;
use parquet::{
    arrow::arrow_reader::{ParquetRecordBatchReader, ParquetRecordBatchReaderBuilder},
    errors::ParquetError,
};

use super::{
    LakeError, columns,
    order::{self, Keys},
    writer::ParquetFile,
};

/// Rows decoded at a time, from all parts together.
const READ: usize = 2_048;
/// Rows handed to the writer at a time.
const CHUNK: usize = 1_024;

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
    let opened = parts.iter().map(|part| Part::open(part)).collect::<Result<Vec<_>, _>>()?;
    let Some(newest) = opened.last() else { return Ok(Merged { rows: 0 }) };
    let schema = newest.builder.schema().clone();
    if let Some(other) = opened.iter().find(|part| part.builder.schema().fields() != schema.fields()) {
        return Err(LakeError::OtherColumns { path: other.path.into() });
    }
    let empty = columns::empty_in_all(opened.iter().map(|part| &**part.builder.metadata()));
    let mut file = ParquetFile::create(path, schema, &empty)?;
    let mut cursors = Vec::with_capacity(parts.len());
    for part in opened {
        cursors.extend(part.cursor(READ / parts.len())?);
    }
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

/// A part whose footer was read.
struct Part<'a> {
    path: &'a Path,
    builder: ParquetRecordBatchReaderBuilder<File>,
}

impl<'a> Part<'a> {
    fn open(path: &'a Path) -> Result<Part<'a>, LakeError> {
        let file = File::open(path).map_err(LakeError::io("open", path))?;
        let builder = ParquetRecordBatchReaderBuilder::try_new(file).map_err(failed(path))?;
        Ok(Part { path, builder })
    }

    /// The part's first row, if it has one. Decodes so many rows at a time.
    fn cursor(self, rows: usize) -> Result<Option<Cursor>, LakeError> {
        let Part { path, builder } = self;
        let mut reader = builder.with_batch_size(rows.max(1)).build().map_err(failed(path))?;
        let Some(batch) = reader.next().transpose().map_err(|e| failed(path)(e.into()))? else { return Ok(None) };
        let keys = Keys::of(&batch).map_err(failed(path))?;
        Ok(Some(Cursor { path: path.into(), reader, batch, keys, row: 0, slot: None }))
    }
}

fn failed(path: &Path) -> impl FnOnce(ParquetError) -> LakeError + use<'_> {
    move |source| LakeError::Parquet { action: "read", path: path.into(), source }
}

impl Cursor {
    fn key(&self) -> order::Key<'_> {
        self.keys.at(self.row)
    }

    /// Moves to the next row; `false` when there is none.
    fn advance(&mut self) -> Result<bool, LakeError> {
        self.row += 1;
        if self.row < self.batch.num_rows() {
            return Ok(true);
        }
        let Some(batch) = self.reader.next().transpose().map_err(|e| failed(&self.path)(e.into()))? else {
            return Ok(false);
        };
        self.keys = Keys::of(&batch).map_err(failed(&self.path))?;
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
