//! The cursor of a consumer: a small file that says below which position it has everything.

use std::io;

use super::{
    files::{self, Files},
    frame::BEYOND,
};
use crate::deliver::Position;

const MAGIC: [u8; 8] = *b"rscursor";
const ENDING: &str = ".cursor";
const LEN: usize = 28;

/// The file of `consumer`.
pub fn name(consumer: &str) -> String {
    format!("{consumer}{ENDING}")
}

/// The consumer of a cursor file.
pub fn parse_name(name: &str) -> Option<&str> {
    name.strip_suffix(ENDING)
}

/// Writes the cursor, durably.
pub fn write(files: &dyn Files, consumer: &str, id: u64, position: Position) -> io::Result<()> {
    let mut bytes = [0; LEN];
    bytes[..8].copy_from_slice(&MAGIC);
    bytes[8..16].copy_from_slice(&id.to_le_bytes());
    bytes[16..24].copy_from_slice(&position.to_le_bytes());
    let sum = crc32c::crc32c(&bytes[..24]);
    bytes[24..].copy_from_slice(&sum.to_le_bytes());
    files::replace(files, &name(consumer), &bytes)
}

/// Reads the cursor of `consumer` in spool `id`; nothing when the file is damaged or speaks of another spool.
pub fn read(files: &dyn Files, consumer: &str, id: u64) -> io::Result<Option<Position>> {
    let input = files.open(&name(consumer))?;
    let mut bytes = [0; LEN + 1];
    let mut len = 0;
    while len < bytes.len() {
        match input.read_at(&mut bytes[len..], len as u64)? {
            0 => break,
            n => len += n,
        }
    }
    Ok(parse(&bytes[..len], id))
}

fn parse(bytes: &[u8], id: u64) -> Option<Position> {
    let (magic, rest) = bytes.split_first_chunk::<8>()?;
    let (found_id, rest) = rest.split_first_chunk::<8>()?;
    let (position, rest) = rest.split_first_chunk::<8>()?;
    let sum = <[u8; 4]>::try_from(rest).ok()?;
    let whole = *magic == MAGIC && u32::from_le_bytes(sum) == crc32c::crc32c(&bytes[..24]);
    let position = u64::from_le_bytes(*position);
    (whole && u64::from_le_bytes(*found_id) == id && position < BEYOND).then_some(position)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::deliver::spool::files::Directory;

    #[test]
    fn a_cursor_is_read_back_in_its_own_spool_only() {
        let path = tempfile::tempdir().unwrap();
        let files = Directory::open(path.path()).unwrap();
        write(&files, "local", 9, 1_234).unwrap();
        assert_eq!(read(&files, "local", 9).unwrap(), Some(1_234));
        assert_eq!(read(&files, "local", 8).unwrap(), None);
        files.truncate("local.cursor", 27).unwrap();
        assert_eq!(read(&files, "local", 9).unwrap(), None);
        write(&files, "local", 9, BEYOND).unwrap();
        assert_eq!(read(&files, "local", 9).unwrap(), None);
    }
}
