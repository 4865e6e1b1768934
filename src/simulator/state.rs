//! Everything the simulator remembers, behind one lock.

use std::collections::BTreeMap;
use std::sync::atomic::AtomicUsize;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::watch;

use super::arrival::Arrivals;
use super::device_api::Profile;
use super::directory::Directory;
use super::fault::Faults;
use super::rule_chain::RuleChain;

/// How long ThingsBoard waits for a reply it may never get.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Timeouts {
    /// `SPRING_MVC_ASYNC_REQUEST_TIMEOUT`, 30 s in the monolith: when it ends a request the answer is 503.
    pub asynchronous: Duration,
    /// `HTTP_REQUEST_TIMEOUT`, 60 s: when it ends a request the answer is 408.
    pub request: Duration,
}

impl Default for Timeouts {
    fn default() -> Timeouts {
        Timeouts {
            asynchronous: Duration::from_secs(30),
            request: Duration::from_secs(60),
        }
    }
}

/// What the lock guards.
pub(super) struct State {
    pub(super) directory: Directory,
    /// Device profiles by their provisioning key.
    pub(super) profiles: BTreeMap<String, Profile>,
    pub(super) rule_chain: RuleChain,
    pub(super) timeouts: Timeouts,
    pub(super) faults: Faults,
    pub(super) arrivals: Arrivals,
}

/// The state as all connections share it.
pub(super) struct Shared {
    state: Mutex<State>,
    /// True once the simulator stops: whoever waits, waits no longer.
    pub(super) closing: watch::Sender<bool>,
    /// Bytes of request bodies held right now.
    pub(super) buffered: AtomicUsize,
}

impl Shared {
    pub(super) fn new() -> Shared {
        Shared {
            state: Mutex::new(State {
                directory: Directory::default(),
                profiles: BTreeMap::new(),
                rule_chain: RuleChain::default(),
                timeouts: Timeouts::default(),
                faults: Faults::default(),
                arrivals: Arrivals::new(),
            }),
            closing: watch::Sender::new(false),
            buffered: AtomicUsize::new(0),
        }
    }

    /// The state. Never held across an await.
    pub(super) fn lock(&self) -> MutexGuard<'_, State> {
        // A panic elsewhere must not take the simulator down with it; the state is whole after each statement.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
