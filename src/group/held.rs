//! What waits until a session's row is in the store: a response may leave when another gateway would know that it was given, and
//! would not forward its request once more.

use replicas::SaveId;
use std::collections::VecDeque;

/// Datagrams of one session that wait. More are as if they were lost.
const MOST: usize = 64;

/// CoAP messages of one session, in their order.
#[derive(Debug, Default)]
pub(crate) struct Held {
    messages: VecDeque<Vec<u8>>,
    /// The last row that was written, and how many of the messages it has.
    saving: Option<(SaveId, usize)>,
    is_on: bool,
}

impl Held {
    /// From now on everything waits, until a row is in the store that has what happened until then.
    pub(crate) fn switch_on(&mut self) {
        self.is_on = true;
    }

    pub(crate) fn is_on(&self) -> bool {
        self.is_on
    }

    /// `false`: too many wait, and this one is dropped.
    pub(crate) fn push(&mut self, message: Vec<u8>) -> bool {
        let has_room = self.messages.len() < MOST;
        if has_room {
            self.messages.push_back(message);
        }
        has_room
    }

    /// Whether a row is to be written for what waits.
    pub(crate) fn needs_row(&self) -> bool {
        self.is_on && self.saving.is_none()
    }

    /// All that waits.
    pub(crate) fn into_messages(self) -> Vec<Vec<u8>> {
        self.messages.into()
    }

    /// A row is on its way, with all that has happened so far.
    pub(crate) fn saving(&mut self, save: SaveId) {
        if self.is_on {
            self.saving = Some((save, self.messages.len()));
        }
    }

    /// This row is in the store, or can't be written: what may leave now.
    pub(crate) fn saved(&mut self, save: SaveId) -> Vec<Vec<u8>> {
        let Some((_, count)) = self.saving.take_if(|(waited, _)| *waited == save) else {
            return Vec::new();
        };
        let released = self.messages.drain(..count.min(self.messages.len()));
        let released = released.collect();
        self.is_on = !self.messages.is_empty();
        released
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_row_has_leaves_when_it_is_saved_and_what_came_later_with_the_next_one() {
        let mut held = Held::default();
        assert!(!held.is_on() && !held.needs_row());
        // A row that nothing waits for.
        held.saving(SaveId(1));
        assert!(held.saved(SaveId(1)).is_empty());

        held.switch_on();
        assert!(held.push(vec![1]) && held.needs_row());
        held.saving(SaveId(2));
        assert!(held.push(vec![2]) && !held.needs_row());
        assert!(held.saved(SaveId(1)).is_empty());
        assert_eq!(held.saved(SaveId(2)), [vec![1]]);
        assert!(held.is_on() && held.needs_row());
        held.saving(SaveId(3));
        assert_eq!(held.saved(SaveId(3)), [vec![2]]);
        assert!(!held.is_on());
    }

    #[test]
    fn a_bounded_number_waits() {
        let mut held = Held::default();
        held.switch_on();
        for n in 0..MOST {
            assert!(held.push(vec![0]), "{n}");
        }
        assert!(!held.push(vec![0]));
    }
}
