//! The connections of all devices: one task for each device that has a reason for a connection.
//!
//! ```text
//! send, subscribe ──▶ link ──▶ its task: back-off ─▶ permit ─▶ connect ─▶ drive ─▶ (ended)
//!                               ▲                                            │
//!                               └──────────── while there is a reason ◀──────┘
//! ```

use super::super::http::connect::{Connector, Server};
use super::super::http::outage::Outage;
use super::super::{Error, SettingsError};
use super::backoff::Backoff;
use super::dial::Dial;
use super::link::{Demand, Link, Need};
use super::notice::{Acknowledgement, Notice};
use super::opener::{Opener, Permit};
use super::outcome::End;
use super::settings::Settings;
use super::task::{Ended, Surroundings, drive};
use crate::device::Device;
use crate::shown::Shown;
use std::collections::{HashMap, VecDeque};
use std::future::poll_fn;
use std::hash::{Hash, Hasher};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;
use tokio::sync::mpsc;
use tokio::sync::mpsc::error::TrySendError;

/// Makes the loop's message of a notice. Called in the connection's task, so it may parse the body.
pub(crate) type Convert<T> = fn(&Arc<Device>, Notice) -> T;

/// All connections to one server.
pub(super) struct Connections<T, D = Connector> {
    dialer: D,
    opener: Arc<Opener>,
    outage: Outage,
    links: Mutex<HashMap<Key, Arc<Link>>>,
    most: usize,
    /// The links of open connections, by the connection's number.
    open: Mutex<HashMap<u64, Arc<Link>>>,
    last_number: AtomicU64,
    notices: mpsc::Sender<T>,
    convert: Convert<T>,
}

/// A device under its access token. A request under a former token has a link of its own, and does not disturb the other.
pub(super) struct Key(pub(super) Arc<Device>);

impl PartialEq for Key {
    fn eq(&self, other: &Key) -> bool {
        self.0.name == other.0.name && self.0.token == other.0.token
    }
}

impl Eq for Key {}

impl Hash for Key {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.0.name.hash(state);
    }
}

/// Opens connections to the server of the settings.
pub(super) fn connector(settings: &Settings) -> Result<Connector, SettingsError> {
    Connector::to(&Server {
        uri: &settings.uri(),
        tls_host: settings.is_tls.then_some(settings.host.as_str()),
        ca: settings.ca.as_deref(),
        protocols: &[],
        timeout: settings.timeout,
    })
}

