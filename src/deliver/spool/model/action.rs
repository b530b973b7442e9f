//! What a model run does to the spool.

use proptest::{collection::vec, prelude::*};

use super::CONSUMERS;

/// What happens to the spool, or to its disk.
#[derive(Clone, Debug)]
pub(super) enum Action {
    /// Appends that wait for the disk together: rows of each.
    Append(Vec<usize>),
    Read {
        consumer: usize,
        rows: usize,
        bytes: usize,
    },
    /// How much of what was read.
    Commit {
        consumer: usize,
        percent: u64,
    },
    Rewind {
        consumer: usize,
    },
    /// An orderly end and a new start.
    Restart,
    /// The process dies with appends under way.
    Kill(Vec<usize>),
    /// The power goes, some operations later, with appends under way.
    PowerCut {
        operations: u32,
        seed: u64,
    },
    FailWrite,
    FailSync,
    DiskFull {
        spare: usize,
    },
    /// A byte of a segment changes while nobody looks.
    Flip {
        at: prop::sample::Index,
        mask: u8,
    },
    /// Both consumers read everything.
    ReadAll,
}

/// Any of them, the common ones more often.
pub(super) fn action() -> impl Strategy<Value = Action> {
    let consumer = 0..CONSUMERS.len();
    prop_oneof![
        8 => vec(1usize..6, 1..5).prop_map(Action::Append),
        5 => (consumer.clone(), 1usize..9, 1usize..3_000)
            .prop_map(|(consumer, rows, bytes)| Action::Read { consumer, rows, bytes }),
        3 => (consumer.clone(), 0..=100u64).prop_map(|(consumer, percent)| Action::Commit { consumer, percent }),
        1 => consumer.prop_map(|consumer| Action::Rewind { consumer }),
        1 => Just(Action::Restart),
        1 => vec(1usize..6, 0..3).prop_map(Action::Kill),
        2 => (0u32..12, any::<u64>()).prop_map(|(operations, seed)| Action::PowerCut { operations, seed }),
        1 => Just(Action::FailWrite),
        1 => Just(Action::FailSync),
        1 => (0usize..1_500).prop_map(|spare| Action::DiskFull { spare }),
        1 => (any::<prop::sample::Index>(), 1u8..).prop_map(|(at, mask)| Action::Flip { at, mask }),
        2 => Just(Action::ReadAll),
    ]
}
