//! Counts by a fixed set of names, so that each has a sample from the start.

/// One count for each name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Tally<const N: usize> {
    names: [&'static str; N],
    counts: [u64; N],
}

impl<const N: usize> Tally<N> {
    /// Zero for each name.
    pub const fn of(names: [&'static str; N]) -> Tally<N> {
        Tally {
            names,
            counts: [0; N],
        }
    }

    /// Adds one. An unknown name counts as the last one.
    pub fn add(&mut self, name: &str) {
        let known = self.names.iter().position(|other| *other == name);
        let at = known.unwrap_or(N.saturating_sub(1));
        if let Some(count) = self.counts.get_mut(at) {
            *count += 1;
        }
    }

    /// Each name with its count.
    pub fn counts(&self) -> impl Iterator<Item = (&'static str, u64)> {
        self.names.into_iter().zip(self.counts)
    }

    /// The count of a name; zero if it is unknown.
    pub fn get(&self, name: &str) -> u64 {
        let mut all = self.counts();
        all.find(|(other, _)| *other == name)
            .map_or(0, |(_, count)| count)
    }
}
