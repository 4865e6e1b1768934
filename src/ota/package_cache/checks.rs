//! What a device may have: its attributes are read, then a piece of the package is requested with its token (a *probe*).
//!
//! A check has two purposes. Before a device is served, it shows whether ThingsBoard lets it have the package, and which
//! edition that is. After a chunk has arrived that was fetched with the device's token, it shows whether the package is still
//! the one that was requested.

use super::{PackageCache, Stop};
use crate::ota::assignment::Assignment;
use crate::ota::calls::CallPurpose;
use crate::ota::downloaders::AssignmentState;
use crate::ota::edition::{MAX_PIECE_BYTES, PIECE};
use crate::ota::ids::{DownloaderId, EditionId};
use crate::ota::pending_requests::{Awaited, PendingRequest};
use crate::ota::permit::Check;
use crate::ota::sample::{Sample, Sampler};
use crate::ota::{Name, PackageError};
use crate::upstream::{Answer, Error, Operation};
use std::time::Instant;

impl PackageCache {
    /// The package that a request is for. What the request does not name is taken from the device's attributes.
    pub(super) fn package_name(
        &mut self,
        now: Instant,
        request: &PendingRequest,
    ) -> Result<Name, Stop> {
        let (wanted, id) = (&request.wanted, request.downloader);
        let Some(downloader) = self.downloaders.get(id) else {
            return Err(Stop::Refused(PackageError::Unavailable));
        };
        if let Some(refused) = downloader.refused.filter(|refused| refused.is_valid(now)) {
            return Err(Stop::Refused(refused.error));
        }
        if let (Some(title), Some(version)) = (&wanted.title, &wanted.version) {
            return Ok(Name {
                package: wanted.package,
                title: title.clone(),
                version: version.clone(),
            });
        }
        match downloader.assigned(now) {
            AssignmentState::Known(name) => Ok(Name {
                package: wanted.package,
                title: wanted.title.clone().unwrap_or(name.title),
                version: wanted.version.clone().unwrap_or(name.version),
            }),
            AssignmentState::Unassigned => Err(Stop::Refused(PackageError::NotAssigned)),
            AssignmentState::Failed(error) => Err(Stop::Refused(error)),
            AssignmentState::Unread => {
                self.read_attributes(id);
                Err(Stop::Waits(Awaited::Assignment(id)))
            }
        }
    }

    /// The edition of a package that a device may have.
    pub(super) fn permitted_edition(
        &mut self,
        now: Instant,
        id: DownloaderId,
        name: &Name,
    ) -> Result<EditionId, Stop> {
        let unavailable = Stop::Refused(PackageError::Unavailable);
        let Some(downloader) = self.downloaders.get_mut(id) else {
            return Err(unavailable);
        };
        let read_failure = downloader.failing;
        // `None`: as many packages as a device may request at once are being checked.
        let permit = downloader.permit_or_add(name).ok_or(unavailable)?;
        if let Some(refused) = permit.refused.filter(|refused| refused.is_valid(now)) {
            return Err(Stop::Refused(refused.error));
        }
        // The edition may have ended since.
        let exists = |(edition, _): &(EditionId, Instant)| self.editions.get(*edition).is_some();
        permit.allowed = permit.allowed.filter(exists);
        let failures = [permit.failing, read_failure].into_iter().flatten();
        let recent_failure = |known| {
            failures
                .clone()
                .find(|failure| failure.is_recent(now, known))
        };
        match permit.allowed {
            Some((edition, at)) if now < at + self.settings.authorise_every => Ok(edition),
            // ThingsBoard does not answer, but had allowed it: cached chunks are served.
            Some((edition, _)) if recent_failure(true).is_some() => Ok(edition),
            _ => match recent_failure(false) {
                Some(failure) => Err(Stop::Refused(failure.error)),
                None => {
                    self.start_check(now, id, name, 0);
                    Err(Stop::Waits(Awaited::Check(id, name.clone())))
                }
            },
        }
    }

