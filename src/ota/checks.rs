//! What a device may have: its attributes are read, then a piece of the package is asked for with its token.
//!
//! A check serves two ends. Before a device is served, it tells whether ThingsBoard lets it have the package, and
//! which edition that is. After a chunk has come under the device's token, it tells whether the package is still
//! the one that was asked for.

use super::assignment::Assignment;
use super::calls::Purpose;
use super::edition::{EditionId, LARGEST_PIECE, PIECE};
use super::packages::{Packages, Stop};
use super::permit::Check;
use super::readers::{Assigned, ReaderId};
use super::sample::Sample;
use super::waiters::{Awaited, Waiter};
use super::{Name, Refusal};
use crate::upstream::{Answer, Error, Operation};
use std::time::Instant;

impl Packages {
    /// The package a device wants. What it does not name is as its attributes say.
    pub(super) fn name(&mut self, now: Instant, waiter: &Waiter) -> Result<Name, Stop> {
        let (wanted, id) = (&waiter.wanted, waiter.reader);
        let Some(reader) = self.readers.get(id) else {
            return Err(Stop::Refused(Refusal::Unavailable));
        };
        if let Some(refused) = reader.refused.filter(|refused| refused.holds(now)) {
            return Err(Stop::Refused(refused.why));
        }
        if let (Some(title), Some(version)) = (&wanted.title, &wanted.version) {
            return Ok(Name {
                package: wanted.package,
                title: title.clone(),
                version: version.clone(),
            });
        }
        match reader.assigned(now) {
            Assigned::Known(name) => Ok(Name {
                package: wanted.package,
                title: wanted.title.clone().unwrap_or(name.title),
                version: wanted.version.clone().unwrap_or(name.version),
            }),
            Assigned::Nothing => Err(Stop::Refused(Refusal::NotAssigned)),
            Assigned::Failed(why) => Err(Stop::Refused(why)),
            Assigned::Unknown => {
                self.read_attributes(id);
                Err(Stop::Waits(Awaited::Assignment(id)))
            }
        }
    }

    /// Which edition of a package a device may have.
    pub(super) fn permitted(
        &mut self,
        now: Instant,
        id: ReaderId,
        name: &Name,
    ) -> Result<EditionId, Stop> {
        let unavailable = Stop::Refused(Refusal::Unavailable);
        let Some(reader) = self.readers.get_mut(id) else {
            return Err(unavailable);
        };
        let unread = reader.failing;
        // All that a device may ask for at once is being checked.
        let permit = reader.permit_or_add(name).ok_or(unavailable)?;
        if let Some(refused) = permit.refused.filter(|refused| refused.holds(now)) {
            return Err(Stop::Refused(refused.why));
        }
        // The edition may have ended since.
        let exists = |(edition, _): &(EditionId, Instant)| self.editions.get(*edition).is_some();
        permit.allowed = permit.allowed.filter(exists);
        let failures = [permit.failing, unread].into_iter().flatten();
        let failing = |known| {
            failures
                .clone()
                .find(|failure| failure.is_recent(now, known))
        };
        match permit.allowed {
            Some((edition, at)) if now < at + self.settings.authorise_every => Ok(edition),
            // ThingsBoard is gone, but had allowed it: what is cached is served.
            Some((edition, _)) if failing(true).is_some() => Ok(edition),
            _ => match failing(false) {
                Some(failure) => Err(Stop::Refused(failure.why)),
                None => {
                    self.check(now, id, name, 0);
                    Err(Stop::Waits(Awaited::Check(id, name.clone())))
                }
            },
        }
    }

    pub(super) fn read_attributes(&mut self, id: ReaderId) {
        let number = self.next_event();
        if let Some(reader) = self.readers.get_mut(id)
            && reader.reading.is_none()
        {
            reader.reading = Some(number);
            let operation = Operation::ReadAssignment(reader.package);
            let device = reader.device.clone();
            self.calls.ask(Purpose::Assignment(id), device, operation);
        }
    }

    /// Begins a check, unless one is under way. `after`: attributes that were read before this event don't count.
    pub(super) fn check(&mut self, now: Instant, id: ReaderId, name: &Name, after: u64) {
        let Some(reader) = self.readers.get_mut(id) else {
            return;
        };
        let read = reader.fresh_read(now).filter(|number| *number > after);
        let Some(permit) = reader
            .permit_or_add(name)
            .filter(|permit| permit.check.is_none())
        else {
            return;
        };
        permit.check = Some(Check::Reading { after });
        match read {
            Some(number) => self.probe(id, name, number),
            None => self.read_attributes(id),
        }
    }

