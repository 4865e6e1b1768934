//! Observe (RFC 7641) for what ThingsBoard pushes to a device: changes of its shared attributes, and commands
//! (server-side RPC). One [`DeviceRelay`] for each device that observes; it belongs to the device, not to a DTLS session
//! or a Token, so it outlives both. Sans-IO: events and `now` go in, [`RelayEffect`]s come out.
//!
//! Whatever comes from ThingsBoard comes by a [`Downlink`](crate::downlink::Downlink). A downlink may lose changes, repeat a
//! command, and make ThingsBoard show a dead device as active. The relay hides all three from the device: every key's last
//! value arrives, every command arrives once and in order, and nothing is requested for a device that does not answer.
//!
//! # One change of an attribute
//!
//! ```text
//!             downlink_event                  advance                               ACK
//! ThingsBoard ─────────────▶ key unconfirmed ─────────▶ Notify ──────────────────▶ device ─┐
//!      ▲                           ▲                                                      │
//!      │                           │ read_ended: changes that the downlink missed         │ delivered
//!      │                           │                                                      ▼
//!      └── read of all attributes ─┘                                      key confirmed ◀─┘
//!          after a gap of the downlink
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
//! | [`attribute_observation`] | the observation of shared attributes: when to read and notify |
//! | [`shared_attributes`] | their values, and which of them the device has not confirmed |
//! | [`command_observation`] | the observation of commands: when to notify and reply in the device's place |
//! | [`command_queue`] | commands in order, and those already delivered that ThingsBoard may repeat |
//! | [`command_error`] | the replies of the gateway itself to a command |
//! | [`liveness`] | live, pinged or parked |
//! | [`export`] | a relay as bytes, so that it outlives the process |
//! | [`effect`], [`context`] | what a relay wants done, and what it is given with each event |
//! | [`settings`] | `[relay]` |
//! | [`changed_relays`] | which of them are to be exported |
//! | [`byte_budget`] | even shares of `relay.bytes` |
//! | [`repeated_registrations`] | how often they have all attributes notified again |
//! | [`resync`] | when to read all attributes, because the downlink may have lost changes |
//! | [`harness`] | a relay out of its export, for a fuzz target |
//!
//! # Events and effects
//!
//! Each event is a method of [`DeviceRelay`]; after any of them [`advance`](DeviceRelay::advance) does what has become
//! due. [`RelayTable::update`] calls both, arms the relay's timer and queues its effects.

pub(crate) mod attribute_observation;
mod byte_budget;
mod changed_relays;
pub(crate) mod command_error;
pub(crate) mod command_observation;
pub(crate) mod command_queue;
pub(crate) mod context;
mod counters;
pub(crate) mod device_relay;
pub(crate) mod effect;
pub(crate) mod export;
mod harness;
pub(crate) mod liveness;
mod repeated_registrations;
mod resync;
pub(crate) mod settings;
pub(crate) mod shared_attributes;
pub(crate) mod table;
#[cfg(test)]
mod tests;

pub(crate) use context::RelayContext;
pub(crate) use counters::Counters;
pub(crate) use device_relay::DeviceRelay;
pub(crate) use effect::{ObservationEnd, RelayEffect};
pub(crate) use export::Times;
pub use harness::Harness;
pub(crate) use liveness::Observation;
pub(crate) use settings::Settings;
pub(crate) use table::{ObservationCounts, RelayId, RelayTable};
