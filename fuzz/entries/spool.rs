//! What an earlier process, or a failing disk, left of a spool.

use std::{fs, path::Path};

use real_streaming::{
    deliver::{
        Position,
        spool::{Config, Reader, Spool, SpoolError, frame},
    },
    schema::{Date, Row},
};

/// Identity of every spool here.
const ID: u64 = 7;

/// The records of a segment.
pub fn segment(data: &[u8]) {
    let key = frame::Key::of(ID);
    let recovered = frame::recover(data, key);
    assert!(recovered.whole <= data.len());
    let size: usize = recovered.rows.iter().map(|(_, row)| frame::encoded_len(row)).sum();
    assert!(size <= recovered.whole, "no byte belongs to two rows");
    assert_eq!(frame::recover(&data[..recovered.whole], key).rows, recovered.rows, "nothing was read behind the end");

    let mut written = Vec::new();
    for (position, row) in &recovered.rows {
        frame::encode(row, *position, 0, key, &mut written);
    }
    let again = frame::recover(&written, key);
    assert_eq!((again.rows, again.damaged, again.whole), (recovered.rows, 0, written.len()));
}

/// The consumer whose cursor may lie there.
const CONSUMER: &str = "local";

/// The files of a spool. Each is a byte for its kind, a byte for its length, and so many bytes; see [`write`].
pub fn folder(data: &[u8]) {
    let folder = tempfile::tempdir().expect("there is a place for temporary files");
    let mut rest = data;
    while let [kind, length, after @ ..] = rest {
        let (contents, next) = after.split_at(usize::from(*length).min(after.len()));
        write(folder.path(), *kind, contents);
        rest = next;
    }

    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().expect("a runtime is small");
    let config = Config { directory: folder.path().into(), ..Config::default() };
    let open = || match Spool::open(&config, &[CONSUMER]) {
        Ok(opened) => Some(opened),
        Err(SpoolError::Newer { .. }) => None,
        Err(error) => panic!("what is damaged is passed over: {error}"),
    };
    let Some((spool, mut readers, recovery)) = open() else { return };
    let backlog = &recovery.consumers[0];
    assert!(backlog.position <= spool.end());
    let row = Row::from_parts(Date(0), "fresh".into(), "fresh", &[]);
    let (end, waiting) = runtime.block_on(async {
        spool.append(vec![row.clone()]).await.expect("an opened spool takes rows");
        spool.close().await;
        let end = spool.end();
        let mut rows = read(&mut readers[0], backlog.position, end).await;
        assert_eq!(rows.pop(), Some(row), "a new row comes last");
        readers[0].commit(end);
        (end, rows.len() as u64)
    });
    assert_eq!(waiting, backlog.rows(), "as many rows come as were said to wait");
    drop((spool, readers));

    let (spool, readers, recovery) = open().expect("what was opened once can be opened again");
    assert_eq!((recovery.damaged, recovery.torn), (0, 0), "damage is told once");
    assert_eq!((recovery.consumers[0].rows(), spool.end()), (0, end), "what was committed does not come again");
    drop((spool, readers));
}

/// Every row that waits.
async fn read(reader: &mut Reader, from: Position, end: Position) -> Vec<Row> {
    let mut rows = Vec::new();
    let mut least = from;
    loop {
        let found = reader.next(3, 1 << 20).await;
        if found.is_empty() {
            return rows;
        }
        for spooled in found {
            assert!((least..end).contains(&spooled.position), "positions only grow");
            least = spooled.position + 1;
            rows.push(spooled.row);
        }
    }
}

/// A file of this kind. Checksums are appended where the kind asks for it, for no mutation finds them.
fn write(folder: &Path, kind: u8, contents: &[u8]) {
    let name = match kind & 7 {
        0 => "identity".to_owned(),
        1 => format!("{CONSUMER}.cursor"),
        2 => "other.cursor".to_owned(),
        3 => format!("{CONSUMER}.cursor.new"),
        _ => format!("{:020}.segment", u64::from(kind >> 4) * 3),
    };
    let contents = match kind & 0b1111 {
        0..=7 => contents.to_vec(),
        8..=11 => checked(contents),
        _ => {
            let (header, records) = contents.split_at(contents.len().min(36));
            let mut segment = checked(header);
            for record in records.chunks(4) {
                self::record(record, &mut segment);
            }
            segment
        }
    };
    fs::write(folder.join(name), contents).expect("temporary files can be written");
}

fn checked(contents: &[u8]) -> Vec<u8> {
    [contents, &crc32c::crc32c(contents).to_le_bytes()].concat()
}

/// What kind of record, its position, how many rows of its write precede it, and its length.
fn record(bytes: &[u8], segment: &mut Vec<u8>) {
    let &[kind, position, preceding, length] = bytes else { return segment.extend_from_slice(bytes) };
    let (key, position, start) = (frame::Key::of(ID), u64::from(position), segment.len());
    let payload = vec![kind; usize::from(length)];
    let row = Row::from_parts(Date(i32::from(kind)), "shop".into(), "id", &payload);
    match kind % 8 {
        0 => frame::encode_seal(position, key, segment),
        1 => segment.extend_from_slice(row.bytes()),
        _ => frame::encode(&row, position, preceding.into(), key, segment),
    }
    match kind % 8 {
        2 => segment.truncate(start + (segment.len() - start) / 2),
        3 => segment[start + 9] ^= 1,
        4 => *segment.last_mut().expect("a record is not empty") ^= 1,
        _ => {}
    }
}