    /// Reads the attributes that assign packages, unless a read is in flight.
    pub(super) fn read_attributes(&mut self, id: DownloaderId) {
        let number = self.next_event();
        if let Some(downloader) = self.downloaders.get_mut(id)
            && downloader.read_in_flight.is_none()
        {
            downloader.read_in_flight = Some(number);
            let operation = Operation::ReadAssignment(downloader.package);
            let device = downloader.device.clone();
            let purpose = CallPurpose::Assignment(id);
            self.calls.query(purpose, device, operation);
        }
    }

    /// Begins a check, unless one is in progress. `after`: attributes that were read before this event don't count.
    pub(super) fn start_check(&mut self, now: Instant, id: DownloaderId, name: &Name, after: u64) {
        let Some(downloader) = self.downloaders.get_mut(id) else {
            return;
        };
        let read = downloader.recent_read(now).filter(|number| *number > after);
        let Some(permit) = downloader
            .permit_or_add(name)
            .filter(|permit| permit.check.is_none())
        else {
            return;
        };
        permit.check = Some(Check::ReadingAttributes { after });
        match read {
            Some(number) => self.probe(id, name, number),
            None => self.read_attributes(id),
        }
    }

    /// The first half of all checks of a device has ended.
    pub(super) fn assignment_read(
        &mut self,
        now: Instant,
        id: DownloaderId,
        outcome: Result<Answer, Error>,
    ) {
        let Some(downloader) = self.downloaders.get_mut(id) else {
            return;
        };
        let number = downloader.read_in_flight.unwrap_or_default();
        let checks = downloader.checks_waiting_for_attributes();
        let read = outcome
            .map_err(|error| (PackageError::of(&error), PackageError::unanswered(&error)))
            .and_then(|answer| {
                let read = Assignment::read(downloader.package, &answer.body);
                read.map_err(|_| (None, PackageError::MalformedAnswer))
            });
        match read {
            Ok(assignment) => {
                downloader.assignment_read(now, assignment);
                for (name, after) in checks {
                    if number > after {
                        self.probe(id, &name, number);
                    } else {
                        self.read_attributes(id);
                    }
                }
            }
            // 400 and 404 are not expected of a read of attributes, and mean nothing.
            Err((Some(error @ (PackageError::Unauthorized | PackageError::Forbidden)), _)) => {
                downloader.read_refused(now, error);
                for (name, _) in checks {
                    self.check_refused(now, id, &name, error);
                }
            }
            Err((_, error)) => {
                downloader.read_failed(now, error);
                for (name, _) in checks {
                    self.check_failed(now, id, &name, error);
                }
            }
        }
        self.pending.wake(&Awaited::Assignment(id));
    }

    /// Begins the second half of a check.
    fn probe(&mut self, id: DownloaderId, name: &Name, since: u64) {
        let number = self.next_event();
        let Some(downloader) = self.downloaders.get_mut(id) else {
            return;
        };
        let (device, identity) = (downloader.device.clone(), downloader.identity(name));
        let edition = self.editions.find(&downloader.owner(id), name, &identity);
        let mut sampler = Sampler {
            editions: &self.editions,
            cache: &self.cache,
            chunk: self.chunk_size,
            random: &mut self.random,
        };
        let sample = edition.and_then(|edition| sampler.sample(edition).map(Box::new));
        let piece = sample.as_ref().map(|sample| (sample.size, sample.chunk));
        let (size, chunk) = piece.unwrap_or((PIECE, 0));
        if let Some(permit) = self.downloaders.permit(id, name) {
            permit.check = Some(Check::Probing {
                number,
                since,
                sample,
            });
            self.counters.checks += 1;
            let purpose = CallPurpose::Probe(id, name.clone(), number);
            let operation = name.chunk(size, chunk);
            self.calls.query(purpose, device, operation);
        }
    }

