//! Invariants: they hold after every step, whatever the network, the devices and upstream do.

use super::delivered_once::DeliveredOnce;
use super::device::ReceivedMessage;
use super::upstream::Post;
use super::{Device, ScriptedUpstream};
use crate::downlink::Form;
use crate::gateway::Settings;
use crate::gateway::core::Core;
use crate::ota;
use coap::EXCHANGE_LIFETIME;
use coap::{Message, Type};
use std::collections::{HashMap, HashSet};
use std::time::{Duration, Instant};

/// The longest time between the first transmission of a message and the arrival of its last retransmission.
const MAX_TRANSIT: Duration = Duration::from_secs(60);

/// Checks the world after each step. A check reads only what is new since the last one.
#[derive(Default)]
pub(super) struct Invariants {
    posts_checked: usize,
    bodies: HashSet<Vec<u8>>,
    responses_checked: Vec<usize>,
    /// When and for which message the gateway used a Message ID, by device, session and Message ID.
    message_ids: HashMap<(usize, u32, u16), (Instant, Message)>,
    pub(super) delivered_once: DeliveredOnce,
}

impl Invariants {
    pub(super) fn check(
        &mut self,
        core: &Core,
        devices: &[Device],
        upstream: &ScriptedUpstream,
        calls: [usize; 3],
        settings: &Settings,
    ) {
        self.each_post_reaches_upstream_once_for_its_own_device(upstream);
        upstream_gets_do_not_exceed_the_devices_gets(devices, upstream);
        self.responses_reach_the_requesting_session(devices);
        self.delivered_once.check(upstream);
        bounds_hold(core, calls, settings);
    }

    /// The gateway knows nothing of what was before.
    pub(super) fn gateway_restarted(&mut self, core: &mut Core) {
        self.message_ids.clear();
        self.delivered_once = DeliveredOnce::default();
        self.delivered_once.attach(core);
    }

    /// Another process goes on with what was stored. `is_killed`: the former one may have acknowledgements that it did not store.
    pub(super) fn gateway_goes_on(&mut self, core: &mut Core, is_killed: bool) {
        if is_killed {
            self.delivered_once = DeliveredOnce::default();
        }
        self.delivered_once.attach(core);
    }

