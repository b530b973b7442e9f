//! The rows of one segment's file, from front to end, some at a time.

use std::{
    collections::{HashSet, VecDeque},
    io,
};

use super::{
    files::Files,
    frame::{self, Key},
    log::Place,
    scan::{Found, Scan},
    segment::{self, Segment},
    windows::Windows,
};
use crate::{
    deliver::{Position, Spooled},
    schema::StreamId,
};

/// Streams whose allocation is shared, before the memory of them starts anew: clients can invent ids.
const MAX_STREAMS: usize = 1_000;

/// Reading one segment from front to end.
pub struct Walk {
    /// First position of the segment.
    segment: Position,
    /// Position of the next row to return.
    pub next: Position,
    scan: Option<(Scan, Streams)>,
    /// Memory for the scan, until there is one.
    windows: Windows,
    /// The next row, which was too much for the last window: alone it would be the whole of the following one.
    over: Option<Spooled>,
}

impl Walk {
    /// Where a reader at `position` wants to read on: the walk before, if it stands there.
    pub fn on(before: Option<Walk>, segment: &Segment, position: Position) -> Walk {
        let next = position.max(segment.first);
        match before {
            Some(walk) if walk.segment == segment.first && walk.next == next => walk,
            Some(walk) => {
                let windows = walk.scan.map_or(walk.windows, |(scan, _)| scan.into_windows());
                Walk { segment: segment.first, next, scan: None, windows, over: None }
            }
            None => Walk { segment: segment.first, next, scan: None, windows: Windows::default(), over: None },
        }
    }

    /// Nothing is read for some time.
    pub fn rest(&mut self) {
        if let Some((scan, _)) = &mut self.scan {
            scan.rest();
        }
    }

    /// The next rows: at most `max_rows`, and at most `max_bytes` unless the first one alone has more.
    pub fn read(
        &mut self,
        files: &dyn Files,
        segment: &Segment,
        place: Option<Place>,
        key: Key,
        max_rows: usize,
        max_bytes: usize,
    ) -> io::Result<Chunk> {
        let mut chunk = Chunk::default();
        // After an error the walk begins anew.
        let (mut scan, mut streams) = match self.scan.take() {
            Some(scan) => scan,
            None => {
                let name = segment::name(segment.first);
                let input = match files.open(&name) {
                    Err(error) if error.kind() == io::ErrorKind::NotFound => {
                        tracing::error!(segment = name, "spool segment has vanished");
                        self.pass_over(segment.end, &mut chunk);
                        return Ok(chunk);
                    }
                    input => input?,
                };
                let known = place.filter(|place| place.segment == segment.first);
                let offset = known.map_or(segment::HEADER, |place| place.offset);
                let windows = std::mem::take(&mut self.windows);
                (Scan::new(input, key, offset, segment.len).with(windows), Streams::default())
            }
        };
        scan.extend(segment.len);
        let mut bytes = 0;
        while chunk.rows.len() < max_rows && bytes < max_bytes {
            if let Some(over) = self.over.take() {
                bytes += over.row.bytes().len();
                self.keep(over, &mut chunk);
                continue;
            }
            match scan.next()? {
                Some(Found::Row { position, payload, .. }) if position >= self.next && position < segment.end => {
                    let Some(row) = frame::decode(payload, |stream| streams.share(stream)) else { continue };
                    let spooled = Spooled { position, row };
                    bytes += spooled.row.bytes().len();
                    if bytes > max_bytes && !chunk.rows.is_empty() {
                        self.over = Some(spooled);
                        break;
                    }
                    self.keep(spooled, &mut chunk);
                }
                // As recovery has it: what stands behind either belongs to positions above it.
                Some(Found::Seal { end }) if end <= segment.end => self.pass_over(end, &mut chunk),
                Some(Found::Unknown { position }) if position < segment.end => {
                    self.pass_over(position + 1, &mut chunk);
                }
                Some(_) => {}
                None => {
                    self.pass_over(segment.end, &mut chunk);
                    break;
                }
            }
        }
        self.scan = Some((scan, streams));
        Ok(chunk)
    }

    fn keep(&mut self, spooled: Spooled, chunk: &mut Chunk) {
        self.pass_over(spooled.position, chunk);
        self.next = spooled.position + 1;
        chunk.rows.push_back(spooled);
    }

    /// Goes on at `position`, if that lies ahead; nothing was found for the positions below.
    fn pass_over(&mut self, position: Position, chunk: &mut Chunk) {
        if self.next < position {
            chunk.lost.push((self.next, position));
            self.next = position;
        }
    }
}

/// What was read at once.
#[derive(Default)]
pub struct Chunk {
    /// In order.
    pub rows: VecDeque<Spooled>,
    /// Positions that ought to hold rows, and do not.
    pub lost: Vec<(Position, Position)>,
}

/// Gives rows of one stream one allocation.
#[derive(Default)]
struct Streams {
    known: HashSet<StreamId>,
    /// Of the row before: most often it is the next one's, too.
    last: Option<StreamId>,
}

impl Streams {
    /// `None` when it is not text.
    fn share(&mut self, stream: &[u8]) -> Option<StreamId> {
        if let Some(last) = self.last.as_ref().filter(|last| last.as_bytes() == stream) {
            return Some(last.clone());
        }
        let stream = str::from_utf8(stream).ok()?;
        let shared = match self.known.get(stream) {
            Some(known) => known.clone(),
            None => {
                if self.known.len() >= MAX_STREAMS {
                    self.known.clear();
                }
                let shared: StreamId = stream.into();
                self.known.insert(shared.clone());
                shared
            }
        };
        self.last = Some(shared.clone());
        Some(shared)
    }
}
