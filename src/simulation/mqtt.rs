//! ThingsBoard over MQTT: the gateway's own connections and the simulator's sessions, as they are, between the core and a
//! simulated network.
//!
//! Both are tasks of a tokio runtime whose clock stands still until nothing is left to do, and then jumps to the next
//! timer. [`World::step`](super::World::step) and the runtime take turns: it runs until something arrives for the core, or
//! until the world's next event.

mod actions;
mod network;

mod attributes;
mod commands;
mod displaced;
mod every_moment;
mod fleet;
mod following;
mod on_uplink;
mod posts;
mod random_runs;
mod restarts;

pub(super) use network::{CutAt, Dialer, Dialing, Network};

use crate::calls::pushed::Pushed;
use crate::calls::{Call, Completion, Ticket, task};
use crate::gateway::core::DownlinkRequest;
use crate::upstream::{self, Kinds, Mqtt, MqttSettings};
use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};
use thingsboard_simulator::{Arrival, CommandOutcome, Control};
use tokio::runtime::Runtime;
use tokio::sync::broadcast::error::TryRecvError;
use tokio::sync::{broadcast, mpsc};
use tokio::task::AbortHandle;

const MILLISECOND: Duration = Duration::from_millis(1);
/// Messages that wait for the core, at most. Fewer than a gateway's, so that connections wait for the core more often.
const PUSHED: usize = 8;
/// Of each that are taken in one turn.
const BATCH: usize = 256;

/// What has arrived for the core.
#[derive(Default)]
pub(super) struct Arrived {
    pub(super) completions: Vec<Completion>,
    pub(super) pushed: Vec<Pushed>,
}

/// The connections of one gateway.
pub(super) struct Gateway {
    upstream: Arc<Mqtt<Pushed, Dialer>>,
    completions: mpsc::Receiver<Completion>,
    completed: mpsc::Sender<Completion>,
    pushed: mpsc::Receiver<Pushed>,
    /// Those that are not answered. Posts have no task.
    calls: HashMap<Ticket, Option<AbortHandle>>,
    /// Its process has ended. Its tasks stay, and open no streams.
    is_gone: Arc<AtomicBool>,
}

/// ThingsBoard, and the gateway's connections to it.
pub(super) struct MqttSide {
    // Before the runtime, whose clock its streams need when they are dropped.
    gateway: Gateway,
    pub(super) network: Network,
    /// ThingsBoard's.
    pub(super) control: Control,
    arrivals: broadcast::Receiver<Arrival>,
    pub(super) settings: MqttSettings,
    /// Outcomes of commands that are not persistent, by the number in their parameters.
    outcomes: Arc<Mutex<HashMap<u64, CommandOutcome>>>,
    runtime: Runtime,
}

#[expect(
    clippy::disallowed_methods,
    reason = "the clock of the simulated runtime"
)]
fn now() -> Instant {
    tokio::time::Instant::now().into_std()
}

fn gateway(settings: &MqttSettings, network: &Network, control: &Control) -> Gateway {
    let (completed, completions) = mpsc::channel(10_000);
    let (sender, pushed) = mpsc::channel(PUSHED);
    let is_gone = Arc::new(AtomicBool::new(false));
    let dialer = Dialer {
        network: network.clone(),
        control: control.clone(),
        is_gone: is_gone.clone(),
    };
    let upstream = Mqtt::over(dialer, settings, sender, Pushed::parse);
    Gateway {
        upstream: Arc::new(upstream),
        completions,
        completed,
        pushed,
        calls: HashMap::new(),
        is_gone,
    }
}

/// A runtime whose clock stands still.
fn runtime() -> Runtime {
    let mut builder = tokio::runtime::Builder::new_current_thread();
    builder.enable_time().start_paused(true).build().unwrap()
}

impl MqttSide {
    pub(super) fn new(seed: u64, settings: MqttSettings) -> MqttSide {
        // The back-off and the client ids of connections are random.
        fastrand::seed(seed);
        let runtime = runtime();
        let _clock = runtime.enter();
        let network = Network::new(seed);
        let control = Control::without_sockets();
        let timers = control.clone();
        runtime.spawn(async move { timers.run_timers().await });
        MqttSide {
            gateway: gateway(&settings, &network, &control),
            arrivals: control.subscribe(),
            network,
            control,
            settings,
            outcomes: Arc::default(),
            runtime,
        }
    }

    pub(super) fn now(&self) -> Instant {
        let _clock = self.runtime.enter();
        now()
    }

    /// Does something at ThingsBoard.
    pub(super) fn at_thingsboard<T>(&self, act: impl FnOnce(&Control) -> T) -> T {
        let _clock = self.runtime.enter();
        act(&self.control)
    }

