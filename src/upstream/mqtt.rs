//! ThingsBoard's MQTT device API: one MQTT 5 connection for each device, under its access token.
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
//! | [`connections`] | the connections of all devices |
//! | [`dial`] | opens the stream of a connection |
//! | [`backoff`] | how long a device's connection waits after one that did not last |
//! | [`order`] | the order of a device's requests |
//! | [`opening`], [`opener`] | when connections are opened |
//! | [`notice`] | messages and changes of state, for the loop |
//!
//! # Nothing is sent twice
//!
//! A request of which anything may have been written is not sent again: it is [`Error::Unreachable`](super::Error), and the
//! device decides. What was not written when a connection ends goes over the next one.

mod backoff;
mod connection;
mod connections;
mod dial;
mod encode;
mod link;
mod notice;
mod opener;
mod opening;
mod order;
mod outcome;
mod package;
mod settings;
mod task;
#[cfg(test)]
mod tests;
mod topics;
mod validate;

pub use connection::Kinds;
pub(crate) use connection::Numbers;
pub(crate) use connections::Convert;
pub(crate) use dial::Dial;
pub use notice::Acknowledgement;
pub(crate) use notice::Notice;
pub use order::Place;
pub(crate) use settings::Settings;

use super::http::connect::Connector;
use super::request::Lane;
use super::{Answer, Error, Operation, Request, SettingsError, Upstream};
use crate::device::Device;
use bytes::{Bytes, BytesMut};
use connections::Connections;
use encode::Outgoing;
use link::{Link, Request as LinkRequest};
use order::Order;
use std::sync::Arc;
use std::time::{Duration, Instant};
use task::Ended;
use tokio::sync::{Semaphore, mpsc, oneshot};

/// The user name with which ThingsBoard accepts a connection for provisioning.
const PROVISION: &str = "provision";

/// A ThingsBoard server, reached over its MQTT device API. `T` is what the loop gets of the connections.
pub(crate) struct Mqtt<T, D = Connector> {
    connections: Arc<Connections<T, D>>,
    order: Arc<Order>,
    requests: Semaphore,
    downlink: Semaphore,
    packages: Semaphore,
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
        Mqtt::over(
            connections::connector(settings)?,
            settings,
            notices,
            convert,
        )
    }
}

