//! Which files of a day are merged next. Pure: names and sizes in, names out.
//!
//! While the day lives, files of a size class are merged as soon as there are enough of them; every row is rewritten
//! about once per class. A day of trickling events ends with 3 files of each class at most. When
//! the day is over and nobody writes to it, what is small is merged without waiting for company.

use super::FileName;

const MIB: u64 = 1024 * 1024;

/// Size of a merged file that later merges leave alone: large enough for engines to read in long strides, small
/// enough to spread over their threads.
pub const TARGET: u64 = 128 * MIB;

/// From here on a file is never a part again.
const SEALED: u64 = TARGET / 2;

/// Files below this size, and how many of them make a merge. A file of 250 columns has some 40 kB before its first
/// row, so the first class must be well above that.
const CLASSES: [(u64, usize); 3] = [(MIB, 4), (8 * MIB, 4), (SEALED, 4)];

/// Most parts of a merge: each keeps its columns open, at some 150 kB a column that holds something.
const MOST_PARTS: usize = 4;

/// The parts of the next merge, at least two and all of one spool; `None` when the day is fine as it is.
pub fn choose(files: &[(FileName, u64)], over: bool) -> Option<Vec<FileName>> {
    let mut files: Vec<&(FileName, u64)> = files.iter().collect();
    files.sort();
    let spools = files.chunk_by(|a, b| a.0.spool == b.0.spool);
    spools.into_iter().find_map(|files| if over { last_merge(files) } else { next_merge(files) })
}

fn next_merge(files: &[&(FileName, u64)]) -> Option<Vec<FileName>> {
    let mut above = 0;
    for (below, enough) in CLASSES {
        let class: Vec<_> = files.iter().filter(|(_, size)| (above..below).contains(size)).copied().collect();
        if class.len() >= enough {
            return within_target(&class);
        }
        above = below;
    }
    None
}

fn last_merge(files: &[&(FileName, u64)]) -> Option<Vec<FileName>> {
    let mut small: Vec<_> = files.iter().filter(|(_, size)| *size < SEALED).copied().collect();
    // The smallest first: as many files as possible go away for as few bytes as possible.
    small.sort_by_key(|(_, size)| *size);
    within_target(&small)
}

fn within_target(files: &[&(FileName, u64)]) -> Option<Vec<FileName>> {
    let mut total = 0;
    let parts: Vec<FileName> = files
        .iter()
        .take(MOST_PARTS)
        .take_while(|(_, size)| {
            total += size;
            total <= TARGET
        })
        .map(|(name, _)| name.clone())
        .collect();
    (parts.len() >= 2).then_some(parts)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Size of a file with so many rows: what a few hundred rows of ours weigh.
    fn size(rows: u64) -> u64 {
        40_000 + rows * 60
    }

    /// Lets files of `rows` rows arrive one by one and merges whenever the policy says so. Returns the number of files
    /// at worst and at the end, and how often a row was rewritten on average.
    fn live(arrivals: u64, rows: u64) -> (usize, Vec<(FileName, u64)>, f64) {
        let mut files: Vec<(FileName, u64)> = Vec::new();
        let mut held: std::collections::HashMap<FileName, u64> = Default::default();
        let (mut most, mut rewritten) = (0, 0);
        let mut merge = |files: &mut Vec<(FileName, u64)>, held: &mut std::collections::HashMap<_, _>, over| {
            while let Some(parts) = choose(files, over) {
                let sum: u64 = parts.iter().map(|part| held[part]).sum();
                let bytes: u64 = files.iter().filter(|(name, _)| parts.contains(name)).map(|(_, size)| size).sum();
                assert!(bytes <= TARGET && parts.len() >= 2 && parts.len() <= MOST_PARTS);
                rewritten += sum;
                files.retain(|(name, _)| !parts.contains(name));
                let merged = FileName::merged(&parts).unwrap();
                assert!(held.insert(merged.clone(), sum).is_none(), "a name is used once");
                files.push((merged, size(sum)));
            }
        };
        for arrival in 0..arrivals {
            let name = FileName::fresh(1, arrival * rows, (arrival + 1) * rows - 1);
            held.insert(name.clone(), rows);
            files.push((name, size(rows)));
            merge(&mut files, &mut held, false);
            most = most.max(files.len());
        }
        merge(&mut files, &mut held, true);
        (most, files, rewritten as f64 / (arrivals * rows) as f64)
    }

    #[test]
    fn a_quiet_day_never_has_more_than_24_files_and_ends_as_one() {
        // A file every ten seconds, a handful of rows each.
        for rows in [1, 5, 10] {
            let (most, last, _) = live(8_640, rows);
            assert!(most <= 24, "{most} files at worst with {rows} rows a file");
            assert_eq!(last.len(), 1);
        }
    }

    #[test]
    fn a_busy_day_rewrites_its_rows_a_few_times_only() {
        let (_, last, rewritten) = live(17_280, 25_000);
        assert!(rewritten < 4.0, "every row was rewritten {rewritten} times");
        let small = last.iter().filter(|(_, size)| *size < SEALED).count();
        assert!(small <= 1, "{small} small files");
    }

    #[test]
    fn files_of_different_spools_stay_apart() {
        let files: Vec<_> = (0..6).map(|n| (FileName::fresh(n % 2, n, n), 1_000)).collect();
        assert_eq!(choose(&files, false), None, "three of each");
        let parts = choose(&files, true).unwrap();
        assert!(parts.len() == 3 && parts.iter().all(|part| part.spool == 0));
    }

    #[test]
    fn a_day_of_large_files_is_left_alone() {
        let files: Vec<_> = (0..50).map(|n| (FileName::fresh(1, n, n), SEALED)).collect();
        assert_eq!(choose(&files, false), None);
        assert_eq!(choose(&files, true), None);
        assert_eq!(choose(&[(FileName::fresh(1, 0, 1), 5)], true), None);
    }
}
