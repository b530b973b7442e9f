//! What lies in a spool's directory: segments, cursors, the identity.

use std::io;

use crate::deliver::{
    Position,
    spool::{
        SpoolError, cursor,
        files::{Files, TEMPORARY},
        identity,
        log::Consumer,
        segment::{self, Header},
    },
};

/// The files of a spool.
pub struct Contents {
    /// By first position.
    pub segments: Vec<SegmentFile>,
    /// Names of consumers with a cursor file.
    cursors: Vec<String>,
    has_identity: bool,
}

/// One segment, from outside.
pub struct SegmentFile {
    /// Its first position, by its name.
    pub first: Position,
    /// Its bytes.
    pub len: u64,
    /// What it says of itself.
    pub header: Header,
}

impl Contents {
    /// Looks around; removes what a crash left without its name.
    pub fn list(files: &dyn Files) -> Result<Contents, SpoolError> {
        let mut contents = Contents { segments: Vec::new(), cursors: Vec::new(), has_identity: false };
        for (name, len) in files.list().map_err(SpoolError::io("list", "the directory"))? {
            if name.ends_with(TEMPORARY) {
                files.remove(&name).map_err(SpoolError::io("remove", &name))?;
            } else if let Some(first) = segment::parse_name(&name) {
                let mut header = header(files, &name).map_err(SpoolError::io("read", &name))?;
                match header {
                    Header::Newer(version) => return Err(SpoolError::Newer { name, version }),
                    // What a file says under another's name is not to be trusted. Its records say their positions.
                    Header::Known { first: said, .. } if said != first => header = Header::Damaged,
                    Header::Known { .. } | Header::Damaged => {}
                }
                contents.segments.push(SegmentFile { first, len, header });
            } else if let Some(consumer) = cursor::parse_name(&name) {
                contents.cursors.push(consumer.to_owned());
            } else if name == identity::NAME {
                contents.has_identity = true;
            }
        }
        contents.segments.sort_by_key(|file| file.first);
        Ok(contents)
    }

    /// The identity, from its file; or else from a segment; or else a new one.
    pub fn identity(&self, files: &dyn Files) -> Result<u64, SpoolError> {
        let read_error = SpoolError::io("read", identity::NAME);
        if self.has_identity
            && let Some(id) = identity::read(files).map_err(read_error)?
        {
            return Ok(id);
        }
        let known = |file: &SegmentFile| if let Header::Known { id, .. } = file.header { Some(id) } else { None };
        let id = self.segments.iter().rev().find_map(known);
        if id.is_none() && !self.segments.is_empty() {
            tracing::error!("spool has lost its identity, and its rows with it: no file that knows it is whole");
        }
        let id = id.unwrap_or_else(identity::random);
        identity::write(files, id).map_err(SpoolError::io("write", identity::NAME))?;
        Ok(id)
    }

    /// Where each consumer stands. The cursor of a consumer that is not configured would hold the spool for ever.
    pub fn consumers(
        &self,
        files: &dyn Files,
        names: &[&'static str],
        id: u64,
        oldest: Position,
    ) -> Result<Vec<Consumer>, SpoolError> {
        for gone in self.cursors.iter().filter(|cursor| !names.contains(&cursor.as_str())) {
            tracing::warn!(consumer = gone, "spool forgets a consumer that is not configured any more");
            files.remove(&cursor::name(gone)).map_err(SpoolError::io("remove", gone))?;
        }
        let mut consumers = Vec::with_capacity(names.len());
        for &name in names {
            let known = self.cursors.iter().any(|cursor| cursor == name);
            let persisted =
                if known { cursor::read(files, name, id).map_err(SpoolError::io("read", name))? } else { None };
            if known && persisted.is_none() {
                tracing::warn!(consumer = name, "spool cursor is damaged, the consumer begins with the oldest row");
            }
            let committed = persisted.map_or(oldest, |position| position.max(oldest));
            consumers.push(Consumer { name, read: committed, committed, persisted });
        }
        Ok(consumers)
    }
}

fn header(files: &dyn Files, name: &str) -> io::Result<Header> {
    let input = files.open(name)?;
    let mut bytes = [0; segment::HEADER as usize];
    let mut len = 0;
    while len < bytes.len() {
        match input.read_at(&mut bytes[len..], len as u64) {
            Ok(0) => break,
            Ok(n) => len += n,
            Err(error) => {
                // Its records may be read all the same.
                tracing::warn!(%error, name, "header of a spool segment cannot be read");
                return Ok(Header::Damaged);
            }
        }
    }
    Ok(segment::parse_header(&bytes[..len]))
}
