//! The connections of all devices: one task for each device that has a reason for a connection.
//!
//! ```text
//! send, subscribe ──▶ link ──▶ its task: back-off ─▶ permit ─▶ connect ─▶ drive ─▶ (ended)
//!                               ▲                                            │
//!                               └──────────── while there is a reason ◀──────┘
//! ```

mod of_link;

use super::super::http::connect::{Connector, Server};
use super::super::http::outage::Outage;
use super::super::{Error, SettingsError};
use super::backoff::Backoff;
use super::counters::{AtomicCounters, Counters, InLevel, count};
use super::dial::Dial;
use super::link::{Demand, Link, Need, Status};
use super::losses::{Line, Losses};
use super::notice::{Acknowledgement, Notice};
use super::opener::{Opener, Permit as Opening};
use super::outcome::End;
use super::settings::Settings;
use super::task::{Ended, drive};
use crate::device::Device;
use crate::shown::Shown;
use of_link::OfLink;
use std::collections::HashMap;
use std::future::poll_fn;
use std::hash::{Hash, Hasher};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};
use tokio::runtime::Handle;
use tokio::sync::mpsc;

/// How often it is looked at whether all connections are closed.
const CLOSING_TICK: Duration = Duration::from_millis(10);

/// How often it is looked at whether lost connections are to be logged. Not while none is missing.
const LOSSES_TICK: Duration = Duration::from_millis(250);

/// Makes the loop's message of a notice. Called in the connection's task, so it may parse the body.
pub(crate) type Convert<T> = fn(&Arc<Device>, Notice) -> T;

/// All connections to one server.
pub(super) struct Connections<T, D = Connector> {
    dialer: D,
    /// For the log.
    url: String,
    opener: Arc<Opener>,
    outage: Outage,
    links: Mutex<HashMap<Key, Arc<Link>>>,
    most: usize,
    /// The links of open connections, by the connection's number.
    open: Mutex<HashMap<u64, Arc<Link>>>,
    last_number: AtomicU64,
    is_closing: AtomicBool,
    counters: Arc<AtomicCounters>,
    losses: Mutex<Losses>,
    notices: mpsc::Sender<T>,
    convert: Convert<T>,
    /// Where the connections of devices are.
    runtime: Handle,
}

/// An access token. Devices with the same one share a link; a request under a device's former token has a link of its own,
/// and does not disturb the other.
struct Key(Arc<Device>);

impl PartialEq for Key {
    fn eq(&self, other: &Key) -> bool {
        self.0.token == other.0.token
    }
}

impl Eq for Key {}

impl Hash for Key {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.0.token.expose().hash(state);
    }
}