    pub(super) fn assignment_read(
        &mut self,
        now: Instant,
        id: ReaderId,
        outcome: Result<Answer, Error>,
    ) {
        let Some(reader) = self.readers.get_mut(id) else {
            return;
        };
        let number = reader.reading.unwrap_or_default();
        let checks = reader.waiting_for_attributes();
        let read = outcome
            .map_err(|error| (Refusal::of(&error), Refusal::for_want_of_an_answer(&error)))
            .and_then(|answer| {
                let read = Assignment::read(reader.package, &answer.body);
                read.map_err(|_| (None, Refusal::Nonsense))
            });
        match read {
            Ok(assignment) => {
                reader.assignment_read(now, assignment);
                for (name, after) in checks {
                    if number > after {
                        self.probe(id, &name, number);
                    } else {
                        self.read_attributes(id);
                    }
                }
            }
            // 400 and 404 are no words about attributes.
            Err((Some(why @ (Refusal::Unauthorized | Refusal::Forbidden)), _)) => {
                reader.read_refused(now, why);
                for (name, _) in checks {
                    self.refused(now, id, &name, why);
                }
            }
            Err((_, why)) => {
                reader.read_failed(now, why);
                for (name, _) in checks {
                    self.failed(now, id, &name, why);
                }
            }
        }
        self.waiters.wake(&Awaited::Assignment(id));
    }

    /// The second half of a check.
    fn probe(&mut self, id: ReaderId, name: &Name, since: u64) {
        let number = self.next_event();
        let Some(reader) = self.readers.get_mut(id) else {
            return;
        };
        let (device, identity) = (reader.device.clone(), reader.identity(name));
        let edition = self.editions.find(&reader.owner(id), name, &identity);
        let sample = edition.and_then(|edition| self.sample(edition).map(Box::new));
        let piece = sample.as_ref().map(|sample| (sample.size, sample.chunk));
        let (size, chunk) = piece.unwrap_or((PIECE, 0));
        if let Some(permit) = self.readers.permit(id, name) {
            permit.check = Some(Check::Probing {
                number,
                since,
                sample,
            });
            self.counters.checks += 1;
            let purpose = Purpose::Probe(id, name.clone(), number);
            self.calls.ask(purpose, device, name.chunk(size, chunk));
        }
    }

    pub(super) fn probed(
        &mut self,
        now: Instant,
        id: ReaderId,
        name: &Name,
        number: u64,
        outcome: Result<Answer, Error>,
    ) {
        let check = self
            .readers
            .permit(id, name)
            .map(|permit| &mut permit.check);
        // A check that was cut short by a refusal may have a successor by now.
        let Some(check) = check.filter(|check| check.as_ref().is_some_and(|c| c.is_probe(number)))
        else {
            return;
        };
        let Some(Check::Probing { since, sample, .. }) = check.take() else {
            return;
        };
        match outcome {
            Ok(answer) if answer.body.len() <= LARGEST_PIECE => {
                self.allowed(now, id, name, since, sample, &answer);
            }
            Ok(_) => self.failed(now, id, name, Refusal::Nonsense),
            Err(error) => match Refusal::of(&error) {
                Some(why) => self.refused(now, id, name, why),
                None => self.failed(now, id, name, Refusal::for_want_of_an_answer(&error)),
            },
        }
    }

    /// ThingsBoard lets the device have the package, and has shown a piece of it.
    fn allowed(
        &mut self,
        now: Instant,
        id: ReaderId,
        name: &Name,
        since: u64,
        sample: Option<Box<Sample>>,
        answer: &Answer,
    ) {
        if let Some(other) = sample.filter(|sample| sample.bytes != answer.body) {
            self.contradicted(other.edition, id);
        }
        let Some(reader) = self.readers.get_mut(id) else {
            return;
        };
        let owner = reader.owner(id);
        let (identity, certain) = (reader.identity(name), reader.is_certain());
        let edition = match self.editions.find(&owner, name, &identity) {
            Some(edition) => edition,
            None => self.add_edition(owner, name.clone(), identity, 0),
        };
        let Some(permit) = self.readers.permit(id, name) else {
            return;
        };
        permit.allow(now, edition);
        let (due, later): (Vec<_>, Vec<_>) = std::mem::take(&mut permit.unconfirmed)
            .into_iter()
            .partition(|(_, arrived)| *arrived < since);
        let newest = later.iter().map(|(_, arrived)| *arrived).max();
        permit.unconfirmed = later;
        for (key, _) in due {
            if !certain {
                self.fail(key, Refusal::Unavailable);
            } else if key.edition == edition {
                self.accept(key);
            } else {
                self.disown(key);
            }
        }
        if let Some(newest) = newest {
            self.check(now, id, name, newest);
        }
        self.waiters.wake(&Awaited::Check(id, name.clone()));
    }

    /// ThingsBoard does not let the device have the package.
    pub(super) fn refused(&mut self, now: Instant, id: ReaderId, name: &Name, why: Refusal) {
        let Some(reader) = self.readers.get_mut(id) else {
            return;
        };
        reader.disbelieve(name);
        let Some(permit) = reader.permit_or_add(name) else {
            return;
        };
        permit.refuse(now, why);
        permit.check = None;
        // Those who waited for these have tokens of their own.
        for (key, _) in std::mem::take(&mut permit.unconfirmed) {
            self.disown(key);
        }
        self.waiters.wake(&Awaited::Check(id, name.clone()));
    }

    /// ThingsBoard has said nothing about it.
    fn failed(&mut self, now: Instant, id: ReaderId, name: &Name, why: Refusal) {
        let Some(permit) = self.readers.permit(id, name) else {
            return;
        };
        permit.fail(now, why);
        permit.check = None;
        for (key, _) in std::mem::take(&mut permit.unconfirmed) {
            self.fail(key, why);
        }
        self.waiters.wake(&Awaited::Check(id, name.clone()));
    }
}
