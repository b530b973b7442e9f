//! The lake's files of a backfill, linked so that no merge changes them any more.

use std::{
    fs::{self, File},
    io,
    path::{Path, PathBuf},
};

use arrow_array::{Array, RecordBatch, cast::AsArray};
use parquet::{arrow::arrow_reader::ParquetRecordBatchReaderBuilder, errors::ParquetError};

use super::{BackfillError, Days, READ};
use crate::{
    deliver::sinks::lake::FileName,
    schema::{Date, Row, arrow},
};

/// A file of the lake, as it was when the backfill began.
pub struct LakeFile {
    path: PathBuf,
    date: Date,
    /// How many it has.
    pub rows: u64,
}

impl LakeFile {
    /// It cannot be read.
    pub fn unreadable(&self, source: ParquetError) -> BackfillError {
        BackfillError::Parquet { path: self.path.clone(), source }
    }

    fn builder(&self) -> Result<ParquetRecordBatchReaderBuilder<File>, BackfillError> {
        let file = File::open(&self.path).map_err(BackfillError::io("read", &self.path))?;
        ParquetRecordBatchReaderBuilder::try_new(file).map_err(|error| self.unreadable(error))
    }

    /// From row `skipped` on.
    pub fn open(
        &self,
        skipped: u64,
    ) -> Result<impl Iterator<Item = Result<RecordBatch, arrow_schema::ArrowError>> + use<>, BackfillError> {
        let builder = self.builder()?.with_batch_size(READ).with_offset(skipped as usize);
        builder.build().map_err(|error| self.unreadable(error))
    }

    /// A batch of it as rows.
    pub fn rows_of(&self, batch: &RecordBatch) -> Result<Vec<Row>, BackfillError> {
        let failed = |source| BackfillError::Columns { path: self.path.clone(), source };
        let rows = arrow::rows(batch).map_err(failed)?;
        let text = |array: Option<&arrow_array::ArrayRef>, at: usize| {
            let array = array.and_then(|array| array.as_string_opt::<i32>()).filter(|array| array.is_valid(at));
            array.map(|array| array.value(at).to_owned()).unwrap_or_default()
        };
        let streams = batch.column_by_name("stream_id");
        let info = batch.column_by_name("rs_info").and_then(|info| info.as_struct_opt());
        let ids = info.and_then(|info| info.column_by_name("event_id"));
        let row = |(at, bytes): (usize, Vec<u8>)| {
            Row::from_parts(self.date, text(streams, at).into(), &text(ids, at), &bytes)
        };
        Ok(rows.into_iter().enumerate().map(row).collect())
    }
}

/// Links the lake's files of these days into `files`, which is there as a whole or not at all.
pub fn link(lake: &Path, days: Days, files: &Path) -> Result<(), BackfillError> {
    let unfinished = files.with_extension("new");
    if unfinished.exists() {
        fs::remove_dir_all(&unfinished).map_err(BackfillError::io("remove", &unfinished))?;
    }
    fs::create_dir(&unfinished).map_err(BackfillError::io("create", &unfinished))?;
    let mut found = 0;
    for day in days.from.0..=days.to.0 {
        let folder = lake.join("events").join(format!("day={}", Date(day)));
        found += link_day(&folder, Date(day), &unfinished)?;
    }
    if found == 0 {
        return Err(BackfillError::Nothing(lake.to_owned()));
    }
    File::open(&unfinished).and_then(|folder| folder.sync_all()).map_err(BackfillError::io("sync", &unfinished))?;
    fs::rename(&unfinished, files).map_err(BackfillError::io("create", files))
}

/// Links one day. A merge may exchange the day's folder meanwhile: then it is looked at again.
fn link_day(folder: &Path, date: Date, into: &Path) -> Result<usize, BackfillError> {
    'again: loop {
        let entries = match fs::read_dir(folder) {
            Ok(entries) => entries,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(0),
            Err(error) => return Err(BackfillError::io("read", folder)(error)),
        };
        let mut linked: Vec<PathBuf> = Vec::new();
        for entry in entries {
            let entry = entry.map_err(BackfillError::io("read", folder))?;
            let name = entry.file_name().to_string_lossy().into_owned();
            if FileName::parse(&name).is_none() {
                continue;
            }
            let target = into.join(format!("{date}_{name}"));
            match fs::hard_link(entry.path(), &target) {
                Ok(()) => linked.push(target),
                Err(error) if error.kind() == io::ErrorKind::NotFound && into.is_dir() => {
                    for target in linked {
                        fs::remove_file(&target).map_err(BackfillError::io("remove", &target))?;
                    }
                    continue 'again;
                }
                Err(error) => return Err(BackfillError::io("link", &entry.path())(error)),
            }
        }
        return Ok(linked.len());
    }
}

/// The linked files, in the order of their names, which never changes.
pub fn list(files: &Path) -> Result<Vec<LakeFile>, BackfillError> {
    let mut found = Vec::new();
    for entry in fs::read_dir(files).map_err(BackfillError::io("read", files))? {
        let path = entry.map_err(BackfillError::io("read", files))?.path();
        let name = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
        let Some(date) = name.split_once('_').and_then(|(date, _)| Date::parse(date)) else { continue };
        let mut file = LakeFile { path, date, rows: 0 };
        file.rows = file.builder()?.metadata().file_metadata().num_rows().max(0) as u64;
        found.push(file);
    }
    found.sort_by(|one, other| one.path.cmp(&other.path));
    Ok(found)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn links_that_have_nowhere_to_go_are_an_error() {
        let folder = tempfile::tempdir().unwrap();
        let name = FileName::fresh(1, 0, 0).to_string();
        fs::write(folder.path().join(&name), b"").unwrap();
        let into = folder.path().join("files.new");
        let (tell, told) = std::sync::mpsc::channel();
        let (from, to) = (folder.path().to_owned(), into.clone());
        std::thread::spawn(move || tell.send(link_day(&from, Date(0), &to)));
        let error = told.recv_timeout(Duration::from_secs(20)).expect("it tries for ever").unwrap_err().to_string();
        assert!(error.contains("cannot link"), "{error}");
        fs::create_dir(&into).unwrap();
        assert_eq!(link_day(folder.path(), Date(0), &into).unwrap(), 1);
    }
}
