//! The simulator's state, behind one lock.

mod attributes;

use crate::arrival::Arrivals;
use crate::body;
use crate::clock::Clock;
use crate::connections::Connections;
use crate::device_api::Profile;
use crate::directory::Directory;
use crate::downlink::Delays;
use crate::fault::Faults;
use crate::long_poll::LongPolls;
use crate::mqtt::Mqtt;
use crate::packages::Packages;
use crate::rule_chain::RuleChain;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::{Semaphore, watch};

/// How long ThingsBoard waits for a reply or a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Timeouts {
    /// `SPRING_MVC_ASYNC_REQUEST_TIMEOUT`, 30 s in the monolith. A request that it ends gets 503.
    pub asynchronous: Duration,
    /// `HTTP_REQUEST_TIMEOUT`, 60 s. A request that it ends gets 408.
    pub request: Duration,
}

impl Default for Timeouts {
    fn default() -> Timeouts {
        Timeouts::of(Delays::default())
    }
}

impl Timeouts {
    pub(super) fn of(delays: Delays) -> Timeouts {
        Timeouts {
            asynchronous: Duration::from_millis(delays.async_ms),
            request: Duration::from_millis(delays.request_ms),
        }
    }
}

pub(super) struct State {
    pub(super) directory: Directory,
    /// Device profiles by their provisioning key.
    pub(super) profiles: BTreeMap<String, Profile>,
    pub(super) rule_chain: RuleChain,
    pub(super) long_polls: LongPolls,
    pub(super) packages: Packages,
    pub(super) mqtt: Mqtt,
    /// The number of further reads of attributes for which the attribute store fails.
    pub(super) attribute_store_fails: u32,
    pub(super) faults: Faults,
    pub(super) arrivals: Arrivals,
}

/// What all connections share.
pub(super) struct Shared {
    state: Mutex<State>,
    pub(super) connections: Arc<Connections>,
    /// True once the simulator stops: all waiting ends.
    pub(super) closing: watch::Sender<bool>,
    /// One permit for each byte that request bodies may still take up.
    pub(super) body_budget: Arc<Semaphore>,
    pub(super) clock: Clock,
    /// Counts the restarts: each cuts all MQTT connections.
    pub(super) mqtt_cuts: watch::Sender<u64>,
}

impl Shared {
    pub(super) fn new() -> Shared {
        let clock = Clock::start();
        Shared {
            connections: Arc::new(Connections::new(clock)),
            state: Mutex::new(State {
                directory: Directory::default(),
                profiles: BTreeMap::new(),
                rule_chain: RuleChain::default(),
                long_polls: LongPolls::new(clock),
                packages: Packages::default(),
                mqtt: Mqtt::default(),
                attribute_store_fails: 0,
                faults: Faults::default(),
                arrivals: Arrivals::new(),
            }),
            closing: watch::Sender::new(false),
            body_budget: body::budget(),
            clock,
            mqtt_cuts: watch::Sender::new(0),
        }
    }

    /// Locks the state. The guard must not be held across an await.
    pub(super) fn lock(&self) -> MutexGuard<'_, State> {
        // A panic in another task does not stop the simulator; the state is consistent after each statement.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
