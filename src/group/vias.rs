//! The gateways by whose sockets devices are reached, as two bytes in a path in place of sixteen.

use crate::dtls::Via;
use replicas::Instance;
use std::collections::HashMap;
use std::num::NonZeroU16;

/// So many processes are told apart: those of a group, and those before them whose paths some sessions still have. The oldest
/// gives its number to a new one; a session that is reached by it is not reached until its device sends again.
const MOST: u16 = 1024;

/// Numbers of processes.
#[derive(Debug, Default)]
pub(crate) struct Vias {
    instances: Vec<Instance>,
    numbers: HashMap<Instance, NonZeroU16>,
    next: Option<NonZeroU16>,
}

impl Vias {
    /// The number of a process.
    pub(crate) fn of(&mut self, instance: Instance) -> Via {
        if let Some(number) = self.numbers.get(&instance) {
            return Via(*number);
        }
        let number = self.next.filter(|next| next.get() <= MOST);
        let number = number.unwrap_or(NonZeroU16::MIN);
        self.next = number.checked_add(1);
        match self.instances.get_mut(place(number)) {
            Some(place) => {
                let former = std::mem::replace(place, instance);
                self.numbers.remove(&former);
            }
            None => self.instances.push(instance),
        }
        self.numbers.insert(instance, number);
        Via(number)
    }

    /// The process of this number.
    pub(crate) fn instance(&self, Via(number): Via) -> Option<Instance> {
        self.instances.get(place(number)).copied()
    }
}

/// Where the process of a number is.
fn place(number: NonZeroU16) -> usize {
    usize::from(number.get().saturating_sub(1))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_keeps_its_number_until_a_thousand_others_came() {
        let instance = |n: u16| {
            let [a, b] = n.to_be_bytes();
            let mut bytes = [0; 16];
            (bytes[0], bytes[1]) = (a, b);
            Instance(bytes)
        };
        let mut vias = Vias::default();
        let first = vias.of(instance(0));
        for n in 0..MOST {
            let via = vias.of(instance(n));
            assert_eq!(vias.instance(via), Some(instance(n)));
        }
        assert_eq!(vias.of(instance(0)), first);
        assert_eq!(vias.of(instance(MOST)), first);
        assert_eq!(vias.instance(first), Some(instance(MOST)));
        assert_ne!(vias.of(instance(0)), first);
        assert_eq!(vias.instances.len(), usize::from(MOST));
        assert_eq!(vias.numbers.len(), usize::from(MOST));
    }
}
