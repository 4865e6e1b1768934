//! A configured gateway, bound to its address and ready to run.

use super::Settings;
use super::core::Core;
use super::handle::{self, Handle};
use super::tap::Tap;
use crate::config::Ota;
use crate::device::Registry;
use crate::dtls::{self, ClientPolicy, ServerCredentials};
use crate::gateway::driver::{End, Shard, Stop};
use crate::udp::Udp;
use crate::upstream::{self, ThingsBoard};
use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tracing::info;

/// What keeps a gateway from starting though its configuration is valid.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The address can't be bound.
    #[error("listen.coaps: UDP {address} can't be bound: {error}{}", advice(error))]
    Bind {
        /// What was to be bound.
        address: SocketAddr,
        /// Why it can't.
        error: io::Error,
    },
    /// The DTLS engine.
    #[error(transparent)]
    Engine(#[from] dtls::engine::SettingsError),
    /// The HTTP client.
    #[error("upstream: {0}")]
    Upstream(#[from] upstream::SettingsError),
    /// The operating system has no random numbers.
    #[error("the operating system gives no random numbers")]
    Random,
}

#[expect(
    clippy::wildcard_enum_match_arm,
    reason = "the other forty kinds need no advice"
)]
fn advice(error: &io::Error) -> &'static str {
    match error.kind() {
        io::ErrorKind::AddrInUse => {
            " (another process has it: `ss -lunp` shows which; or choose another port)"
        }
        io::ErrorKind::PermissionDenied => {
            " (ports below 1024 need the capability CAP_NET_BIND_SERVICE; CoAPs has 5684)"
        }
        io::ErrorKind::AddrNotAvailable => " (no interface of this machine has that address)",
        _ => "",
    }
}

/// What a gateway is made of.
#[derive(Debug)]
pub struct Parts {
    /// The UDP address for devices; port 0 lets the system choose.
    pub listen: SocketAddr,
    /// Its certificate and key.
    pub server: ServerCredentials,
    /// Which client certificates are accepted.
    pub clients: ClientPolicy,
    /// The devices that certificates belong to.
    pub registry: Arc<Registry>,
    /// ThingsBoard.
    pub upstream: upstream::Settings,
    /// What the core needs to know beside these.
    pub settings: Settings,
    /// How long requests in flight may take to complete once it is to stop.
    pub drain: Duration,
}

/// A gateway that has everything it needs.
pub struct Gateway {
    shard: Shard<ThingsBoard>,
    upstream: Arc<ThingsBoard>,
    address: SocketAddr,
    handle: Handle,
    drain: Duration,
}

impl Gateway {
    /// Binds the socket and sets up both sides. Within a tokio runtime.
    pub fn new(parts: Parts) -> Result<Gateway, StartError> {
        let settings = parts.settings;
        let timeout = parts.upstream.timeout;
        let devices = parts.registry.len();
        let upstream = Arc::new(ThingsBoard::new(parts.upstream)?);
        let engine = dtls::engine::Settings::new(&parts.server, &settings.dtls)?;
        let wanted = parts.listen;
        let bind = |error| StartError::Bind {
            address: wanted,
            error,
        };
        let udp = Udp::bind(wanted).map_err(bind)?;
        let address = udp.local_addr().map_err(bind)?;
        let core = Core::new(
            settings,
            engine,
            parts.clients,
            parts.registry,
            random_seed()?,
        );
        info!(%address, devices, "listening for CoAPs");
        let (handle, orders) = handle::channel();
        let shard = Shard::new(
            core,
            udp,
            upstream.clone(),
            timeout,
            settings
                .max_in_flight
                .saturating_add(settings.relay.connections())
                .saturating_add(Ota::CONNECTIONS),
            orders,
        );
        Ok(Gateway {
            shard,
            upstream,
            address,
            handle,
            drain: parts.drain,
        })
    }

    /// Where devices reach it.
    pub fn local_addr(&self) -> SocketAddr {
        self.address
    }

    /// The way to ThingsBoard, to see whether it can be reached.
    pub fn upstream(&self) -> Arc<ThingsBoard> {
        self.upstream.clone()
    }

    /// Tells this tap what happens while it runs.
    pub fn open_tap(&mut self, tap: Tap) {
        self.shard.open_tap(tap);
    }

    /// A way to it while it runs.
    pub fn handle(&self) -> Handle {
        self.handle.clone()
    }

    /// Serves until `asked` resolves, then drains within `[shutdown] drain`, or until `insisted` resolves.
    pub async fn run(
        self,
        asked: impl Future<Output = ()>,
        insisted: impl Future<Output = ()>,
    ) -> End {
        let stop = Stop {
            asked,
            drain: self.drain,
            insisted,
        };
        self.shard.run(stop).await
    }
}

/// Message IDs and retransmission times must differ from one start to the next (RFC 7252 §4.4).
fn random_seed() -> Result<u64, StartError> {
    let mut seed = [0; 8];
    aws_lc_rs::rand::fill(&mut seed).map_err(|_| StartError::Random)?;
    Ok(u64::from_ne_bytes(seed))
}
