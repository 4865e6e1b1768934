//! What the gateway keeps for each established session. There may be a million of them, nearly all at rest, so that each
//! byte counts: see `a_peer_is_small` in the tests.

use crate::device::{CertificateId, Device, Fingerprint};
use crate::dtls::{Path, SessionId};
use crate::gateway::stats::answers::RequestLabels;
use crate::quotas::in_flight::Holder;
use crate::state::kept::Kept;
use crate::timers::Slot;
use crate::timers::moment::Moment;
use coap::{ExchangeId, RemoteEndpoint};
use shares::source;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Lifetime of a session of an unregistered certificate: long enough to get its 4.01, and to provision itself.
pub(super) const UNREGISTERED_LIFETIME: Duration = Duration::from_secs(60);

/// The client of one established session.
#[derive(Debug)]
pub(crate) struct Peer {
    pub session: SessionId,
    /// Its address, an IPv4 address not in its IPv4-mapped form. Apart from the port: a `SocketAddr` has twelve bytes more.
    address: IpAddr,
    port: u16,
    pub certificate: CertificateId,
    /// The certificate's device, if it is registered.
    pub device: Option<Arc<Device>>,
    pub endpoint: RemoteEndpoint,
    /// The requests that are not answered yet. Bounded by the endpoint; without any there is no heap.
    open_requests: Vec<(ExchangeId, RequestLabels)>,
    since: Moment,
    pub(super) last_received: Moment,
    /// When it was reported last that the device is alive.
    pub(super) reported_alive: Moment,
    /// When a request was answered last, or a notification acknowledged.
    pub(super) last_served: Option<Moment>,
    pub(super) expires: Option<Moment>,
    /// Its row in the store. `None`: it is not stored.
    pub(crate) kept: Option<Box<Kept>>,
    /// The registry in which `device` was looked up.
    pub(super) registry_version: u32,
    /// The first exchange that belongs to its current device.
    pub(super) first_exchange: ExchangeId,
    /// The first exchange under its current device's current access token.
    pub(super) first_exchange_of_token: ExchangeId,
    pub(super) timer: Slot,
    version: Version,
    /// Whether it is in the list of sessions of which a queued request may start.
    pub is_ready: bool,
    /// Whether it is in the list of sessions to check for that at a later time.
    pub is_postponed: bool,
}

/// A version of DTLS: one byte in place of its name's sixteen.
#[derive(Debug, Clone, Copy)]
enum Version {
    Dtls12,
    Dtls13,
}

impl Peer {
    pub(crate) fn new(
        session: SessionId,
        path: Path,
        certificate: CertificateId,
        device: Option<Arc<Device>>,
        endpoint: RemoteEndpoint,
        version: &'static str,
        now: Instant,
    ) -> Peer {
        let expires = device.is_none().then(|| now + UNREGISTERED_LIFETIME);
        Peer {
            session,
            address: path.remote.ip().to_canonical(),
            port: path.remote.port(),
            certificate,
            expires: expires.map(Moment::from),
            device,
            open_requests: Vec::new(),
            since: now.into(),
            last_received: now.into(),
            reported_alive: now.into(),
            last_served: None,
            kept: None,
            registry_version: 0,
            first_exchange: endpoint.next_exchange(),
            first_exchange_of_token: endpoint.next_exchange(),
            endpoint,
            timer: Slot::default(),
            version: match version {
                "1.3" => Version::Dtls13,
                _ => Version::Dtls12,
            },
            is_ready: false,
            is_postponed: false,
        }
    }

    /// It was established and last received something before this process.
    pub(crate) fn set_times(&mut self, established: Instant, last_received: Instant) {
        (self.since, self.last_received) = (established.into(), last_received.into());
    }

    /// The holder that its calls to ThingsBoard and its datagrams count for.
    pub(crate) fn holder(&self) -> Holder {
        Holder::of(self.device.as_deref(), self.address)
    }

    /// Its address and port. An IPv4 address is not in its IPv4-mapped form.
    pub(crate) fn remote(&self) -> SocketAddr {
        SocketAddr::new(self.address, self.port)
    }

    /// It has another address.
    pub(super) fn set_remote(&mut self, remote: SocketAddr) {
        (self.address, self.port) = (remote.ip().to_canonical(), remote.port());
        self.endpoint.path_changed();
    }

    /// The address that it counts for while its certificate is not registered.
    pub(crate) fn host(&self) -> IpAddr {
        source::host(self.address)
    }

    /// Its certificate's SHA-256, as an operator writes it into the registry.
    pub(crate) fn fingerprint(&self) -> Fingerprint {
        Fingerprint::Sha256(self.certificate.sha256)
    }

    /// The device's name; "-" for a certificate that is not registered.
    pub(crate) fn name(&self) -> &str {
        self.device.as_ref().map_or("-", |device| &device.name)
    }

    pub(crate) fn since(&self) -> Instant {
        self.since.into()
    }

    /// Its DTLS version: "1.2" or "1.3".
    pub(crate) fn version(&self) -> &'static str {
        match self.version {
            Version::Dtls12 => "1.2",
            Version::Dtls13 => "1.3",
        }
    }

    /// When an authentic record was received last.
    pub(crate) fn last_received(&self) -> Instant {
        self.last_received.into()
    }

    pub(crate) fn last_served(&self) -> Option<Instant> {
        self.last_served.map(Instant::from)
    }

    /// Whether the request was received while the certificate belonged to another device, or to none.
    pub(crate) fn is_of_former_device(&self, exchange: ExchangeId) -> bool {
        exchange.began_before(self.first_exchange)
    }

    /// Whether the request was received under another access token, or under none: ThingsBoard's answer then says nothing
    /// about the current token.
    pub(crate) fn is_under_former_token(&self, exchange: ExchangeId) -> bool {
        exchange.began_before(self.first_exchange_of_token)
    }

    /// Adds a request, until it is answered.
    pub(crate) fn open_request(&mut self, exchange: ExchangeId, labels: RequestLabels) {
        if self.open_requests.is_empty() {
            // Most have one at once.
            self.open_requests.reserve_exact(1);
        }
        self.open_requests.push((exchange, labels));
    }

    /// Removes a request, which is answered now.
    pub(crate) fn close_request(&mut self, exchange: ExchangeId) -> Option<RequestLabels> {
        let mut open = self.open_requests.iter();
        let at = open.position(|(other, _)| *other == exchange)?;
        let (_, labels) = self.open_requests.swap_remove(at);
        if self.open_requests.is_empty() {
            self.open_requests = Vec::new();
        }
        Some(labels)
    }

    /// The number of requests that are not answered yet.
    pub(crate) fn open_requests(&self) -> usize {
        self.open_requests.len()
    }

    pub(super) fn next_timeout(&self) -> Option<Instant> {
        let expires = self.expires.map(Instant::from);
        [expires, self.endpoint.next_timeout()]
            .into_iter()
            .flatten()
            .min()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// With what DTLS keeps, a session must take no more than 1 KiB.
    #[test]
    fn a_peer_is_small() {
        let bytes = size_of::<Peer>();
        println!("{bytes} bytes");
        assert!(bytes <= 320, "{bytes}");
    }
}
