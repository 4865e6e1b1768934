//! The devices that read packages: what is assigned to each, and its permits.
//!
//! The assignment:
//!
//! ```text
//! unread ──▶ being read ──▶ known ──(30 s)──▶ being read again …
//!                └─(no answer)─▶ failing: what was known before is used for 30 s
//! known ──(its attributes were seen to change)──▶ unread
//! ```

use super::assignment::{Assignment, Identity};
use super::edition::Owner;
use super::ids::DownloaderId;
use super::permit::{Check, FAILING_FOR, FAILING_UNKNOWN_FOR, Failure, Permit, REFUSED_FOR};
use super::{Name, PackageError};
use crate::device::Device;
use crate::timers::{Slot, Timers};
use crate::upstream::Package;
use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// How long an assignment is used before it is read again.
const ASSIGNMENT_KNOWN: Duration = Duration::from_secs(30);
/// Packages of one kind that one device may request at the same time.
const MAX_PERMITS: usize = 2;
/// How long a device is kept after its last request.
const KEPT_FOR: Duration = Duration::from_secs(24 * 3600);

/// A device that reads firmware, or software.
#[derive(Debug)]
pub(crate) struct Downloader {
    pub device: Arc<Device>,
    pub package: Package,
    /// The devices that it shares unverified bytes with.
    group: Option<Arc<str>>,
    /// The last assignment that was read.
    assignment: Option<Assignment>,
    /// Since when its attributes assign nothing, if `assignment` is older.
    empty_since: Option<Instant>,
    /// The number of the event at which its attributes were last seen to change. The answer to an earlier read is not used.
    changed: u64,
    /// Whether they were not read since.
    changed_unread: bool,
    /// The last read: its number, and the time it ended.
    read: Option<(u64, Instant)>,
    /// The number of the read in flight.
    pub read_in_flight: Option<u64>,
    /// The last read failed.
    pub failing: Option<Failure>,
    /// ThingsBoard rejected the device's token.
    pub refused: Option<Failure>,
    permits: Vec<Permit>,
    last_used: Instant,
    timer: Slot,
}

/// A device's assignment, as far as it is known.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum AssignmentState {
    Known(Name),
    Unassigned,
    /// Its attributes have to be read.
    Unread,
    /// Its attributes could not be read.
    Failed(PackageError),
}

impl Downloader {
    pub(crate) fn assigned(&self, now: Instant) -> AssignmentState {
        let known = self.assignment.as_ref().map(|known| known.name.clone());
        let failing = self.failing;
        let failing = failing.filter(|failure| failure.is_recent(now, known.is_some()));
        match (known, failing) {
            (Some(name), _) if self.recent_read(now).is_some() => AssignmentState::Known(name),
            (None, _) if self.recent_read(now).is_some() => AssignmentState::Unassigned,
            (Some(name), Some(_)) => AssignmentState::Known(name),
            (None, Some(failure)) => AssignmentState::Failed(failure.error),
            (_, None) => AssignmentState::Unread,
        }
    }

    /// The number of the last read of the attributes, if it is recent enough to be used.
    pub(crate) fn recent_read(&self, now: Instant) -> Option<u64> {
        let keeps = match self.assignment {
            Some(_) => ASSIGNMENT_KNOWN,
            None => REFUSED_FOR,
        };
        let fresh = self.read.filter(|(_, at)| now < *at + keeps);
        fresh.map(|(number, _)| number)
    }

    /// Its attributes were seen to change at this event: its assignment has to be read again, and its permits checked again.
    /// Returns whether a check is in progress that has to begin again.
    pub(crate) fn attributes_changed(&mut self, event: u64) -> bool {
        (self.changed, self.changed_unread) = (event, true);
        (self.read, self.failing, self.refused) = (None, None, None);
        let mut is_checked = false;
        for permit in &mut self.permits {
            is_checked |= permit.attributes_changed(event);
        }
        is_checked
    }

    /// The owner of what its token fetches.
    pub(crate) fn owner(&self, id: DownloaderId) -> Owner {
        let group = self.group.clone();
        group.map_or(Owner::Device(id), Owner::Group)
    }

    /// The read in flight was answered. If the assignment has changed, its permits have to be checked again. That nothing is
    /// assigned any more counts after 30 s only, unless a change was seen: ThingsBoard also answers so between two assignments,
    /// and when it fails to read its attributes.
    pub(crate) fn assignment_read(&mut self, now: Instant, read: Option<Assignment>) {
        let number = self.read_in_flight.take();
        // A read that began before the attributes changed may have brought the former ones.
        let Some(number) = number.filter(|number| *number > self.changed) else {
            return;
        };
        self.read = Some((number, now));
        (self.failing, self.refused) = (None, None);
        let was_seen = std::mem::take(&mut self.changed_unread);
        if read == self.assignment {
            self.empty_since = None;
            return;
        }
        self.permits.iter_mut().for_each(Permit::revoke);
        if read.is_none() && !was_seen && now < *self.empty_since.get_or_insert(now) + FAILING_FOR {
            return;
        }
        (self.assignment, self.empty_since) = (read, None);
    }

    /// The read in flight has failed.
    pub(crate) fn read_failed(&mut self, now: Instant, error: PackageError) {
        self.read_in_flight = None;
        self.failing = Some(Failure { at: now, error });
    }

    /// ThingsBoard rejected the device's token when the attributes were read.
    pub(crate) fn read_refused(&mut self, now: Instant, error: PackageError) {
        self.read_in_flight = None;
        self.refused = Some(Failure { at: now, error });
    }

