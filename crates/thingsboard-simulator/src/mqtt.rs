//! ThingsBoard's MQTT device API (`MqttTransportHandler`), MQTT 5 and 3.1.1, over the same state as the HTTP API.
//!
//! ```text
//! listener ─▶ connection (bytes, time) ─▶ packet (decode) ─▶ session (one connection's state) ─▶ directory, packages, …
//!                     ▲                                            │
//!                     └── downlink (changes, commands, ends) ◀─────┘ subscribe, report
//! ```
//!
//! It follows ThingsBoard 4.3 as it was seen: some payloads get no PUBACK ever, some close the connection, a rate limit
//! closes it, and a SUBSCRIBE over the limit is granted but dead. Known differences:
//!
//! * No Protobuf: `v2/…/p` topics refuse each payload, and a subscription to them gets nothing. `v1` and `v2` are JSON.
//! * No gateway API: each device is one without the flag, whose messages to `v1/gateway/…` get no answer.
//! * Faults are for HTTP; what goes wrong with MQTT is set in [`MqttSettings`]: a PUBACK or CONNACK that is delayed for long
//!   is one that never comes.
//! * No TLS, no Sparkplug, no WebSocket; rate limits do not apply to HTTP.
//! * Where ThingsBoard's order is a race (an unsubscribed device that gets one more change, PUBACKs that overtake each
//!   other), it is one fixed order here, except for rejections: they overtake PUBACKs that are delayed.

mod connection;
mod limits;
mod listener;
mod packet;
mod session;
mod settings;
mod topic;

pub(super) use connection::serve;
pub(super) use listener::run;
pub(super) use settings::Mqtt;
pub use settings::{MqttCounts, MqttSettings, RateLimit};
