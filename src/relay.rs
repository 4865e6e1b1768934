//! Observe (RFC 7641) for what ThingsBoard pushes to a device: changes of its shared attributes, and commands
//! (server-side RPC). One [`DeviceRelay`] for each device that observes; it belongs to the device, not to a DTLS session
//! or a Token, so it outlives both. Sans-IO: events and `now` go in, [`RelayEffect`]s come out.
//!
//! ThingsBoard's HTTP API pushes by long polls. These lose changes that happen between two polls, repeat a command until
//! it is replied to, and make ThingsBoard show a dead device as active. The relay hides all three from the device: every
//! key's last value arrives, every command arrives once and in order, and a device that does not answer is not polled for.
//!
//! # One change of an attribute
//!
//! ```text
//!               poll_ended                    advance                               ACK
//! ThingsBoard ─────────────▶ key unconfirmed ─────────▶ next poll, then Notify ─▶ device ─┐
//!      ▲  ▲                        ▲                                                      │
//!      │  └── next poll            │ read_ended: changes that the polls missed            │ delivered
//!      │                           │                                                      ▼
//!      └── read of all attributes ─┘                                      key confirmed ◀─┘
//!          300 ms after the poll
//! ```
//!
//! A command goes the same way without the read: it is queued, notified, and leaves the queue with its ACK.
//!
//! # Files
//!
//! | File | Holds |
//! |---|---|
//! | [`table`] | all relays: look-up by device, their timers, the bounds `relay.max_polls` and `relay.bytes` |
//! | [`device_relay`] | one device: routes each event to one of its two observations; parking when the device does not answer |
//! | [`attribute_observation`] | the observation of shared attributes: when to poll, read and notify |
//! | [`shared_attributes`] | their values, and which of them the device has not confirmed |
//! | [`attribute_json`] | ThingsBoard's JSON for them, both ways |
//! | [`command_observation`] | the observation of commands: when to poll, notify and reply in the device's place |
//! | [`command_queue`] | commands in order, and those already delivered that ThingsBoard may repeat |
//! | [`command_error`] | the replies of the gateway itself to a command |
//! | [`liveness`] | live, pinged or parked |
//! | [`effect`], [`context`] | what a relay wants done, and what it is given with each event |
//! | [`settings`] | `[relay]` |
//! | [`byte_budget`] | even shares of `relay.bytes` |
//! | [`polling`] | everything about HTTP long polls: polls without gaps, back-off, polls a second, recovery after an outage, and the reads that find what polls lost |
//!
//! What another way to get changes from ThingsBoard (MQTT) would replace: [`polling`], `device_relay/polls.rs`, and in
//! the two observations the `Poller` and the `Resync` with the methods that drive them; outside, the effects `OpenPoll` and
//! `AbortPoll` in [`effect`], `Pacing` in [`table`], and `gateway/core/relay_calls.rs`, which makes calls of the effects.
//!
//! # Events and effects
//!
//! Each event is a method of [`DeviceRelay`]; after any of them [`advance`](DeviceRelay::advance) does what has become
//! due. [`RelayTable::update`] calls both, arms the relay's timer and queues its effects.

pub(crate) mod attribute_json;
pub(crate) mod attribute_observation;
mod byte_budget;
pub(crate) mod command_error;
pub(crate) mod command_observation;
pub(crate) mod command_queue;
pub(crate) mod context;
mod counters;
pub(crate) mod device_relay;
pub(crate) mod effect;
pub(crate) mod liveness;
pub(crate) mod polling;
pub(crate) mod settings;
pub(crate) mod shared_attributes;
pub(crate) mod table;
#[cfg(test)]
mod tests;

pub(crate) use context::RelayContext;
pub(crate) use counters::Counters;
pub(crate) use device_relay::DeviceRelay;
pub(crate) use effect::{Kind, ObservationEnd, RelayEffect};
pub(crate) use liveness::Observation;
pub(crate) use polling::PollMessage;
pub(crate) use settings::{Mode, Settings};
pub(crate) use table::{ObservationCounts, RelayId, RelayTable};