/// Opens connections to the server of the settings.
pub(super) fn connector(settings: &Settings) -> Result<Connector, SettingsError> {
    Connector::to(&Server {
        uri: &settings.uri(),
        tls_host: settings.is_tls.then_some(settings.host.as_str()),
        tls: &settings.tls,
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
            url: settings.uri(),
            opener: Opener::new(super::now(), settings.connects_per_second),
            outage: Outage::default(),
            links: Mutex::default(),
            most: settings.max_connections,
            open: Mutex::default(),
            last_number: AtomicU64::new(0),
            is_closing: AtomicBool::new(false),
            counters: Arc::default(),
            losses: Mutex::default(),
            notices,
            convert,
            runtime: Handle::current(),
        })
    }

    /// Changes what is wanted of a device's connection. `is_request`: it fails at once while ThingsBoard can't be reached.
    pub(super) fn change<R>(
        self: &Arc<Self>,
        device: &Arc<Device>,
        is_request: bool,
        change: impl Fn(&mut Demand) -> R,
    ) -> Result<R, Error> {
        loop {
            if self.is_closing() {
                return Err(Error::Unreachable);
            }
            let is_up = || self.find(device).is_some_and(|link| link.is_up());
            if is_request && !is_up() && self.opener.is_out() {
                self.counters.refused("unreachable", 1);
                return Err(Error::Unreachable);
            }
            let link = self.link(device)?;
            // If it has retired meanwhile, there is another one.
            if let Ok(result) = link.change(&change) {
                return Ok(result);
            }
        }
    }

    /// Changes what is wanted, if the device has a link.
    pub(super) fn change_existing(&self, device: &Arc<Device>, change: impl FnOnce(&mut Demand)) {
        if let Some(link) = self.find(device) {
            // A task that has just ended has no connection.
            let _ = link.change(change);
        }
    }

    /// Closes all connections, and waits until none is open. No other is opened.
    pub(super) async fn close_all(&self) {
        self.is_closing.store(true, Ordering::Relaxed);
        let links: Vec<Arc<Link>> = self.links().values().cloned().collect();
        for link in links {
            // A task that has just ended has no connection.
            let _ = link.change(Demand::close);
        }
        while !self.open_links().is_empty() {
            tokio::time::sleep(CLOSING_TICK).await;
        }
    }

    fn is_closing(&self) -> bool {
        self.is_closing.load(Ordering::Relaxed)
    }

    /// Removes those requests of a device that were given up and wait for a connection.
    pub(super) fn remove_given_up(&self, device: &Arc<Device>) {
        if let Some(link) = self.find(device) {
            link.remove_given_up();
        }
    }

    /// The device counts as alive until then.
    pub(super) fn extend_alive(&self, device: &Arc<Device>, until: Instant) {
        if let Some(link) = self.find(device) {
            link.extend_alive(super::now(), until);
        }
    }

    /// Where the connections' tasks run.
    pub(super) fn runtime(&self) -> &Handle {
        &self.runtime
    }

    /// The device's link, unless connections are being closed.
    pub(super) fn open_link(&self, device: &Arc<Device>) -> Option<Arc<Link>> {
        (!self.is_closing()).then(|| self.find(device))?
    }

    fn find(&self, device: &Arc<Device>) -> Option<Arc<Link>> {
        self.links().get(&Key(device.clone())).cloned()
    }

    /// The device's link; if it has none, a new one with its task.
    fn link(self: &Arc<Self>, device: &Arc<Device>) -> Result<Arc<Link>, Error> {
        let mut links = self.links();
        let key = Key(device.clone());
        if let Some(link) = links.get(&key) {
            return Ok(link.clone());
        }
        if links.len() >= self.most {
            self.counters.refused("max_connections", 1);
            return Err(Error::Overloaded);
        }
        let link = Arc::new(Link::of(device.clone()));
        links.insert(key, link.clone());
        // Not where this is called, but where the loop is.
        self.runtime
            .spawn(run(self.clone(), device.clone(), link.clone()));
        Ok(link)
    }

    /// Retires a link that there is no reason for. Only its task may do so: it knows that it has no connection, on which
    /// requests may be in flight. Returns whether it is retired.
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
        link: &Arc<Link>,
        number: u64,
        permit: Opening,
    ) -> Option<Ended> {
        // On the heap while it is needed: a handshake's state is large.
        let stream = match Box::pin(self.dialer.dial()).await {
            Ok(stream) => stream,
            Err(error) => {
                permit.failed();
                self.unreachable(&error.to_string());
                self.refuse(link, "unreachable", &Error::Unreachable);
                return None;
            }
        };
        let _registered = Registered::new(self, number, link);
        let surroundings = OfLink {
            connections: self,
            link,
        };
        let ended = drive(stream, user_name, link, number, permit, &surroundings).await;
        if let Some(why) = ended.up.is_none().then_some(ended.end).and_then(not_opened) {
            self.unreachable(ended.reason.as_deref().unwrap_or(why));
        }
        Some(ended)
    }

    fn unreachable(&self, reason: &str) {
        if self.outage.failed() {
            // It may quote names of the server's certificate.
            let reason = Shown::public(reason).to_string();
            tracing::warn!(reason, url = self.url, "ThingsBoard can't be reached");
        }
    }

    /// Answers the requests of a link, none of which is being sent. `reason`: as the counters have it.
    fn refuse(&self, link: &Link, reason: &str, error: &Error) {
        self.counters.refused(reason, link.refuse_requests(error));
    }

    pub(super) fn counters(&self) -> &Arc<AtomicCounters> {
        &self.counters
    }

    /// The state of a device's connection. `None`: it has no reason for one.
    pub(super) fn status(&self, device: &Arc<Device>) -> Option<Status> {
        self.find(device).map(|link| link.status())
    }

    /// A connection that had been accepted has ended, by no decision about its device alone.
    fn lost(self: &Arc<Self>, link: &Link) {
        if link.need(super::now()) == Need::None || link.replace_missing(true) {
            return;
        }
        let mut losses = self.losses();
        let is_pending = losses.is_pending();
        losses.lost(super::now());
        if !is_pending {
            tokio::spawn(log_losses(self.clone()));
        }
    }

    /// A link's connection is not missing any more.
    fn not_missing(&self, link: &Link, change: impl FnOnce(&mut Losses)) {
        if link.replace_missing(false) {
            change(&mut self.losses());
        }
    }

    fn losses(&self) -> MutexGuard<'_, Losses> {
        self.losses.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn opener(&self) -> &Arc<Opener> {
        &self.opener
    }

    /// A copy of all counters.
    pub(super) fn counts(&self) -> Counters {
        let open = self.open_links().len();
        let devices = self.links().len();
        self.counters.get(devices, open, self.opener.waiting())
    }

    async fn notify(&self, link: &Link, notice: &Notice) {
        for (device, notice) in link.recipients(notice) {
            let message = (self.convert)(&device, notice);
            // Only a loop that is shutting down has closed the channel.
            let _ = self.notices.send(message).await;
        }
    }

    /// A number that no earlier connection has.
    pub(super) fn next_number(&self) -> u64 {
        self.last_number.fetch_add(1, Ordering::Relaxed) + 1
    }

    /// Acknowledges a message, if its connection is open.
    pub(super) fn acknowledge(&self, acknowledgement: Acknowledgement) {
        let Acknowledgement { connection, packet } = acknowledgement;
        let link = self.open_links().get(&connection).cloned();
        match link {
            // A link with an open connection is not retired.
            Some(link) => {
                let _ = link.change(|demand| demand.acknowledgements.push((connection, packet)));
            }
            None => count(&self.counters.acknowledged_too_late),
        }
    }

    fn open_links(&self) -> MutexGuard<'_, HashMap<u64, Arc<Link>>> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn links(&self) -> MutexGuard<'_, HashMap<Key, Arc<Link>>> {
        self.links.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// An open connection among the others, until it is dropped: a request that drives one may be given up.
struct Registered<'a, T, D> {
    connections: &'a Connections<T, D>,
    number: u64,
}

