//! What is known of each device that reads packages.
//!
//! Of its assignment:
//!
//! ```text
//! unread ──▶ being read ──▶ known ──(30 s)──▶ being read again …
//!                └─(no answer)─▶ failing: what was known before is used for a while
//! known ──(its attributes were seen to change)──▶ unread
//! ```

use super::assignment::{Assignment, Identity};
use super::edition::Owner;
use super::permit::{Check, FAILED, FAILING, Failure, Permit, REFUSED};
use super::{Name, Refusal};
use crate::device::Device;
use crate::timers::{Slot, Timers};
use crate::upstream::Package;
use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// How long it is believed which package is assigned.
const ASSIGNMENT_KNOWN: Duration = Duration::from_secs(30);
/// Packages of one kind that one device asks for at the same time.
const MOST_PERMITS: usize = 2;
/// What is known of a device that asks for nothing any more is forgotten after a day.
const FORGOTTEN: Duration = Duration::from_secs(24 * 3600);

/// Names a device and a kind of package for as long as the process lives.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ReaderId(u64);

#[cfg(test)]
impl ReaderId {
    pub(super) fn of_a_test(number: u64) -> ReaderId {
        ReaderId(number)
    }
}

/// A device, as far as one kind of package is concerned.
#[derive(Debug)]
pub struct Reader {
    /// Whose token is used.
    pub device: Arc<Device>,
    /// Firmware or software.
    pub package: Package,
    /// With whom it shares bytes that are not proven.
    group: Option<Arc<str>>,
    /// What its attributes said last.
    assignment: Option<Assignment>,
    /// Since when they say nothing, where they said something before.
    silent: Option<Instant>,
    /// The number of the event at which they were last seen to change. An answer to a call made before it is not believed.
    changed: u64,
    /// Whether they were read since.
    changed_unread: bool,
    /// When they were read last: the number of the read and the time it ended.
    read: Option<(u64, Instant)>,
    /// The number of the read under way.
    pub reading: Option<u64>,
    /// The last read came to nothing.
    pub failing: Option<Failure>,
    /// ThingsBoard refuses the device as such.
    pub refused: Option<Failure>,
    permits: Vec<Permit>,
    last_used: Instant,
    timer: Slot,
}

/// What is known of a device's assignment.
#[derive(Debug, PartialEq, Eq)]
pub enum Assigned {
    /// This is it.
    Known(Name),
    /// There is none.
    Nothing,
    /// Its attributes must be read.
    Unknown,
    /// They could not be read just now.
    Failed(Refusal),
}

impl Reader {
    /// Which package is assigned to the device.
    pub fn assigned(&self, now: Instant) -> Assigned {
        let known = self.assignment.as_ref().map(|known| known.name.clone());
        let failing = self.failing;
        let failing = failing.filter(|failure| failure.is_recent(now, known.is_some()));
        match (known, failing) {
            (Some(name), _) if self.fresh_read(now).is_some() => Assigned::Known(name),
            (None, _) if self.fresh_read(now).is_some() => Assigned::Nothing,
            (Some(name), Some(_)) => Assigned::Known(name),
            (None, Some(failure)) => Assigned::Failed(failure.why),
            (_, None) => Assigned::Unknown,
        }
    }

    /// The number of the last read of the attributes, if what it brought is still believed.
    pub fn fresh_read(&self, now: Instant) -> Option<u64> {
        let keeps = match self.assignment {
            Some(_) => ASSIGNMENT_KNOWN,
            None => REFUSED,
        };
        let fresh = self.read.filter(|(_, at)| now < *at + keeps);
        fresh.map(|(number, _)| number)
    }

    /// Its attributes were seen to change at this event: whatever is known from before, of its assignment and of what
    /// it may have, has to be asked again. True if a check is under way that has to begin again.
    pub fn attributes_changed(&mut self, event: u64) -> bool {
        (self.changed, self.changed_unread) = (event, true);
        (self.read, self.failing, self.refused) = (None, None, None);
        let mut is_checked = false;
        for permit in &mut self.permits {
            is_checked |= permit.attributes_changed(event);
        }
        is_checked
    }

    /// Whose the bytes are that are fetched with its token.
    pub fn owner(&self, id: ReaderId) -> Owner {
        let group = self.group.clone();
        group.map_or(Owner::Reader(id), Owner::Group)
    }

    /// The read under way has brought this. Where it is not what was known, what each permit is worth has to be
    /// asked. Nothing, where there was something, is believed after a while only, unless a change was seen: between two
    /// assignments, and when ThingsBoard fails to read its attributes, it says the same.
    pub fn assignment_read(&mut self, now: Instant, read: Option<Assignment>) {
        let number = self.reading.take();
        // It was asked before the attributes changed, and may be what they said then.
        let Some(number) = number.filter(|number| *number > self.changed) else {
            return;
        };
        self.read = Some((number, now));
        (self.failing, self.refused) = (None, None);
        let was_seen = std::mem::take(&mut self.changed_unread);
        if read == self.assignment {
            self.silent = None;
            return;
        }
        self.permits.iter_mut().for_each(Permit::lapse);
        if read.is_none() && !was_seen && now < *self.silent.get_or_insert(now) + FAILING {
            return;
        }
        (self.assignment, self.silent) = (read, None);
    }

    /// The read under way has come to nothing.
    pub fn read_failed(&mut self, now: Instant, why: Refusal) {
        self.reading = None;
        self.failing = Some(Failure { at: now, why });
    }

    /// The read under way was refused.
    pub fn read_refused(&mut self, now: Instant, why: Refusal) {
        self.reading = None;
        self.refused = Some(Failure { at: now, why });
    }

