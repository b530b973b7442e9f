//! The name of a file in the lake: which rows of which spool it holds.

use std::fmt;

use crate::deliver::sink::Position;

/// `part-<spool>-<first>-<last>[-m<merges>].parquet`: numbers padded so that names sort like positions.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FileName {
    /// Identity of the spool the rows came from.
    pub spool: u64,
    /// Lowest position in the file.
    pub first: Position,
    /// Highest position in the file. Positions between may lie in other files of the day.
    pub last: Position,
    /// How many merges the rows went through at most; 0 for a file as written.
    ///
    /// It also keeps names unique: a merged file has more merges than any of its parts, so it never takes the name of
    /// a file that a reader may still have in its cache.
    pub merges: u32,
}

impl FileName {
    /// A file as written.
    pub fn fresh(spool: u64, first: Position, last: Position) -> FileName {
        FileName { spool, first, last, merges: 0 }
    }

    /// What the parts become when merged; `None` for no parts, or parts of different spools.
    pub fn merged(parts: &[FileName]) -> Option<FileName> {
        let spool = parts.first()?.spool;
        parts.iter().all(|part| part.spool == spool).then_some(())?;
        Some(FileName {
            spool,
            first: parts.iter().map(|part| part.first).min()?,
            last: parts.iter().map(|part| part.last).max()?,
            merges: parts.iter().map(|part| part.merges).max()?.saturating_add(1),
        })
    }

    /// Reads a name; `None` for files that are not ours. A name is read only in the form it is written in: the file is
    /// opened by it.
    pub fn parse(text: &str) -> Option<FileName> {
        let mut parts = text.strip_prefix("part-")?.strip_suffix(".parquet")?.split('-');
        let spool = u64::from_str_radix(parts.next()?, 16).ok()?;
        let first = parts.next()?.parse().ok()?;
        let last = parts.next()?.parse().ok()?;
        let merges = match parts.next() {
            None => 0,
            Some(merges) => merges.strip_prefix('m')?.parse().ok()?,
        };
        let name = FileName { spool, first, last, merges };
        (first <= last && name.to_string() == text).then_some(name)
    }
}

impl fmt::Display for FileName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "part-{:016x}-{:012}-{:012}", self.spool, self.first, self.last)?;
        if self.merges > 0 {
            write!(f, "-m{}", self.merges)?;
        }
        f.write_str(".parquet")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_come_back_from_their_text() {
        for name in [
            FileName::fresh(0, 0, 0),
            FileName::fresh(u64::MAX, 7, u64::MAX),
            FileName { merges: 12, ..FileName::fresh(0xabc, 1, 2) },
        ] {
            assert_eq!(FileName::parse(&name.to_string()), Some(name));
        }
        assert_eq!(
            FileName { merges: 1, ..FileName::fresh(0xabc, 1, 2) }.to_string(),
            "part-0000000000000abc-000000000001-000000000002-m1.parquet"
        );
    }

    #[test]
    fn foreign_files_are_not_ours() {
        for text in [
            "a.parquet",
            "part-x-1-2.parquet",
            "part-1-2.parquet",
            "part-1-3-2.parquet",
            "part-1-1-2.parquet.tmp",
            "part-1-1-2-3.parquet",
            "part-1-1-2-m1-m2.parquet",
            // These say which rows they hold, but would not be found under the name we would open.
            "part-abc-1-2.parquet",
            "part-0000000000000abc-000000000001-+00000000002.parquet",
            "part-0000000000000abc-000000000001-000000000002-m0.parquet",
        ] {
            assert_eq!(FileName::parse(text), None, "{text}");
        }
    }

    #[test]
    fn a_merged_file_covers_its_parts_under_a_new_name() {
        let parts = [FileName { merges: 1, ..FileName::fresh(5, 0, 90) }, FileName::fresh(5, 20, 30)];
        let merged = FileName::merged(&parts).unwrap();
        assert_eq!((merged.first, merged.last, merged.merges), (0, 90, 2));
        assert!(!parts.contains(&merged));
        assert_eq!(FileName::merged(&[FileName::fresh(5, 0, 1), FileName::fresh(6, 0, 1)]), None);
        assert_eq!(FileName::merged(&[]), None);
    }
}
