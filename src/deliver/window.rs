//! How many batches may be in flight: fewer after the destination asked for less, more again as it takes what comes.

/// Grows by one for each full window that was taken, halves when told to (additive increase, multiplicative decrease).
#[derive(Clone, Copy, Debug)]
pub struct Window {
    most: f64,
    now: f64,
}

impl Window {
    /// Wide open.
    pub fn new(most: usize) -> Window {
        let most = most.max(1) as f64;
        Window { most, now: most }
    }

    /// Batches that may be in flight; at least one.
    pub fn size(&self) -> usize {
        self.now as usize
    }

    /// A batch was taken.
    pub fn grow(&mut self) {
        self.now = (self.now + 1.0 / self.now).min(self.most);
    }

    /// The destination asked for less.
    pub fn halve(&mut self) {
        self.now = (self.now / 2.0).max(1.0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_halves_down_to_one_and_grows_back_by_one_a_round() {
        let mut window = Window::new(64);
        window.halve();
        assert_eq!(window.size(), 32);
        for _ in 0..33 {
            window.grow();
        }
        assert_eq!(window.size(), 33);
        for _ in 0..20 {
            window.halve();
        }
        assert_eq!(window.size(), 1);
        for _ in 0..10_000 {
            window.grow();
        }
        assert_eq!(window.size(), 64);
        assert_eq!(Window::new(0).size(), 1);
    }
}