    /// ThingsBoard does not let the device have this package, whatever its attributes said.
    pub fn disbelieve(&mut self, name: &Name) {
        if self
            .assignment
            .as_ref()
            .is_some_and(|known| known.name == *name)
        {
            (self.assignment, self.silent, self.read) = (None, None, None);
        }
    }

    /// What the attributes say of the content of a package.
    pub fn identity(&self, name: &Name) -> Identity {
        let assignment = self.assignment.as_ref().filter(|known| known.name == *name);
        assignment.map_or_else(Identity::default, |known| known.identity.clone())
    }

    /// Whether the attributes say just now what is believed of them.
    pub fn is_certain(&self) -> bool {
        self.silent.is_none()
    }

    fn permit(&mut self, name: &Name) -> Option<&mut Permit> {
        self.permits.iter_mut().find(|permit| permit.name == *name)
    }

    /// The same; nothing yet, if it is asked for the first time. `None` if too many are being checked already.
    pub fn permit_or_add(&mut self, name: &Name) -> Option<&mut Permit> {
        if let Some(at) = self.permits.iter().position(|permit| permit.name == *name) {
            return self.permits.get_mut(at);
        }
        if self.permits.len() >= MOST_PERMITS {
            let idle = self.permits.iter().position(Permit::is_idle)?;
            self.permits.remove(idle);
        }
        self.permits.reserve_exact(1);
        self.permits.push(Permit::new(name.clone()));
        self.permits.last_mut()
    }

    /// The packages whose checks wait for the attributes, with the event that these must be younger than.
    pub fn waiting_for_attributes(&self) -> Vec<(Name, u64)> {
        let waiting = |permit: &Permit| match permit.check {
            Some(Check::Reading { after }) => Some((permit.name.clone(), after)),
            Some(Check::Probing { .. }) | None => None,
        };
        self.permits.iter().filter_map(waiting).collect()
    }

    fn is_idle(&self) -> bool {
        self.reading.is_none() && self.permits.iter().all(Permit::is_idle)
    }
}

/// All devices that read packages. There are as many as are registered, twice at most.
#[derive(Debug, Default)]
pub struct Readers {
    // Boxed: a map keeps room for as many again as it holds.
    readers: HashMap<ReaderId, Box<Reader>>,
    by_device: HashMap<(Arc<str>, Package), ReaderId>,
    timers: Timers<ReaderId>,
    last_id: u64,
}

impl Readers {
    /// What is known of a device; nothing yet, if it asks for the first time or has another token or group now.
    pub fn find_or_add(
        &mut self,
        now: Instant,
        device: &Arc<Device>,
        group: Option<&Arc<str>>,
        package: Package,
    ) -> ReaderId {
        let key = (device.name.clone(), package);
        if let Some(id) = self.by_device.get(&key).copied()
            && let Some(reader) = self.readers.get_mut(&id)
            && reader.device.token == device.token
            && reader.group.as_ref() == group
        {
            reader.last_used = now;
            return id;
        }
        // With another token it is another device to ThingsBoard. What is under way for the former one ends in its
        // own time.
        self.last_id += 1;
        let id = ReaderId(self.last_id);
        let mut reader = Reader {
            device: device.clone(),
            package,
            group: group.cloned(),
            assignment: None,
            silent: None,
            changed: 0,
            changed_unread: false,
            read: None,
            reading: None,
            failing: None,
            refused: None,
            permits: Vec::new(),
            last_used: now,
            timer: Slot::default(),
        };
        self.timers.arm(id, &mut reader.timer, now + FORGOTTEN);
        self.by_device.insert(key, id);
        self.readers.insert(id, Box::new(reader));
        id
    }

    /// One of them.
    pub fn get(&self, id: ReaderId) -> Option<&Reader> {
        self.readers.get(&id).map(|reader| &**reader)
    }

    /// One of them.
    pub fn get_mut(&mut self, id: ReaderId) -> Option<&mut Reader> {
        self.readers.get_mut(&id).map(|reader| &mut **reader)
    }

    /// A device by its name, if anything is known of it.
    pub fn find(&self, device: &Arc<str>, package: Package) -> Option<ReaderId> {
        self.by_device.get(&(device.clone(), package)).copied()
    }

    /// Whose the bytes are that are fetched with a reader's token.
    pub fn owner(&self, id: ReaderId) -> Option<Owner> {
        self.get(id).map(|reader| reader.owner(id))
    }

    /// What is known of a device and a package.
    pub fn permit(&mut self, id: ReaderId, name: &Name) -> Option<&mut Permit> {
        self.get_mut(id)?.permit(name)
    }

    /// Forgets those that have asked for nothing in a day.
    pub fn forget_idle(&mut self, now: Instant) {
        while let Some(id) = self.timers.pop_due(now) {
            let Some(reader) = self.readers.get_mut(&id) else {
                continue;
            };
            reader.timer.fired();
            let over = reader.last_used + FORGOTTEN;
            if now < over || !reader.is_idle() {
                let again = over.max(now + FAILED);
                self.timers.arm(id, &mut reader.timer, again);
                continue;
            }
            let key = (reader.device.name.clone(), reader.package);
            if self.by_device.get(&key) == Some(&id) {
                self.by_device.remove(&key);
            }
            self.readers.remove(&id);
        }
    }

    /// When [`forget_idle`](Self::forget_idle) has something to do.
    pub fn next_timeout(&self) -> Option<Instant> {
        self.timers.next()
    }

    /// How many there are.
    pub fn count(&self) -> usize {
        self.readers.len()
    }
}