    /// The second half of a check has ended.
    pub(super) fn probe_ended(
        &mut self,
        now: Instant,
        id: DownloaderId,
        name: &Name,
        number: u64,
        outcome: Result<Answer, Error>,
    ) {
        let check = self
            .downloaders
            .permit(id, name)
            .map(|permit| &mut permit.check);
        // The check may have been ended by a rejection, and another begun.
        let Some(check) = check.filter(|check| check.as_ref().is_some_and(|c| c.is_probe(number)))
        else {
            return;
        };
        let Some(Check::Probing { since, sample, .. }) = check.take() else {
            return;
        };
        match outcome {
            Ok(answer) if answer.body.len() <= MAX_PIECE_BYTES => {
                self.check_passed(now, id, name, since, sample, &answer);
            }
            Ok(_) => self.check_failed(now, id, name, PackageError::MalformedAnswer),
            Err(error) => match PackageError::of(&error) {
                Some(error) => self.check_refused(now, id, name, error),
                None => {
                    let error = PackageError::unanswered(&error);
                    self.check_failed(now, id, name, error);
                }
            },
        }
    }

    /// ThingsBoard lets the device have the package, and has sent a piece of it.
    fn check_passed(
        &mut self,
        now: Instant,
        id: DownloaderId,
        name: &Name,
        since: u64,
        sample: Option<Box<Sample>>,
        answer: &Answer,
    ) {
        if let Some(other) = sample.filter(|sample| sample.bytes != answer.body) {
            self.contradicted(other.edition, id);
        }
        let Some(downloader) = self.downloaders.get_mut(id) else {
            return;
        };
        let owner = downloader.owner(id);
        let identity = downloader.identity(name);
        let is_current = downloader.is_assignment_current();
        let edition = match self.editions.find(&owner, name, &identity) {
            Some(edition) => edition,
            None => self.add_edition(owner, name.clone(), identity, 0),
        };
        let Some(permit) = self.downloaders.permit(id, name) else {
            return;
        };
        permit.allow(now, edition);
        let (due, later): (Vec<_>, Vec<_>) = std::mem::take(&mut permit.unconfirmed)
            .into_iter()
            .partition(|(_, arrived)| *arrived < since);
        let newest = later.iter().map(|(_, arrived)| *arrived).max();
        permit.unconfirmed = later;
        for (key, _) in due {
            if !is_current {
                self.fail_chunk(key, PackageError::Unavailable);
            } else if key.edition == edition {
                self.accept_chunk(key);
            } else {
                self.discard_chunk(key);
            }
        }
        if let Some(newest) = newest {
            self.start_check(now, id, name, newest);
        }
        self.pending.wake(&Awaited::Check(id, name.clone()));
    }

    /// ThingsBoard does not let the device have the package.
    pub(super) fn check_refused(
        &mut self,
        now: Instant,
        id: DownloaderId,
        name: &Name,
        error: PackageError,
    ) {
        let Some(downloader) = self.downloaders.get_mut(id) else {
            return;
        };
        downloader.forget_assignment(name);
        let Some(permit) = downloader.permit_or_add(name) else {
            return;
        };
        permit.refuse(now, error);
        permit.check = None;
        // The requests of other devices that wait for these have tokens of their own.
        for (key, _) in std::mem::take(&mut permit.unconfirmed) {
            self.discard_chunk(key);
        }
        self.pending.wake(&Awaited::Check(id, name.clone()));
    }

    /// ThingsBoard did not answer, or not intelligibly.
    fn check_failed(&mut self, now: Instant, id: DownloaderId, name: &Name, error: PackageError) {
        let Some(permit) = self.downloaders.permit(id, name) else {
            return;
        };
        permit.fail(now, error);
        permit.check = None;
        for (key, _) in std::mem::take(&mut permit.unconfirmed) {
            self.fail_chunk(key, error);
        }
        self.pending.wake(&Awaited::Check(id, name.clone()));
    }
}
