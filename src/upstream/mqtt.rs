//! ThingsBoard's MQTT device API: one MQTT 5 connection for each access token, and so for each device.
//!
//! | Part | Does |
//! |---|---|
//! | [`validate`] | refuses what ThingsBoard would never answer, or would close the connection for |
//! | [`topics`] | ThingsBoard's topics |
//! | [`encode`] | writes an operation as a message |
//! | [`outcome`] | what a PUBACK, an answer, or the end of a connection means |
//! | [`package`] | a part of a package, out of several requests |
//! | [`connection`] | one connection, without a socket and without a clock |
//! | [`task`] | one connection with its socket |
//! | [`link`] | what is demanded of a device's connection |
//! | [`members`] | the devices of one access token, which share a connection |
//! | [`connections`] | the connections of all devices |
//! | [`backoff`] | how long a device's connection waits after one that did not last |
//! | [`opening`], [`opener`] | when connections are opened |
//! | [`harness`] | a connection for a fuzz target |
//! | [`notice`] | messages and changes of state, for the loop |
//! | [`waiter`] | where the outcome of a request goes |
//! | [`losses`] | lost connections in few log lines |
//! | [`counters`] | what is counted |
//!
//! # One thread
//!
//! Without TLS, the tasks of the connections run where the loop does: what a message takes here is less than waking another
//! thread for it and being woken again. For the same reason a short post on an open connection has no task and no timer of its
//! own ([`try_post`](Mqtt::try_post)). Large messages to devices are parsed in another thread, longer bodies and answers in the
//! tasks of their calls. With TLS the connections run in the other threads, since a handshake would keep the loop waiting.
//!
//! # Nothing is sent twice
//!
//! A request of which anything may have been written is not sent again: it is [`Error::Unreachable`](super::Error), and the
//! device decides. What was not written when a connection ends goes over the next one.

mod backoff;
mod connection;
mod connections;
mod counters;
mod dial;
mod encode;
mod harness;
mod link;
mod losses;
mod members;
mod notice;
mod opener;
mod opening;
mod outcome;
mod package;
mod settings;
mod task;
#[cfg(test)]
mod tests;
mod topics;
mod validate;
mod waiter;

pub use connection::Kinds;
pub(crate) use connection::Numbers;
pub(crate) use connections::Convert;
pub use counters::{Counters, Expired};
pub(crate) use dial::Dial;
pub(super) use encode::is_too_large;
pub use harness::{Harness, Reported};
pub use link::Status;
pub use notice::Acknowledgement;
pub(crate) use notice::Notice;
pub(crate) use settings::Settings;

use super::http::connect::Connector;
use super::request::Lane;
use super::{Answer, Error, Operation, Report, Request, SettingsError, Upstream};
use crate::device::Device;
use bytes::{Bytes, BytesMut};
use connections::Connections;
use encode::Outgoing;
use link::{Link, Message, Request as LinkRequest};
use std::sync::Arc;
use std::time::{Duration, Instant};
use task::Ended;
use tokio::sync::{Semaphore, mpsc, oneshot};
use waiter::{Place, Waiter};

/// The user name with which ThingsBoard accepts a connection for provisioning.
const PROVISION: &str = "provision";

/// A ThingsBoard server, reached over its MQTT device API. `T` is what the loop gets of the connections.
pub(crate) struct Mqtt<T, D = Connector> {
    connections: Arc<Connections<T, D>>,
    requests: Arc<Semaphore>,
    downlink: Arc<Semaphore>,
    packages: Arc<Semaphore>,
    timeout: Duration,
    alive_for: Duration,
}

/// The clock of the connections' tasks.
#[expect(
    clippy::disallowed_methods,
    reason = "a connection's task owns its clock, as the loop does; below it time is a parameter"
)]
fn now() -> Instant {
    tokio::time::Instant::now().into_std()
}

impl<T: Send + 'static> Mqtt<T> {
    /// Checks the settings. Opens no connection: ThingsBoard may be down when the gateway starts.
    pub(crate) fn new(
        settings: &Settings,
        notices: mpsc::Sender<T>,
        convert: Convert<T>,
    ) -> Result<Mqtt<T>, SettingsError> {
        let connector = connections::connector(settings)?;
        Ok(Mqtt::over(connector, settings, notices, convert))
    }
}

