//! Memory that files are read into, window by window. Rows share a window's memory until they are delivered; afterwards it
//! is read into again: fresh memory would have to be zeroed first, by the system and once more here.

use std::collections::VecDeque;

use bytes::{Bytes, BytesMut};

/// Bytes of a window; more only for a record that is longer.
pub const WINDOW: usize = 256 << 10;
/// Windows kept although nobody needs them at the moment: what one trip to the file takes at once, and more.
const SPARE: usize = 16;
/// Windows that are waited for: 64 MiB, while the sink with the most in flight has the rows of some 160 there. Beyond, the one
/// that has been in use for longest is left to its rows.
const LENT: usize = 256;

/// See the module.
#[derive(Default)]
pub struct Windows {
    /// With rows that may be in use, in the order in which they were read.
    lent: VecDeque<Bytes>,
    /// Without; the one used last is the first to be used again, while the processor still has it at hand.
    spare: Vec<BytesMut>,
}

impl Windows {
    /// Memory for this many bytes, of any content.
    pub fn take(&mut self, len: usize) -> BytesMut {
        self.collect();
        if len > WINDOW {
            return BytesMut::zeroed(len);
        }
        let mut window = self.spare.pop().unwrap_or_else(|| BytesMut::zeroed(WINDOW));
        window.resize(len, 0);
        window
    }

    /// Takes an interest in when nobody uses these bytes any more.
    pub fn lend(&mut self, window: Bytes) {
        if window.is_empty() {
            return;
        }
        if self.lent.len() >= LENT {
            // One row that waits must not keep everybody's memory.
            self.lent.retain(|window| !window.is_unique());
            if self.lent.len() >= LENT {
                self.lent.pop_front();
            }
        }
        self.lent.push_back(window);
    }

    /// Gives memory back to the system that nobody uses.
    pub fn release(&mut self) {
        self.collect();
        self.spare.clear();
    }

    /// Rows are delivered about in order: behind a window that is in use there is none worth looking for.
    fn collect(&mut self) {
        while let Some(window) = self.lent.pop_front() {
            match window.try_into_mut() {
                Ok(window) if self.spare.len() < SPARE && window.capacity() == WINDOW => self.spare.push(window),
                Ok(_) => {}
                Err(used) => return self.lent.push_front(used),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn memory_is_used_again_when_no_row_is_left_in_it() {
        let mut windows = Windows::default();
        let window = windows.take(WINDOW).freeze();
        let (address, row) = (window.as_ptr(), window.slice(100..200));
        windows.lend(window);
        let other = windows.take(WINDOW);
        assert_ne!(other.as_ptr(), address, "a row lies in the first");
        drop(row);
        // Also when a window was not filled.
        let mut window = windows.take(10);
        assert_eq!((window.as_ptr(), window.len()), (address, 10));
        window.truncate(5);
        windows.lend(window.freeze());
        assert_eq!(windows.take(WINDOW).as_ptr(), address);
    }

    #[test]
    fn a_backlog_is_read_into_the_memory_that_is_in_flight() {
        let (mut windows, mut in_flight) = (Windows::default(), VecDeque::new());
        let mut addresses = HashSet::new();
        for n in 0..2_000 {
            let window = windows.take(WINDOW).freeze();
            addresses.insert(window.as_ptr());
            in_flight.push_back(window.slice(1..));
            windows.lend(window);
            // Nine at once, as one trip brings them.
            while n % 9 == 0 && in_flight.len() > 160 {
                in_flight.pop_front();
            }
        }
        assert!(addresses.len() <= 160 + 9 + SPARE, "{}", addresses.len());
    }

    #[test]
    fn a_row_that_waits_keeps_its_own_window_only() {
        let mut windows = Windows::default();
        let window = windows.take(WINDOW).freeze();
        let row = window.slice(1..);
        windows.lend(window);
        for _ in 0..2 * LENT {
            let window = windows.take(WINDOW).freeze();
            windows.lend(window);
            assert!(windows.lent.len() <= LENT);
        }
        assert!(windows.lent.iter().any(|window| !window.is_unique()));
        drop(row);
        windows.collect();
        assert!(windows.lent.is_empty());
    }

    #[test]
    fn what_nobody_needs_goes_back() {
        let mut windows = Windows::default();
        windows.lend(Bytes::new());
        let taken: Vec<Bytes> = (0..2 * LENT).map(|_| windows.take(WINDOW).freeze()).collect();
        taken.iter().for_each(|window| windows.lend(window.clone()));
        assert_eq!(windows.lent.len(), LENT);
        drop(taken);
        windows.collect();
        assert_eq!((windows.lent.len(), windows.spare.len()), (0, SPARE));
        windows.release();
        assert!(windows.spare.is_empty());
    }
}
