//! A list of a few values, which takes one pointer while it is empty.

use std::iter::Chain;
use std::{option, slice};

/// Values in order: mostly none, then mostly one, which takes one allocation.
#[derive(Debug)]
pub(crate) struct Few<T>(Option<Box<NotEmpty<T>>>);

#[derive(Debug)]
struct NotEmpty<T> {
    first: T,
    others: Vec<T>,
}

impl<T> Default for Few<T> {
    fn default() -> Few<T> {
        Few(None)
    }
}

impl<T> Few<T> {
    /// Adds a value at the end.
    pub(crate) fn push(&mut self, value: T) {
        match &mut self.0 {
            Some(list) => list.others.push(value),
            None => {
                let (first, others) = (value, Vec::new());
                self.0 = Some(Box::new(NotEmpty { first, others }));
            }
        }
    }

    /// Removes the value at this position, and closes the gap.
    pub(crate) fn remove(&mut self, at: usize) -> Option<T> {
        let list = self.0.as_mut()?;
        if let Some(behind_first) = at.checked_sub(1) {
            let exists = behind_first < list.others.len();
            return exists.then(|| list.others.remove(behind_first));
        }
        if list.others.is_empty() {
            return self.0.take().map(|list| list.first);
        }
        let second = list.others.remove(0);
        Some(std::mem::replace(&mut list.first, second))
    }

    /// Removes all values but these.
    pub(crate) fn retain(&mut self, mut which: impl FnMut(&T) -> bool) {
        let mut at = 0;
        while let Some(value) = self.get(at) {
            if which(value) {
                at += 1;
            } else {
                self.remove(at);
            }
        }
    }

    /// The value at this position.
    pub(crate) fn get(&self, at: usize) -> Option<&T> {
        let list = self.0.as_ref()?;
        match at.checked_sub(1) {
            None => Some(&list.first),
            Some(behind_first) => list.others.get(behind_first),
        }
    }

    /// The same, to change it.
    pub(crate) fn get_mut(&mut self, at: usize) -> Option<&mut T> {
        let list = self.0.as_mut()?;
        match at.checked_sub(1) {
            None => Some(&mut list.first),
            Some(behind_first) => list.others.get_mut(behind_first),
        }
    }

    /// The number of values.
    pub(crate) fn len(&self) -> usize {
        self.0.as_ref().map_or(0, |list| 1 + list.others.len())
    }

    /// Whether there is no value.
    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_none()
    }

    /// The values in order.
    pub(crate) fn iter(&self) -> Chain<option::IntoIter<&T>, slice::Iter<'_, T>> {
        let (first, others) = match &self.0 {
            Some(list) => (Some(&list.first), list.others.iter()),
            None => (None, slice::Iter::default()),
        };
        first.into_iter().chain(others)
    }

    /// The same, to change them.
    pub(crate) fn iter_mut(&mut self) -> Chain<option::IntoIter<&mut T>, slice::IterMut<'_, T>> {
        let (first, others) = match &mut self.0 {
            Some(list) => (Some(&mut list.first), list.others.iter_mut()),
            None => (None, slice::IterMut::default()),
        };
        first.into_iter().chain(others)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Against a `Vec`, in random runs.
    #[test]
    fn it_is_a_list() {
        let mut random = fastrand::Rng::with_seed(7);
        let (mut few, mut expected) = (Few::default(), Vec::new());
        for number in 0..20_000 {
            let at = random.usize(..4);
            match random.u8(..6) {
                0..3 => {
                    few.push(number);
                    expected.push(number);
                }
                3 => {
                    let there = at < expected.len();
                    assert_eq!(few.remove(at), there.then(|| expected.remove(at)));
                }
                4 => {
                    few.retain(|value| value % 3 == 0);
                    expected.retain(|value| value % 3 == 0);
                }
                _ => {
                    few.iter_mut().for_each(|value| *value += 1);
                    expected.iter_mut().for_each(|value| *value += 1);
                }
            }
            assert!(few.iter().eq(&expected));
            assert_eq!(
                (few.len(), few.is_empty()),
                (expected.len(), expected.is_empty())
            );
            assert_eq!(few.get(at), expected.get(at));
            assert_eq!(few.get_mut(at), expected.get_mut(at));
        }
    }

    #[test]
    fn empty_it_takes_one_pointer_and_no_heap() {
        let mut few = Few::default();
        assert_eq!(size_of_val(&few), size_of::<usize>());
        few.push('a');
        few.push('b');
        few.retain(|value| *value == 'b');
        assert_eq!(few.remove(0), Some('b'));
        assert!(few.0.is_none());
    }
}