impl<'a, T: Send + 'static, D: Dial> Registered<'a, T, D> {
    fn new(
        connections: &'a Connections<T, D>,
        number: u64,
        link: &Arc<Link>,
    ) -> Registered<'a, T, D> {
        connections.open_links().insert(number, link.clone());
        Registered {
            connections,
            number,
        }
    }
}

impl<T, D> Drop for Registered<'_, T, D> {
    fn drop(&mut self) {
        let open = &self.connections.open;
        let mut open = open.lock().unwrap_or_else(PoisonError::into_inner);
        open.remove(&self.number);
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
        if connections.is_closing() {
            connections.refuse(&link, "unreachable", &Error::Unreachable);
            return;
        }
        if let Some(until) = backoff.until(super::now()) {
            refuse_until(until, &connections, &link, &backoff).await;
        }
        match link.need(super::now()) {
            Need::Now => {}
            Need::OnceAlive => {
                poll_fn(|context| link.poll_need(super::now(), Need::OnceAlive, context)).await;
                continue;
            }
            Need::None if connections.retire_if_idle(&device, &link) => {
                connections.not_missing(&link, Losses::given_up);
                return;
            }
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
            connections.refuse(&link, "unreachable", &Error::Unreachable);
            continue;
        };
        if link.need(super::now()) != Need::Now {
            permit.unused();
            continue;
        }
        let token = device.token.expose();
        let connection = connections.next_number();
        let opened = connections.open(token, &link, connection, permit);
        // On the heap while there is a connection.
        let ended = Box::pin(opened).await;
        let end = ended.as_ref().map(|ended| ended.end);
        connections.counters.ended(end);
        let reason = end.map_or("unreachable", End::name);
        tracing::debug!(device = %device.name, connection, reason, "MQTT connection ended");
        if link.has_subscriptions() {
            let interrupted = Notice::Interrupted { connection };
            connections.notify(&link, &interrupted).await;
        }
        let Some(Ended { end, up, .. }) = ended else {
            continue;
        };
        match end {
            End::TokenRefused | End::Displaced | End::RateLimited => {
                connections.not_missing(&link, Losses::given_up);
            }
            End::NotServing | End::Lost | End::Silent | End::Unintelligible(_) if up.is_some() => {
                connections.lost(&link);
            }
            End::NotServing | End::Lost | End::Silent | End::Unintelligible(_) | End::Closed => {}
        }
        backoff.ended(super::now(), end, up, fastrand::f64());
        let notice = match end {
            End::TokenRefused => {
                link.clear_subscriptions();
                Notice::TokenRefused
            }
            End::Displaced => Notice::Displaced,
            End::RateLimited => Notice::RateLimited,
            End::NotServing | End::Lost | End::Silent | End::Unintelligible(_) | End::Closed => {
                continue;
            }
        };
        connections.notify(&link, &notice).await;
    }
}

