//! A configured gateway, bound to its address and ready to run.

use super::Settings;
use super::core::Core;
use super::handle::{self, Handle};
use super::tap::Tap;
use crate::calls::pushed::Pushed;
use crate::credentials::{ClientPolicy, ServerCredentials};
use crate::device::Registry;
use crate::downlink::Form;
use crate::dtls;
use crate::gateway::driver::{self, Calls, Driver, End, Shutdown};
use crate::gateway::group_io::{GroupError, GroupIo};
use crate::gateway::log;
use crate::group::{self, Group};
use crate::ota;
use crate::state;
use crate::udp::Udp;
use crate::upstream::{self, Server};
use state_store::{KeyError, OpenError};
use std::fmt::Display;
use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::mpsc;
use tracing::info;

/// ThingsBoard, whose MQTT form gives the loop what it receives.
pub(crate) type UpstreamServer = Server<Pushed>;

/// How long the store keeps a session longer than a gateway would.
const EXPIRY_MARGIN: Duration = Duration::from_secs(3600);

/// What ThingsBoard has pushed that may wait for the loop. Connections wait while it is full.
const PUSHED: usize = 256;

/// Why a gateway with a valid configuration can't start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The UDP address can't be bound.
    #[error(
        "listen.coaps: UDP {address} can't be bound: {error}{}",
        bind_advice(error, "ss -lunp", "; the default port of CoAPs is 5684")
    )]
    Bind {
        address: SocketAddr,
        error: io::Error,
    },
    #[error(transparent)]
    Engine(#[from] dtls::SettingsError),
    #[error("upstream: {0}")]
    Upstream(#[from] upstream::SettingsError),
    #[error("state.key_file: {0}")]
    StateKey(KeyError),
    #[error("state.directory: {0}")]
    State(OpenError),
    /// The UDP address for other gateways can't be bound.
    #[error(
        "state.listen: UDP {address} can't be bound: {error}{}",
        bind_advice(error, "ss -lunp", "")
    )]
    GroupBind {
        address: SocketAddr,
        error: io::Error,
    },
    #[error("state.url: {0}")]
    GroupStore(replicas_redis::StartError),
    #[error("the operating system gives no random numbers")]
    Random,
}

/// What an operator can do about an address that can't be bound, in parentheses; empty if nothing is known. `list`: the
/// command that lists the sockets, `ports`: what else to say of ports below 1024.
#[expect(
    clippy::wildcard_enum_match_arm,
    reason = "the other forty kinds need no advice"
)]
pub(crate) fn bind_advice(error: &io::Error, list: &str, ports: &str) -> String {
    match error.kind() {
        io::ErrorKind::AddrInUse => {
            format!(" (another process has it: `{list}` shows which; or choose another port)")
        }
        io::ErrorKind::PermissionDenied => {
            format!(" (ports below 1024 need the capability CAP_NET_BIND_SERVICE{ports})")
        }
        io::ErrorKind::AddrNotAvailable => {
            " (no interface of this machine has that address)".to_owned()
        }
        _ => String::new(),
    }
}

/// What a gateway is made of.
#[derive(Debug)]
#[expect(missing_docs, reason = "the fields' names and types say it")]
pub struct Parts {
    /// The UDP address for devices; port 0 lets the system choose.
    pub listen: SocketAddr,
    /// The gateway's certificate and key.
    pub server: ServerCredentials,
    /// Which client certificates are accepted.
    pub clients: ClientPolicy,
    pub registry: Arc<Registry>,
    pub upstream: upstream::Settings,
    /// Where sessions are stored. `None`: they end with the process.
    pub state: Option<state::settings::Settings>,
    /// Where sessions are shared with other gateways. `None`: with none.
    pub group: Option<group::settings::Settings>,
    pub settings: Settings,
    /// The time limit of draining.
    pub drain: Duration,
    /// Where calls to ThingsBoard are made.
    pub workers: tokio::runtime::Handle,
}

/// A gateway that is bound and ready to run.
pub struct Gateway {
    driver: Driver<UpstreamServer>,
    upstream: Arc<UpstreamServer>,
    address: SocketAddr,
    handle: Handle,
    drain: Duration,
}