impl<T: Send + 'static, D: Dial> Connections<T, D> {
    pub(super) fn new(
        settings: &Settings,
        dialer: D,
        notices: mpsc::Sender<T>,
        convert: Convert<T>,
    ) -> Arc<Connections<T, D>> {
        Arc::new(Connections {
            dialer,
            opener: Opener::new(super::now(), settings.connects_per_second),
            outage: Outage::default(),
            links: Mutex::default(),
            most: settings.max_connections,
            open: Mutex::default(),
            last_number: AtomicU64::new(0),
            notices,
            convert,
        })
    }

    /// Changes what is wanted of a device's connection. `is_request`: it fails at once while ThingsBoard can't be reached.
    pub(super) fn change(
        self: &Arc<Self>,
        device: &Arc<Device>,
        is_request: bool,
        change: impl Fn(&mut Demand),
    ) -> Result<(), Error> {
        loop {
            let link = self.link(device)?;
            if is_request && !link.is_up() && self.opener.is_out() {
                self.retire_if_idle(device, &link);
                return Err(Error::Unreachable);
            }
            // If it has retired meanwhile, there is another one.
            if link.change(&change).is_ok() {
                return Ok(());
            }
        }
    }

    /// Changes what is wanted, if the device has a link.
    pub(super) fn change_existing(&self, device: &Arc<Device>, change: impl FnOnce(&mut Demand)) {
        let link = self.links().get(&Key(device.clone())).cloned();
        if let Some(link) = link {
            // A task that has just ended has no connection.
            let _ = link.change(change);
        }
    }

    /// The device counts as alive until then.
    pub(super) fn extend_alive(&self, device: &Arc<Device>, until: Instant) {
        let link = self.links().get(&Key(device.clone())).cloned();
        if let Some(link) = link {
            link.extend_alive(super::now(), until);
        }
    }

    /// The device's link; if it has none, a new one with its task.
    fn link(self: &Arc<Self>, device: &Arc<Device>) -> Result<Arc<Link>, Error> {
        let mut links = self.links();
        let key = Key(device.clone());
        if let Some(link) = links.get(&key) {
            return Ok(link.clone());
        }
        if links.len() >= self.most {
            return Err(Error::Overloaded);
        }
        let link = Arc::new(Link::new());
        links.insert(key, link.clone());
        tokio::spawn(run(self.clone(), device.clone(), link.clone()));
        Ok(link)
    }

    /// Retires a link that there is no reason for. Returns whether it is retired.
    fn retire_if_idle(&self, device: &Arc<Device>, link: &Arc<Link>) -> bool {
        let mut links = self.links();
        if !link.retire(super::now()) {
            return false;
        }
        let key = Key(device.clone());
        if links
            .get(&key)
            .is_some_and(|known| Arc::ptr_eq(known, link))
        {
            links.remove(&key);
            // Frees the memory that a fleet has left.
            if links.is_empty() {
                *links = HashMap::new();
            }
        }
        true
    }

    /// Opens a connection for this user name and drives it until it ends.
    pub(super) async fn open(
        &self,
        user_name: &str,
        device: Option<&Arc<Device>>,
        link: &Arc<Link>,
        number: u64,
        permit: Permit,
    ) -> Option<Ended> {
        // On the heap while it is needed: a handshake's state is large.
        let stream = match Box::pin(self.dialer.dial()).await {
            Ok(stream) => stream,
            Err(error) => {
                permit.failed();
                self.unreachable(&error.to_string());
                link.refuse_requests(&Error::Unreachable);
                return None;
            }
        };
        self.open_links().insert(number, link.clone());
        let surroundings = OfDevice {
            connections: self,
            device,
        };
        let ended = drive(stream, user_name, link, number, permit, &surroundings).await;
        self.open_links().remove(&number);
        Some(ended)
    }

    fn unreachable(&self, reason: &str) {
        if self.outage.failed() {
            // It may quote names of the server's certificate.
            let reason = Shown::public(reason).to_string();
            tracing::warn!(reason, "ThingsBoard can't be reached");
        }
    }

    pub(super) fn opener(&self) -> &Arc<Opener> {
        &self.opener
    }

    /// Open connections, and those that wait to be opened.
    pub(super) fn counts(&self) -> (usize, usize) {
        (self.open_links().len(), self.opener.waiting())
    }

    async fn notify(&self, device: &Arc<Device>, notice: Notice) {
        let message = (self.convert)(device, notice);
        // Only a loop that is shutting down has closed the channel.
        let _ = self.notices.send(message).await;
    }

    /// A number that no earlier connection has.
    pub(super) fn next_number(&self) -> u64 {
        self.last_number.fetch_add(1, Ordering::Relaxed) + 1
    }

    /// Acknowledges a message, if its connection is open.
    pub(super) fn acknowledge(&self, acknowledgement: Acknowledgement) {
        let Acknowledgement { connection, packet } = acknowledgement;
        let link = self.open_links().get(&connection).cloned();
        if let Some(link) = link {
            // A link with an open connection is not retired.
            let _ = link.change(|demand| demand.acknowledgements.push((connection, packet)));
        }
    }

    fn open_links(&self) -> MutexGuard<'_, HashMap<u64, Arc<Link>>> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn links(&self) -> MutexGuard<'_, HashMap<Key, Arc<Link>>> {
        self.links.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

struct OfDevice<'a, T, D> {
    connections: &'a Connections<T, D>,
    /// `None`: for provisioning.
    device: Option<&'a Arc<Device>>,
}