    /// Runs until something arrives for the core, or until this time; for a millisecond at least if nothing arrives.
    pub(super) fn run_until(&mut self, until: Instant) -> Arrived {
        let Gateway {
            completions,
            pushed,
            calls,
            ..
        } = &mut self.gateway;
        let mut arrived = Arrived::default();
        self.runtime.block_on(async {
            let until = until.max(now() + MILLISECOND);
            tokio::select! {
                biased;
                Some(completion) = completions.recv() => arrived.completions.push(completion),
                Some(message) = pushed.recv() => arrived.pushed.push(message),
                () = tokio::time::sleep_until(until.into()) => {}
            }
        });
        let more = std::iter::from_fn(|| completions.try_recv().ok());
        arrived.completions.extend(more.take(BATCH));
        let more = std::iter::from_fn(|| pushed.try_recv().ok());
        arrived.pushed.extend(more.take(BATCH));
        for completion in &arrived.completions {
            calls.remove(&completion.ticket);
        }
        arrived
    }

    /// What ThingsBoard has received since the last call.
    pub(super) fn take_arrivals(&mut self) -> Vec<Arrival> {
        let mut taken = Vec::new();
        loop {
            match self.arrivals.try_recv() {
                Ok(arrival) => taken.push(arrival),
                Err(TryRecvError::Empty) => return taken,
                Err(error) => panic!("{error}"),
            }
        }
    }

    pub(super) fn begin_call(&mut self, call: Call) {
        let _clock = self.runtime.enter();
        let ticket = call.ticket;
        let Gateway {
            upstream,
            completed,
            calls,
            ..
        } = &mut self.gateway;
        let handle = task::try_post(&**upstream, call, completed).map(|call| {
            let timeout = self.settings.timeout;
            let task = task::run(upstream.clone(), timeout, call, completed.clone());
            self.runtime.spawn(task).abort_handle()
        });
        let before = calls.insert(ticket, handle);
        assert!(before.is_none(), "{ticket:?} twice");
    }

    pub(super) fn abort(&mut self, ticket: Ticket) {
        if let Some(call) = self.gateway.calls.remove(&ticket).flatten() {
            call.abort();
        }
    }

    /// Carries out what the core wants of a connection. Returns whether it was refused.
    pub(super) fn request(&self, request: &DownlinkRequest) -> bool {
        let _clock = self.runtime.enter();
        let upstream = &self.gateway.upstream;
        match request {
            DownlinkRequest::Subscribe {
                device,
                kind,
                number,
            } => return upstream.subscribe(device, of(*kind), *number).is_err(),
            DownlinkRequest::Unsubscribe { device, kind } => {
                upstream.unsubscribe(device, of(*kind));
            }
            DownlinkRequest::Acknowledge(acknowledgement) => {
                upstream.acknowledge(upstream::Acknowledgement {
                    connection: acknowledgement.connection.0,
                    packet: acknowledgement.packet,
                });
            }
            DownlinkRequest::AliveUntil(device, until) => upstream.alive_until(device, *until),
            DownlinkRequest::Close(device) => upstream.close(device),
        }
        false
    }

    /// The gateway's process ends, and another begins.
    pub(super) fn restart_gateway(&mut self) {
        let _clock = self.runtime.enter();
        let calls = std::mem::take(&mut self.gateway.calls);
        for call in calls.into_values().flatten() {
            call.abort();
        }
        self.gateway.is_gone.store(true, Ordering::Relaxed);
        self.gateway = gateway(&self.settings, &self.network, &self.control);
        self.network.cut(|| true);
    }

    /// Another gateway with the same devices.
    pub(super) fn another_gateway(&self) -> Gateway {
        gateway(&self.settings, &self.network, &self.control)
    }

    /// Calls for devices' requests, for relays and for packages that have not ended.
    pub(super) fn calls(&self) -> [usize; 3] {
        let mut counts = [0; 3];
        for ticket in self.gateway.calls.keys() {
            counts[match ticket {
                Ticket::Exchange { .. } => 0,
                Ticket::Relay(..) => 1,
                Ticket::Package(_) => 2,
            }] += 1;
        }
        counts
    }

    /// Connections that are open, and those that wait to be opened.
    pub(super) fn connections(&self) -> (usize, usize) {
        let counters = self.gateway.upstream.counters();
        (counters.open, counters.waiting)
    }
}

fn of(kind: crate::downlink::Kind) -> Kinds {
    Kinds {
        attributes: kind == crate::downlink::Kind::Attributes,
        commands: kind == crate::downlink::Kind::Commands,
    }
}