impl Gateway {
    /// Binds the socket and makes the HTTP client. To be called within a tokio runtime.
    ///
    /// # Errors
    /// See [`StartError`].
    pub fn new(parts: Parts) -> Result<Gateway, StartError> {
        let mut settings = parts.settings;
        let timeout = parts.upstream.timeout;
        settings.max_connections = parts.upstream.max_connections;
        let devices = parts.registry.len();
        let (pushed, received) = mpsc::channel(PUSHED);
        let upstream = Arc::new(Server::new(&parts.upstream, pushed, Pushed::parse)?);
        settings.downlink = match upstream.is_mqtt() {
            true => Form::Push,
            false => Form::Polling,
        };
        let engine = dtls::Settings::new(&parts.server, &settings.dtls)?;
        let wanted = parts.listen;
        let bind = |error| StartError::Bind {
            address: wanted,
            error,
        };
        let udp = Udp::bind(wanted).map_err(bind)?;
        let address = udp.local_addr().map_err(bind)?;
        let seed = random_seed()?;
        let (clients, registry) = (parts.clients, parts.registry);
        let new = || {
            Core::new(
                settings,
                engine.clone(),
                clients.clone(),
                registry.clone(),
                seed,
            )
        };
        let mut core = match &parts.state {
            Some(state) => with_store(new, state)?,
            None => new(),
        };
        let group = match parts.group {
            Some(group) => join(&mut core, group, settings.dtls.session_idle)?,
            None => GroupIo::none(),
        };
        info!(%address, devices, "listening for CoAPs");
        let (handle, commands) = handle::channel();
        let driver = Driver::new(
            core,
            udp,
            Calls {
                upstream: upstream.clone(),
                workers: parts.workers,
                timeout,
                most: settings
                    .max_in_flight
                    .saturating_add(settings.relay.connections())
                    .saturating_add(ota::Settings::CONNECTIONS),
            },
            commands,
            received,
            group,
        );
        Ok(Gateway {
            driver,
            upstream,
            address,
            handle,
            drain: parts.drain,
        })
    }

    /// The address that devices send to.
    pub fn local_addr(&self) -> SocketAddr {
        self.address
    }

    /// ThingsBoard, for checks of readiness.
    pub(crate) fn upstream(&self) -> Arc<UpstreamServer> {
        self.upstream.clone()
    }

    /// Sends a copy of everything to this tap.
    pub fn attach_tap(&mut self, tap: Tap) {
        self.driver.attach_tap(tap);
    }

    /// Sends commands to the gateway while it runs.
    pub fn handle(&self) -> Handle {
        self.handle.clone()
    }

    /// Serves until `requested` resolves, then drains within `[shutdown] drain`, or until `forced` resolves.
    pub async fn run(
        self,
        requested: impl Future<Output = ()>,
        forced: impl Future<Output = ()>,
    ) -> End {
        let shutdown = Shutdown {
            requested,
            drain: self.drain,
            forced,
        };
        self.driver.run(shutdown).await
    }
}

/// A core that goes on with the sessions that are stored, and stores sessions from now on. If the disk fails, sessions are in memory
/// alone: a restart must help devices even then.
fn with_store(
    new: impl Fn() -> Core,
    settings: &state::settings::Settings,
) -> Result<Core, StartError> {
    let directory = &settings.directory;
    let without = |error: &dyn Display| {
        log::state::not_opened(directory, &error);
        let mut core = new();
        core.nothing_is_stored();
        core
    };
    let key = match settings.load_key() {
        Ok(key) => key,
        Err(error @ KeyError::Malformed) => return Err(StartError::StateKey(error)),
        Err(error) => return Ok(without(&error)),
    };
    let opened = match state_store::open(directory, &key.key) {
        Ok(opened) => opened,
        Err(error @ OpenError::InUse(_)) => return Err(StartError::State(error)),
        Err(error) => return Ok(without(&error)),
    };
    log::state::opened(directory, key.is_new, opened.set_aside());
    let mut core = new();
    let start = driver::now();
    core.set_unix_time(driver::unix_time());
    match core.restore(start, opened, settings.window, |event| {
        log::state::event(&event)
    }) {
        Ok(restored) => {
            log::state::restored(&restored, driver::now().saturating_duration_since(start));
            Ok(core)
        }
        Err(error) => Ok(without(&error)),
    }
}

/// Makes the core one of a group. The store need not be there yet.
fn join(
    core: &mut Core,
    settings: group::settings::Settings,
    session_idle: Duration,
) -> Result<GroupIo, StartError> {
    let wanted = settings.listen;
    let mut server = settings.server;
    // A session is ended by a gateway before the store drops it.
    server.ttl = session_idle.saturating_add(EXPIRY_MARGIN);
    let started = GroupIo::start(wanted, server);
    let (io, listen) = started.map_err(|error| match error {
        GroupError::Bind(error) => StartError::GroupBind {
            address: wanted,
            error,
        },
        GroupError::Store(error) => StartError::GroupStore(error),
    })?;
    let address = settings.address.unwrap_or(listen);
    let mut instance = [0; 16];
    aws_lc_rs::rand::fill(&mut instance).map_err(|_| StartError::Random)?;
    let parameters = group::Parameters {
        secret: settings.secret,
        instance: replicas::Instance(instance),
        address,
        window: settings.window,
    };
    let joined = Group::new(driver::now(), parameters);
    core.join(joined.ok_or(StartError::Random)?);
    log::group::joined(listen, address);
    Ok(io)
}

/// Message IDs and retransmission times must differ from one start to the next (RFC 7252 §4.4).
fn random_seed() -> Result<u64, StartError> {
    let mut seed = [0; 8];
    aws_lc_rs::rand::fill(&mut seed).map_err(|_| StartError::Random)?;
    Ok(u64::from_ne_bytes(seed))
}