impl<T: Send + 'static, D: Dial> Surroundings for OfDevice<'_, T, D> {
    fn reached(&self) {
        if self.connections.outage.succeeded() {
            tracing::info!("ThingsBoard answers again");
        }
    }

    fn try_notify(&self, notice: Notice) -> Result<(), Notice> {
        let Some(device) = self.device else {
            return Ok(());
        };
        match self.connections.notices.try_reserve() {
            Ok(room) => {
                room.send((self.connections.convert)(device, notice));
                Ok(())
            }
            Err(TrySendError::Full(())) => Err(notice),
            // The loop is shutting down.
            Err(TrySendError::Closed(())) => Ok(()),
        }
    }

    async fn notify_first(&self, notices: &mut VecDeque<Notice>) {
        let room = self.connections.notices.reserve().await;
        let notice = notices.pop_front();
        // Only a loop that is shutting down has closed the channel.
        if let (Ok(room), Some(notice), Some(device)) = (room, notice, self.device) {
            room.send((self.connections.convert)(device, notice));
        }
    }
}

/// Keeps a device's connection open as long as there is a reason for it.
async fn run<T: Send + 'static, D: Dial>(
    connections: Arc<Connections<T, D>>,
    device: Arc<Device>,
    link: Arc<Link>,
) {
    let mut backoff = Backoff::default();
    loop {
        if let Some(until) = backoff.until(super::now()) {
            refuse_until(until, &link, &backoff).await;
        }
        match link.need(super::now()) {
            Need::Now => {}
            Need::OnceAlive => {
                poll_fn(|context| link.poll_need(super::now(), Need::OnceAlive, context)).await;
                continue;
            }
            Need::None if connections.retire_if_idle(&device, &link) => return,
            Need::None => continue,
        }
        let acquired = if link.has_requests() {
            connections.opener.acquire(true).await
        } else {
            tokio::select! {
                biased;
                acquired = connections.opener.acquire(false) => acquired,
                // It goes before those without requests, then.
                () = poll_fn(|context| link.poll_request(context)) => continue,
            }
        };
        let Some(permit) = acquired else {
            link.refuse_requests(&Error::Unreachable);
            continue;
        };
        if link.need(super::now()) != Need::Now {
            continue;
        }
        let token = device.token.expose();
        let connection = connections.next_number();
        let opened = connections.open(token, Some(&device), &link, connection, permit);
        // On the heap while there is a connection.
        let ended = Box::pin(opened).await;
        if link.has_subscriptions() {
            let interrupted = Notice::Interrupted { connection };
            connections.notify(&device, interrupted).await;
        }
        let Some(Ended { end, up }) = ended else {
            continue;
        };
        if let (End::Unintelligible(why), None) = (end, up) {
            connections.unreachable(why);
        }
        backoff.ended(super::now(), end, up, fastrand::f64());
        let notice = match end {
            End::TokenRefused => {
                link.clear_subscriptions();
                Notice::TokenRefused
            }
            End::Displaced => Notice::Displaced,
            End::RateLimited
            | End::NotServing
            | End::Lost
            | End::Silent
            | End::Unintelligible(_)
            | End::Closed => continue,
        };
        connections.notify(&device, notice).await;
    }
}

/// Refuses requests until then.
async fn refuse_until(until: Instant, link: &Link, backoff: &Backoff) {
    let refuse = async {
        loop {
            link.refuse_requests(&backoff.error(super::now()));
            poll_fn(|context| link.poll_request(context)).await;
        }
    };
    let until = tokio::time::Instant::from_std(until);
    // It ends by its time alone.
    let _: Result<(), _> = tokio::time::timeout_at(until, refuse).await;
}