    fn each_post_reaches_upstream_once_for_its_own_device(&mut self, upstream: &ScriptedUpstream) {
        for Post { device, body } in upstream.posts.iter().skip(self.posts_checked) {
            assert!(
                self.bodies.insert(body.to_vec()),
                "{device} posted {body:?} twice"
            );
            let index = device.trim_start_matches("device-");
            assert!(
                body.starts_with(format!(r#"{{"device":{index},"#).as_bytes()),
                "{body:?} went upstream as {device}"
            );
        }
        self.posts_checked = upstream.posts.len();
    }

    /// Tokens are unique over all devices and sessions, so that a device panics at a response to another device. The
    /// attributes that upstream returns name their device.
    fn responses_reach_the_requesting_session(&mut self, devices: &[Device]) {
        self.responses_checked.resize(devices.len(), 0);
        for (index, device) in devices.iter().enumerate() {
            let seen = self.responses_checked[index];
            self.responses_checked[index] = device.received.len();
            for received in device.received.iter().skip(seen) {
                let message = &received.message;
                if message.payload.starts_with(br#"{"client""#) {
                    let own = format!(r#"{{"client":{{"name":"device-{}"}}"#, device.registered_as);
                    assert!(message.payload.starts_with(own.as_bytes()));
                }
                self.no_message_id_is_used_twice(index, received);
            }
        }
    }

    /// RFC 7252 §4.4, for messages that arrive: within EXCHANGE_LIFETIME a Message ID is that of one message.
    /// (An Acknowledgement or Reset has the Message ID of the device's message.)
    fn no_message_id_is_used_twice(&mut self, device: usize, received: &ReceivedMessage) {
        let ReceivedMessage {
            at,
            session,
            message,
        } = received;
        if matches!(message.kind, Type::Acknowledgement | Type::Reset) {
            return;
        }
        let key = (device, *session, message.message_id);
        if let Some((before, other)) = self.message_ids.get(&key)
            && at.saturating_duration_since(*before) < EXCHANGE_LIFETIME - MAX_TRANSIT
        {
            assert_eq!(message, other, "one Message ID for two messages");
            return;
        }
        self.message_ids.insert(key, (*at, message.clone()));
    }
}

fn upstream_gets_do_not_exceed_the_devices_gets(devices: &[Device], upstream: &ScriptedUpstream) {
    for (name, calls) in &upstream.gets {
        let own = |device: &&Device| format!("device-{}", device.registered_as) == *name;
        let gets: usize = devices.iter().filter(own).map(|device| device.gets).sum();
        assert!(
            *calls <= gets,
            "{name} sent {gets} GETs, upstream got {calls}"
        );
    }
}

/// `calls`: those for devices' requests, for relays and for packages that have not ended.
fn bounds_hold(core: &Core, calls: [usize; 3], settings: &Settings) {
    let load = core.load();
    assert!(load.sessions <= settings.dtls.sessions);
    assert!(load.half_open <= settings.dtls.handshakes);
    assert!(load.in_flight <= settings.max_in_flight);
    assert!(load.most_in_flight_of_one <= settings.calls.per_device);
    let of_core = [load.in_flight, load.relay_calls, load.package_calls];
    assert_eq!(of_core, calls);
    assert!(load.package_calls <= ota::Settings::CONNECTIONS);
    assert!(load.package_bytes <= settings.ota.cache);
    assert!(load.body_bytes <= settings.coap.body_bytes);
    // An exchange waits for at most one block.
    assert!(load.downloads <= 16 * load.sessions || load.package_calls > 0);
    // Statistics of open requests and calls are removed when these end.
    assert!(load.tallied_requests == load.peers.open_requests);
    let levels = core.report(0).levels;
    let polls = load.relay_calls.saturating_sub(levels.reads);
    assert_eq!(levels.polls, polls);
    assert_eq!(
        load.tallied_calls,
        load.in_flight + levels.reads + load.package_calls
    );
    assert_eq!(load.relays.relays, load.relays.names);
    assert!(load.relays.timers <= load.relays.relays);
    assert!(load.relays.downlinks <= settings.relay.max_polls);
    assert_eq!(load.relays.bytes, load.relays.bytes_found);
    assert!(load.relays.bytes <= settings.relay.bytes);
    let most_commands = match settings.downlink {
        // Each of two open polls may bring one command after the queue is full.
        Form::Polling => 18,
        Form::Push => 128,
    };
    assert!(load.relays.most_commands <= most_commands);
    // No entry outlives its session or handshake.
    assert_eq!(load.peers.all, load.sessions);
    assert!(load.demux.routes <= load.sessions + load.half_open);
    assert!(load.demux.hellos <= load.half_open);
    assert!(load.demux.timers <= load.sessions + load.half_open);
    let unproven = settings.dtls.unproven_timeout.as_secs() + 1;
    let hellos = u64::from(settings.dtls.hellos) * unproven;
    assert!(u64::try_from(load.demux.unproven_queue).unwrap() <= hellos);
    assert!(load.peers.timers <= load.sessions);
    assert!(load.peers.most_of_one_device <= settings.limits.sessions_per_device);
    assert!(load.peers.unregistered <= settings.limits.unregistered_sessions);
    assert!(load.peers.most_open_exchanges <= 16 + 1024);
    assert!(load.peers.most_remembered <= 4096);
    assert!(load.peers.most_reply_bytes <= 8 * 1024);
    assert!(load.peers.most_outgoing <= 32 + 64 * 1024 / 100);
}

/// Asserts that no request is open and that idle sessions keep no CoAP state: it holds EXCHANGE_LIFETIME after the last
/// request.
pub(super) fn assert_idle(core: &Core, devices: &[Device]) {
    for device in devices {
        assert_eq!(device.open_requests(), 0, "device {}", device.registered_as);
    }
    let load = core.load();
    assert_eq!((load.half_open, load.in_flight), (0, 0));
    assert_eq!((load.downloads, load.body_bytes), (0, 0));
    assert_eq!(load.tallied_requests, 0, "a request without a response");
    let peers = load.peers;
    let held = [
        peers.most_open_exchanges,
        // One takes no heap, and is forgotten with the next message.
        peers.most_remembered.saturating_sub(1),
        peers.most_reply_bytes,
        peers.most_outgoing,
        peers.timers - peers.unregistered,
    ];
    assert_eq!(held, [0; 5], "an idle session holds nothing: {peers:?}");
}
