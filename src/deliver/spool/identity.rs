//! Who a spool is: a random number in a file of its own, made once. Positions, and so whatever sinks name after them,
//! are unique only within it.

use std::{
    hash::{BuildHasher, RandomState},
    io,
    time::SystemTime,
};

use super::files::{self, Files};

/// The file.
pub const NAME: &str = "identity";

const MAGIC: [u8; 8] = *b"rs-ident";
const LEN: usize = 20;

/// Reads the identity; nothing when the file is damaged.
pub fn read(files: &dyn Files) -> io::Result<Option<u64>> {
    let mut bytes = [0; LEN];
    let len = files.open(NAME)?.read_at(&mut bytes, 0)?;
    let Some((id, sum)) = bytes[8..].split_first_chunk::<8>() else { return Ok(None) };
    let whole = len == LEN && bytes[..8] == MAGIC && sum == crc32c::crc32c(&bytes[..16]).to_le_bytes();
    Ok(whole.then_some(u64::from_le_bytes(*id)))
}

/// Writes the identity, durably.
pub fn write(files: &dyn Files, id: u64) -> io::Result<()> {
    let mut bytes = [0; LEN];
    bytes[..8].copy_from_slice(&MAGIC);
    bytes[8..16].copy_from_slice(&id.to_le_bytes());
    let sum = crc32c::crc32c(&bytes[..16]);
    bytes[16..].copy_from_slice(&sum.to_le_bytes());
    files::replace(files, NAME, &bytes)
}

/// A new identity. The standard library's hash keys come from the operating system's randomness.
pub fn random() -> u64 {
    RandomState::new().hash_one((SystemTime::now(), std::process::id()))
}