/// Why ThingsBoard can't be reached, if a connection that was not accepted has ended like this.
fn not_opened(end: End) -> Option<&'static str> {
    match end {
        End::Lost => Some("it closes the connection before its CONNACK"),
        End::Silent => Some("it sends no CONNACK"),
        End::NotServing => Some("it accepts no connections now"),
        End::Unintelligible(why) => Some(why),
        End::TokenRefused | End::Displaced | End::RateLimited | End::Closed => None,
    }
}

/// Logs lost connections, until those that are still needed are open again.
async fn log_losses<T: Send + 'static, D: Dial>(connections: Arc<Connections<T, D>>) {
    loop {
        tokio::time::sleep(LOSSES_TICK).await;
        let (line, is_pending) = {
            let mut losses = connections.losses();
            (losses.poll_line(super::now()), losses.is_pending())
        };
        match line {
            Some(Line::Lost { lost, missing }) => {
                let open = connections.open_links().len();
                tracing::warn!(
                    lost,
                    missing,
                    open,
                    "devices' MQTT connections to ThingsBoard were lost"
                );
            }
            Some(Line::OpenAgain {
                opened,
                given_up,
                after,
            }) => tracing::info!(
                opened,
                given_up,
                seconds = after.as_secs(),
                "the lost MQTT connections to ThingsBoard are open again"
            ),
            None => {}
        }
        if !is_pending {
            return;
        }
    }
}

/// Refuses requests until then.
async fn refuse_until<T: Send + 'static, D: Dial>(
    until: Instant,
    connections: &Connections<T, D>,
    link: &Link,
    backoff: &Backoff,
) {
    let _backing_off = InLevel::enter(&connections.counters.backing_off);
    link.set_backing_off(true);
    let refuse = async {
        loop {
            connections.refuse(link, "backing_off", &backoff.error(super::now()));
            poll_fn(|context| link.poll_request(context)).await;
        }
    };
    let until = tokio::time::Instant::from_std(until);
    // It ends by its time alone.
    let _: Result<(), _> = tokio::time::timeout_at(until, refuse).await;
    link.set_backing_off(false);
}