impl<T: Send + 'static, D: Dial> Mqtt<T, D> {
    /// Checks the settings. The dialer opens the streams.
    pub(crate) fn over(
        dialer: D,
        settings: &Settings,
        notices: mpsc::Sender<T>,
        convert: Convert<T>,
    ) -> Result<Mqtt<T, D>, SettingsError> {
        if settings.timeout.is_zero() {
            return Err(SettingsError::ZeroTimeout);
        }
        if settings.max_in_flight == 0 {
            return Err(SettingsError::ZeroInFlight);
        }
        if settings.max_downlink == 0 {
            return Err(SettingsError::ZeroDownlink);
        }
        if settings.max_packages == 0 {
            return Err(SettingsError::ZeroPackages);
        }
        let places = |most: usize| Semaphore::new(most.min(Semaphore::MAX_PERMITS));
        Ok(Mqtt {
            connections: Connections::new(settings, dialer, notices, convert),
            order: Arc::default(),
            requests: places(settings.max_in_flight),
            downlink: places(settings.max_downlink),
            packages: places(settings.max_packages),
            timeout: settings.timeout,
            alive_for: settings.alive_for,
        })
    }

    /// Subscribes for a device. A connection is opened for it, and opened again when it is lost, as long as the device counts as
    /// alive: from now on if it has no connection. Each time the subscription works it is reported under the number. With another
    /// number it is requested again.
    ///
    /// # Errors
    /// There are too many connections.
    pub(crate) fn subscribe(
        &self,
        device: &Arc<Device>,
        kinds: Kinds,
        number: u64,
    ) -> Result<(), Error> {
        let alive_until = now() + self.alive_for;
        self.connections.change(device, false, |demand| {
            demand.subscriptions.set(kinds, Some(number));
            demand.alive_until.get_or_insert(alive_until);
        })
    }

    /// Ends subscriptions. What was received before is still reported.
    pub(crate) fn unsubscribe(&self, device: &Arc<Device>, kinds: Kinds) {
        self.connections.change_existing(device, |demand| {
            demand.subscriptions.set(kinds, None);
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

    /// The device is gone: its connection is closed when nothing is in flight.
    pub(crate) fn close(&self, device: &Arc<Device>) {
        self.connections.change_existing(device, |demand| {
            demand.subscriptions = Numbers::default();
            demand.is_close = true;
        });
    }

    /// Open connections, and those that wait to be opened.
    pub(crate) fn connection_counts(&self) -> (usize, usize) {
        self.connections.counts()
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
        let opened = self.connections.open(PROVISION, None, link, number, permit);
        Box::pin(opened).await.ok_or(Error::Unreachable)
    }

    async fn provision(&self, body: Bytes, deadline: Instant) -> Result<Answer, Error> {
        let (waiter, answered) = oneshot::channel();
        let outgoing = Outgoing::provision(body)?;
        let link = Arc::new(Link::new());
        link.give_back(vec![LinkRequest {
            waiter,
            outgoing,
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
        mut place: Place,
        device: &Arc<Device>,
        operation: &Operation,
        deadline: Instant,
    ) -> Result<Answer, Error> {
        let outgoing = Outgoing::new(operation)?;
        place.reached().await;
        let (waiter, answered) = oneshot::channel::<Result<Answer, Error>>();
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
                demand.requests.push(LinkRequest {
                    waiter,
                    outgoing,
                    deadline,
                });
            }
        })?;
        drop((request, place));
        // The task is dropped only when the process ends.
        answered.await.unwrap_or(Err(Error::Unreachable))
    }

    async fn package(
        &self,
        place: Place,
        device: &Arc<Device>,
        operation: &Operation,
        deadline: Instant,
    ) -> Result<Answer, Error> {
        let Operation::GetPackage {
            package,
            title,
            version,
            size,
            chunk,
        } = operation
        else {
            return self.operation(place, device, operation, deadline).await;
        };
        let pieces = package::pieces(*package, (title, version), *size, *chunk)?;
        let assigned = Operation::ReadAssignment(*package);
        let assigned = self.operation(place, device, &assigned, deadline).await?;
        package::check_assignment(&assigned.body, *package, title, version)?;
        let mut whole = BytesMut::new();
        for (wanted, piece) in pieces {
            let place = Place::default();
            let part = self.operation(place, device, &piece, deadline).await?.body;
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

impl<T: Send + 'static, D: Dial> Upstream for Mqtt<T, D> {
    async fn send(&self, request: Request) -> Result<Answer, Error> {
        self.send_from(Place::default(), request).await
    }

    fn place(&self, request: &Request) -> Place {
        match request {
            Request::Device { device, operation } if operation.lane() == Lane::Requests => {
                self.order.place(device)
            }
            Request::Device { .. } | Request::Provision { .. } => Place::default(),
        }
    }

    async fn send_from(&self, place: Place, request: Request) -> Result<Answer, Error> {
        let places = match request.lane() {
            Lane::Requests => &self.requests,
            Lane::Downlink => &self.downlink,
            Lane::Packages => &self.packages,
        };
        // A caller that waited here would hold its request without bound.
        let Ok(_place) = places.try_acquire() else {
            return Err(Error::Overloaded);
        };
        let time = request.deadline(self.timeout);
        let deadline = now() + time;
        let answer = async {
            match &request {
                Request::Provision { body } => self.provision(body.clone(), deadline).await,
                Request::Device { device, operation } => {
                    self.package(place, device, operation, deadline).await
                }
            }
        };
        tokio::time::timeout(time, answer)
            .await
            .unwrap_or(Err(Error::Timeout))
    }
}