impl<T: Send + 'static, D: Dial> Mqtt<T, D> {
    /// With connections whose streams the dialer opens.
    pub(crate) fn over(
        dialer: D,
        settings: &Settings,
        notices: mpsc::Sender<T>,
        convert: Convert<T>,
    ) -> Mqtt<T, D> {
        let places = |most: usize| Arc::new(Semaphore::new(most.min(Semaphore::MAX_PERMITS)));
        Mqtt {
            connections: Connections::new(settings, dialer, notices, convert),
            requests: places(settings.max_in_flight),
            downlink: places(settings.max_downlink),
            packages: places(settings.max_packages),
            timeout: settings.timeout,
            alive_for: settings.alive_for,
        }
    }

    /// Subscribes for a device. A connection is opened for it, and opened again when it is lost, as long as the device counts as
    /// alive: from now on if it has no connection. Each time the subscription works it is reported under the number. With another
    /// number it is requested again.
    ///
    /// # Errors
    /// There are too many connections, or devices with this access token.
    pub(crate) fn subscribe(
        &self,
        device: &Arc<Device>,
        kinds: Kinds,
        number: u64,
    ) -> Result<(), Error> {
        let alive_until = now() + self.alive_for;
        self.connections.change(device, false, |demand| {
            demand.alive_until.get_or_insert(alive_until);
            demand.subscribe(device, kinds, number)
        })?
    }

    /// Ends subscriptions. What was received before is still reported.
    pub(crate) fn unsubscribe(&self, device: &Arc<Device>, kinds: Kinds) {
        self.connections.change_existing(device, |demand| {
            demand.members.unsubscribe(device, kinds);
        });
    }

    /// The device has the message.
    pub(crate) fn acknowledge(&self, acknowledgement: Acknowledgement) {
        self.connections.acknowledge(acknowledgement);
    }

    /// The device has sent something, and counts as alive until then.
    pub(crate) fn alive_until(&self, device: &Arc<Device>, until: Instant) {
        self.connections.extend_alive(device, until);
    }

    /// The device is gone: its connection is closed when nothing is in flight, unless another device with its access token
    /// has subscribed.
    pub(crate) fn close(&self, device: &Arc<Device>) {
        self.connections.change_existing(device, |demand| {
            if demand.members.remove(device) {
                demand.close();
            }
        });
    }

    /// Closes all connections, each when nothing is in flight on it, and waits for that, but no longer than `at_most`. No
    /// connection is opened any more.
    pub(crate) async fn close_all(&self, at_most: Duration) {
        // What is still open then ends with the process.
        let _ = tokio::time::timeout(at_most, self.connections.close_all()).await;
    }

    /// What is counted, and the current levels.
    pub(crate) fn counters(&self) -> Counters {
        self.connections.counts()
    }

    /// The state of a device's connection. `None`: it has no reason for one.
    pub(crate) fn status(&self, device: &Arc<Device>) -> Option<Status> {
        self.connections.status(device)
    }

    /// Counts a request that is refused because of its body.
    fn refused_body<V>(&self, outgoing: Result<V, Error>) -> Result<V, Error> {
        if let Err(error) = &outgoing {
            self.connections.counters().refused_body(error);
        }
        outgoing
    }

    /// Sends a post of a device, after all that were posted before it. On an open connection it needs no task. Returns it if
    /// it is no short post, or if there is no place for it.
    pub(crate) fn try_post(
        &self,
        request: Request,
        accept: impl FnOnce(&Operation) -> Option<Report>,
    ) -> Result<(), Request> {
        let time = request.deadline(self.timeout);
        let (device, operation) = match request {
            Request::Device { device, operation } if operation.is_post() => (device, operation),
            other @ (Request::Device { .. } | Request::Provision { .. }) => return Err(other),
        };
        let Ok(place) = self.requests.clone().try_acquire_owned() else {
            return Err(Request::Device { device, operation });
        };
        let Some(report) = accept(&operation) else {
            return Ok(());
        };
        let place = Place::new(place);
        let counters = self.connections.counters().clone();
        let bytes = operation.body_length();
        let now = now();
        let deadline = now + time;
        let message = Message::Unchecked(operation);
        let link = self.connections.open_link(&device);
        let Some(open) = link.as_ref().and_then(|link| link.if_open()) else {
            let (outcome, answered) = oneshot::channel();
            let request = LinkRequest {
                waiter: Waiter::new(outcome, place, bytes, counters),
                message,
                deadline,
            };
            self.report_once_connected(&device, request, answered, report);
            return Ok(());
        };
        let request = LinkRequest {
            waiter: Waiter::reporting(report, place, bytes, counters),
            message,
            deadline,
        };
        open.push(request, now + self.alive_for);
        Ok(())
    }

    /// Adds a request to those that wait for the device's connection: now, so that it stays in order. A task minds its
    /// deadline.
    fn report_once_connected(
        &self,
        device: &Arc<Device>,
        request: LinkRequest,
        answered: oneshot::Receiver<Result<Answer, Error>>,
        report: Report,
    ) {
        let (deadline, alive_until) = (request.deadline, now() + self.alive_for);
        // It is taken once, whichever link accepts it.
        let request = std::cell::Cell::new(Some(request));
        let added = self.connections.change(device, true, |demand| {
            if let Some(request) = request.take() {
                demand.alive_until.get_or_insert(alive_until);
                demand.push_request(request);
            }
        });
        if let Err(error) = added {
            report(Err(error));
            return;
        }
        let (connections, device) = (self.connections.clone(), device.clone());
        self.connections.runtime().spawn(async move {
            let outcome = tokio::time::timeout_at(deadline.into(), answered).await;
            if outcome.is_err() {
                connections.remove_given_up(&device);
            }
            report(match outcome {
                Ok(answered) => answered.unwrap_or(Err(Error::Unreachable)),
                Err(_elapsed) => Err(Error::Timeout),
            });
        });
    }

    fn waiter(
        &self,
        outcome: oneshot::Sender<Result<Answer, Error>>,
        outgoing: &Outgoing,
        place: &Place,
    ) -> Waiter {
        let counters = self.connections.counters().clone();
        Waiter::new(outcome, place.clone(), outgoing.payload.len(), counters)
    }

    /// Whether ThingsBoard can be reached and accepts connections. For a check, not for each request.
    pub(crate) async fn is_reachable(&self) -> Result<(), Error> {
        // Nothing is wanted of it, so it is closed as soon as it is accepted.
        let link = Arc::new(Link::new());
        let connection = self.connect_once(&link);
        match tokio::time::timeout(self.timeout, connection).await {
            Ok(Ok(Ended { up: Some(_), .. })) => Ok(()),
            Ok(Ok(Ended { end, .. })) => {
                Err(outcome::unsent(end, false).unwrap_or(Error::Unreachable))
            }
            Ok(Err(error)) => Err(error),
            Err(_elapsed) => Err(Error::Timeout),
        }
    }

    /// A connection of its own under the user name for provisioning, until it ends.
    async fn connect_once(&self, link: &Arc<Link>) -> Result<Ended, Error> {
        let permit = self.connections.opener().acquire(true).await;
        let permit = permit.ok_or(Error::Unreachable)?;
        let number = self.connections.next_number();
        let opened = self.connections.open(PROVISION, link, number, permit);
        Box::pin(opened).await.ok_or(Error::Unreachable)
    }

    async fn provision(
        &self,
        body: Bytes,
        deadline: Instant,
        place: &Place,
    ) -> Result<Answer, Error> {
        let (outcome, answered) = oneshot::channel();
        let outgoing = self.refused_body(Outgoing::provision(body))?;
        let waiter = self.waiter(outcome, &outgoing, place);
        let link = Arc::new(Link::new());
        link.give_back(vec![LinkRequest {
            waiter,
            message: Message::Checked(outgoing),
            deadline,
        }]);
        // It ends after the answer, since nothing else is to be done on it.
        self.connect_once(&link).await?;
        // With it goes a request that was not sent.
        drop(link);
        answered.await.unwrap_or(Err(Error::Unreachable))
    }

    async fn operation(
        &self,
        device: &Arc<Device>,
        operation: &Operation,
        deadline: Instant,
        place: &Place,
    ) -> Result<Answer, Error> {
        let outgoing = self.refused_body(Outgoing::new(operation))?;
        // Dropped after the receiver.
        let mut caller = Caller {
            connections: &self.connections,
            device,
            has_outcome: false,
        };
        let (outcome, answered) = oneshot::channel::<Result<Answer, Error>>();
        let waiter = self.waiter(outcome, &outgoing, place);
        let alive_until = now() + self.alive_for;
        let is_of_device = operation.lane() != Lane::Downlink;
        // It is taken once, whichever link accepts it.
        let request = std::cell::Cell::new(Some((waiter, outgoing)));
        self.connections.change(device, true, |demand| {
            if let Some((waiter, outgoing)) = request.take() {
                // A device with a link is reported as alive with each message. The gateway's own reads say nothing about it.
                if is_of_device {
                    demand.alive_until.get_or_insert(alive_until);
                }
                demand.push_request(LinkRequest {
                    waiter,
                    message: Message::Checked(outgoing),
                    deadline,
                });
            }
        })?;
        drop(request);
        // The task is dropped only when the process ends.
        let outcome = answered.await.unwrap_or(Err(Error::Unreachable));
        caller.has_outcome = true;
        outcome
    }

    async fn package(
        &self,
        device: &Arc<Device>,
        operation: &Operation,
        deadline: Instant,
        place: &Place,
    ) -> Result<Answer, Error> {
        let Operation::GetPackage {
            package,
            title,
            version,
            size,
            chunk,
        } = operation
        else {
            return self.operation(device, operation, deadline, place).await;
        };
        let pieces = package::pieces(*package, (title, version), *size, *chunk)?;
        let assigned = Operation::ReadAssignment(*package);
        let assigned = self.operation(device, &assigned, deadline, place).await?;
        package::check_assignment(&assigned.body, *package, title, version)?;
        let mut whole = BytesMut::new();
        for (wanted, piece) in pieces {
            let part = self.operation(device, &piece, deadline, place).await?;
            let part = part.body;
            let is_short = u32::try_from(part.len()).is_ok_and(|length| length < wanted);
            if whole.is_empty() && (is_short || wanted == *size) {
                return Ok(Answer { body: part });
            }
            whole.extend_from_slice(&part);
            if is_short {
                break;
            }
        }
        Ok(Answer {
            body: whole.freeze(),
        })
    }
}