    /// Forgets the assignment of this package: ThingsBoard does not let the device have it.
    pub(crate) fn forget_assignment(&mut self, name: &Name) {
        if self
            .assignment
            .as_ref()
            .is_some_and(|known| known.name == *name)
        {
            (self.assignment, self.empty_since, self.read) = (None, None, None);
        }
    }

    /// What the attributes name of the content of a package.
    pub(crate) fn identity(&self, name: &Name) -> Identity {
        let assignment = self.assignment.as_ref().filter(|known| known.name == *name);
        assignment.map_or_else(Identity::default, |known| known.identity.clone())
    }

    /// Whether the last read brought the assignment that is used.
    pub(crate) fn is_assignment_current(&self) -> bool {
        self.empty_since.is_none()
    }

    fn permit(&mut self, name: &Name) -> Option<&mut Permit> {
        self.permits.iter_mut().find(|permit| permit.name == *name)
    }

    /// The permit for a package. Adds one if there is none; `None` if too many are being checked.
    pub(crate) fn permit_or_add(&mut self, name: &Name) -> Option<&mut Permit> {
        if let Some(at) = self.permits.iter().position(|permit| permit.name == *name) {
            return self.permits.get_mut(at);
        }
        if self.permits.len() >= MAX_PERMITS {
            let idle = self.permits.iter().position(Permit::is_idle)?;
            self.permits.remove(idle);
        }
        self.permits.reserve_exact(1);
        self.permits.push(Permit::new(name.clone()));
        self.permits.last_mut()
    }

    /// The packages whose checks wait for the attributes, with the event after which these must be read.
    pub(crate) fn checks_waiting_for_attributes(&self) -> Vec<(Name, u64)> {
        let waiting = |permit: &Permit| match permit.check {
            Some(Check::ReadingAttributes { after }) => Some((permit.name.clone(), after)),
            Some(Check::Probing { .. }) | None => None,
        };
        self.permits.iter().filter_map(waiting).collect()
    }

    fn is_idle(&self) -> bool {
        self.read_in_flight.is_none() && self.permits.iter().all(Permit::is_idle)
    }
}

/// All devices that read packages: at most twice as many as are registered, for firmware and for software.
#[derive(Debug, Default)]
pub(crate) struct Downloaders {
    // Boxed, because a map may have twice the capacity that it needs.
    downloaders: HashMap<DownloaderId, Box<Downloader>>,
    by_device: HashMap<(Arc<str>, Package), DownloaderId>,
    timers: Timers<DownloaderId>,
    last_id: u64,
}

impl Downloaders {
    /// The entry of a device. Adds one if there is none, or if the device has another token or group now.
    pub(crate) fn find_or_add(
        &mut self,
        now: Instant,
        device: &Arc<Device>,
        group: Option<&Arc<str>>,
        package: Package,
    ) -> DownloaderId {
        let key = (device.name.clone(), package);
        if let Some(id) = self.by_device.get(&key).copied()
            && let Some(downloader) = self.downloaders.get_mut(&id)
            && downloader.device.token == device.token
            && downloader.group.as_ref() == group
        {
            downloader.last_used = now;
            return id;
        }
        // With another token it may be another device to ThingsBoard. Calls in flight for the former one are not cancelled.
        self.last_id += 1;
        let id = DownloaderId(self.last_id);
        let mut downloader = Downloader {
            device: device.clone(),
            package,
            group: group.cloned(),
            assignment: None,
            empty_since: None,
            changed: 0,
            changed_unread: false,
            read: None,
            read_in_flight: None,
            failing: None,
            refused: None,
            permits: Vec::new(),
            last_used: now,
            timer: Slot::default(),
        };
        self.timers.arm(id, &mut downloader.timer, now + KEPT_FOR);
        self.by_device.insert(key, id);
        self.downloaders.insert(id, Box::new(downloader));
        id
    }

    pub(crate) fn get(&self, id: DownloaderId) -> Option<&Downloader> {
        self.downloaders.get(&id).map(|downloader| &**downloader)
    }

    pub(crate) fn get_mut(&mut self, id: DownloaderId) -> Option<&mut Downloader> {
        self.downloaders
            .get_mut(&id)
            .map(|downloader| &mut **downloader)
    }

    /// A device by its name.
    pub(crate) fn find(&self, device: &Arc<str>, package: Package) -> Option<DownloaderId> {
        self.by_device.get(&(device.clone(), package)).copied()
    }

    /// The owner of what a device's token fetches.
    pub(crate) fn owner(&self, id: DownloaderId) -> Option<Owner> {
        self.get(id).map(|downloader| downloader.owner(id))
    }

    /// The permit of a device for a package, if there is one.
    pub(crate) fn permit(&mut self, id: DownloaderId, name: &Name) -> Option<&mut Permit> {
        self.get_mut(id)?.permit(name)
    }

    /// Removes devices that have requested nothing for a day.
    pub(crate) fn remove_expired(&mut self, now: Instant) {
        while let Some(id) = self.timers.pop_due(now) {
            let Some(downloader) = self.downloaders.get_mut(&id) else {
                continue;
            };
            downloader.timer.fired();
            let over = downloader.last_used + KEPT_FOR;
            if now < over || !downloader.is_idle() {
                let again = over.max(now + FAILING_UNKNOWN_FOR);
                self.timers.arm(id, &mut downloader.timer, again);
                continue;
            }
            let key = (downloader.device.name.clone(), downloader.package);
            if self.by_device.get(&key) == Some(&id) {
                self.by_device.remove(&key);
            }
            self.downloaders.remove(&id);
        }
    }

    /// When [`remove_expired`](Self::remove_expired) has something to do.
    pub(crate) fn next_timeout(&self) -> Option<Instant> {
        self.timers.next()
    }

    pub(crate) fn count(&self) -> usize {
        self.downloaders.len()
    }
}
