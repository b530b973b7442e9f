//! What is done before the first write, and after every failed one: clear what was unfinished, learn what is there.

use std::{fs, sync::atomic::Ordering};

use super::{FileName, Lake, LakeError, read_folder, swap, sync_folder};
use crate::schema::Date;

impl Lake {
    /// Creates the folders, removes leftovers of a crash and reads the watermarks from the file names. May be called
    /// again at any time, by the writer.
    pub fn prepare(&self) -> Result<(), LakeError> {
        for folder in [&self.events, &self.staging] {
            fs::create_dir_all(folder).map_err(LakeError::io("create", folder))?;
        }
        // A folder is only as durable as its name in the one above.
        for folder in self.events.ancestors().skip(1).take(2).filter(|folder| folder.is_dir()) {
            sync_folder(folder)?;
        }
        let first_time = !self.prepared.load(Ordering::Relaxed);
        if first_time {
            self.clear_staging()?;
        }
        for date in self.dates()? {
            self.learn(date, first_time)?;
        }
        self.prepared.store(true, Ordering::Relaxed);
        Ok(())
    }

    /// Only at start: later the compactor's files are in `.staging` too, and writers remove their own.
    fn clear_staging(&self) -> Result<(), LakeError> {
        swap::mend_all(&self.events, &self.staging)?;
        // The exchange that made a folder a leftover must be on disk before the leftover goes.
        sync_folder(&self.events)?;
        sync_folder(&self.staging)?;
        for entry in read_folder(&self.staging)? {
            swap::remove(&entry.path())?;
        }
        Ok(())
    }

    /// Every day that has a folder. A file of such a name is somebody else's.
    pub fn dates(&self) -> Result<Vec<Date>, LakeError> {
        let mut dates: Vec<Date> = read_folder(&self.events)?
            .iter()
            .filter(|entry| entry.path().is_dir())
            .filter_map(|entry| Date::parse(entry.file_name().to_str()?.strip_prefix("day=")?))
            .collect();
        dates.sort();
        Ok(dates)
    }

    fn learn(&self, date: Date, first_time: bool) -> Result<(), LakeError> {
        let day = self.day(date);
        let mut day = day.lock();
        let mut watermark = None;
        for (name, _) in self.files(date)? {
            if name.spool != self.spool {
                continue;
            }
            if first_time && name.last >= self.spool_end {
                self.disown(date, &name)?;
                continue;
            }
            watermark = watermark.max(Some(name.last));
        }
        day.watermark = watermark;
        Ok(())
    }

    /// The file holds positions which the spool is about to give out: after a loss of power a spool without fsync
    /// (`durability: memory`) may come back shorter than what was delivered from it. New rows must not be taken for
    /// those in the file, so the file becomes one of another spool.
    fn disown(&self, date: Date, name: &FileName) -> Result<(), LakeError> {
        let other = FileName { spool: fastrand::u64(..), ..name.clone() };
        let folder = self.folder(date);
        let from = folder.join(name.to_string());
        tracing::warn!(file = %from.display(), spool_end = self.spool_end, "the spool lost rows that are in the lake");
        fs::rename(&from, folder.join(other.to_string())).map_err(LakeError::io("rename", &from))?;
        sync_folder(&folder)
    }
}