/// Whoever waits for the outcome of a device's request. If it gives up before there is a connection, the request must not
/// keep its place and its body until there is one.
struct Caller<'a, T: Send + 'static, D: Dial> {
    connections: &'a Connections<T, D>,
    device: &'a Arc<Device>,
    has_outcome: bool,
}

impl<T: Send + 'static, D: Dial> Drop for Caller<'_, T, D> {
    fn drop(&mut self) {
        if !self.has_outcome {
            self.connections.remove_given_up(self.device);
        }
    }
}

impl<T: Send + 'static, D: Dial> Upstream for Mqtt<T, D> {
    async fn send(&self, request: Request) -> Result<Answer, Error> {
        let places = match request.lane() {
            Lane::Requests => &self.requests,
            Lane::Downlink => &self.downlink,
            Lane::Packages => &self.packages,
        };
        // A caller that waited here would hold its request without bound.
        let Ok(place) = places.clone().try_acquire_owned() else {
            self.connections.counters().refused("max_in_flight", 1);
            return Err(Error::Overloaded);
        };
        let place = Place::new(place);
        let time = request.deadline(self.timeout);
        let deadline = now() + time;
        let answer = async {
            match &request {
                Request::Provision { body } => self.provision(body.clone(), deadline, &place).await,
                Request::Device { device, operation } => {
                    self.package(device, operation, deadline, &place).await
                }
            }
        };
        tokio::time::timeout(time, answer)
            .await
            .unwrap_or(Err(Error::Timeout))
    }
}
