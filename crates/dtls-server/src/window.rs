//! The replay window (RFC 6347 §4.1.2.6).

/// How many numbers below the newest one are remembered.
const WIDTH: u64 = 64;

/// Which record numbers of an epoch have been received. Numbers that are older than the window count as received.
///
/// [`check`](Window::check) changes nothing. [`mark`](Window::mark) is for records that have been authenticated: nothing else
/// may move the window.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Window {
    newest: u64,
    /// Bit i: `newest - i` has been received. 0 as long as nothing has been.
    seen: u64,
}

/// A number in relation to what has been received.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Number {
    /// Above everything received. Only such a record may change the client's address (RFC 9146 §6).
    Newest,
    /// Below the newest, but not received.
    Late,
    /// Received, or too old to know.
    Old,
}

impl Window {
    /// Relates a number to what has been received.
    #[must_use]
    pub const fn check(&self, number: u64) -> Number {
        if self.seen == 0 {
            return Number::Newest;
        }
        match self.newest.checked_sub(number) {
            None => Number::Newest,
            Some(age) if age < WIDTH && self.seen & (1 << age) == 0 => Number::Late,
            Some(_) => Number::Old,
        }
    }

    /// Marks the number of an authentic record as received.
    pub const fn mark(&mut self, number: u64) {
        match number.checked_sub(self.newest) {
            None => {
                let age = self.newest.saturating_sub(number);
                if age < WIDTH {
                    self.seen |= 1 << age;
                }
            }
            Some(advance) => {
                self.newest = number;
                let kept = if advance < WIDTH {
                    self.seen << advance
                } else {
                    0
                };
                self.seen = kept | 1;
            }
        }
    }

    /// Marks everything as received that the other window has as received.
    pub(crate) const fn merge(&mut self, other: Window) {
        if other.seen == 0 {
            return;
        }
        let (newer, older) = if self.seen == 0 || self.newest < other.newest {
            (other, *self)
        } else {
            (*self, other)
        };
        // Below the older window is below the newer one as well.
        let age = newer.newest.saturating_sub(older.newest);
        let kept = if age < WIDTH { older.seen << age } else { 0 };
        *self = Window {
            newest: newer.newest,
            seen: newer.seen | kept,
        };
    }

    /// The newest number and the bitmap below it, as they are stored.
    pub(crate) const fn to_parts(self) -> (u64, u64) {
        (self.newest, self.seen)
    }

    /// A stored window. `None`: no window is like that.
    pub(crate) const fn from_parts(newest: u64, seen: u64) -> Option<Window> {
        let nothing_received = newest == 0 && seen == 0;
        // A number below 0 has not been received.
        let beyond_zero = newest < WIDTH - 1 && seen >> (newest + 1) != 0;
        if nothing_received || (seen & 1 == 1 && !beyond_zero) {
            Some(Window { newest, seen })
        } else {
            None
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn numbers_are_received_once() {
        let mut window = Window::default();
        assert_eq!(window.check(0), Number::Newest);
        window.mark(0);
        assert_eq!(window.check(0), Number::Old);
        window.mark(70);
        assert_eq!(window.check(70), Number::Old);
        assert_eq!(window.check(71), Number::Newest);
        assert_eq!(window.check(7), Number::Late);
        // 64 numbers: 7 to 70.
        assert_eq!(window.check(6), Number::Old);
        window.mark(7);
        assert_eq!(window.check(7), Number::Old);
        assert_eq!(window.check(8), Number::Late);
        window.mark(u64::MAX);
        assert_eq!(window.check(70), Number::Old);
        assert_eq!(window.check(u64::MAX - 63), Number::Late);
    }

    #[test]
    fn the_window_agrees_with_a_set_of_all_numbers() {
        let mut random = fastrand::Rng::with_seed(6);
        for _ in 0..200 {
            let mut window = Window::default();
            let mut received = BTreeSet::new();
            let base = random.u64(..1 << 40);
            for _ in 0..300 {
                let newest = received.last().copied().unwrap_or(base);
                let number = match random.u8(..10) {
                    0 => random.u64(..1 << 48),
                    1 => newest + random.u64(..200),
                    _ => (newest + 3).saturating_sub(random.u64(..70)),
                };
                let expected = match received.last() {
                    None => Number::Newest,
                    Some(&newest) if number > newest => Number::Newest,
                    Some(&newest) if newest - number < 64 && !received.contains(&number) => {
                        Number::Late
                    }
                    Some(_) => Number::Old,
                };
                assert_eq!(window.check(number), expected);
                if expected != Number::Old {
                    window.mark(number);
                    received.insert(number);
                }
            }
            let (newest, seen) = window.to_parts();
            assert_eq!(Window::from_parts(newest, seen), Some(window));
        }
    }

    /// A number counts as received by the merged window if and only if it does by one of the two.
    #[test]
    fn a_merged_window_has_received_what_either_has() {
        let mut random = fastrand::Rng::with_seed(9);
        let marked = |random: &mut fastrand::Rng, base: u64| {
            let mut window = Window::default();
            for _ in 0..random.usize(..40) {
                let number = base + random.u64(..90);
                if window.check(number) != Number::Old {
                    window.mark(number);
                }
            }
            window
        };
        for _ in 0..3_000 {
            let base = random.u64(..100);
            let apart = random.u64(..150);
            let (one, other) = (marked(&mut random, base), marked(&mut random, base + apart));
            for (one, other) in [(one, other), (other, one)] {
                let mut merged = one;
                merged.merge(other);
                for number in 0..400 {
                    let is_old = |window: Window| window.check(number) == Number::Old;
                    assert_eq!(
                        is_old(merged),
                        is_old(one) || is_old(other),
                        "{number}: {one:?} {other:?}"
                    );
                }
                let (newest, seen) = merged.to_parts();
                assert_eq!(Window::from_parts(newest, seen), Some(merged));
            }
        }
    }

    #[test]
    fn an_impossible_stored_window_is_refused() {
        assert_eq!(Window::from_parts(0, 0), Some(Window::default()));
        assert!(Window::from_parts(0, 1).is_some());
        assert!(Window::from_parts(2, 0b111).is_some());
        assert_eq!(Window::from_parts(2, 0b1001), None);
        assert_eq!(Window::from_parts(5, 0), None);
        assert_eq!(Window::from_parts(5, 0b10), None);
        assert!(Window::from_parts(62, u64::MAX >> 1).is_some());
        assert_eq!(Window::from_parts(62, u64::MAX), None);
        assert!(Window::from_parts(63, u64::MAX).is_some());
    }
}
