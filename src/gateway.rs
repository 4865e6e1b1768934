//! The gateway core: connects DTLS sessions, the device registry, CoAP and ThingsBoard.
//!
//! | Part | Owns |
//! |---|---|
//! | [`core`] | the sans-IO whole: datagrams in, datagrams and upstream calls out |
//! | [`sessions`] | whose a session is, and how many a device may have |
//! | [`driver`] | the loop: the only place that waits, and the only one here that reads the clock |
//! | [`group_io`] | how the other gateways and the store of the group are reached |
//! | [`handle`] | commands to a gateway that runs |
//! | [`report`] | a copy of its counters and levels |
//! | [`service`] | a configured gateway, bound and ready to run |
//! | [`stats`] | what is counted |
//! | [`log`] | the log lines |
//! | [`tap`] | a copy of all messages, for the demo |

pub(crate) mod core;
pub(crate) mod driver;
pub(crate) mod group_io;
pub(crate) mod handle;
pub(crate) mod log;
pub(crate) mod report;
pub(crate) mod service;
pub(crate) mod sessions;
pub(crate) mod stats;
pub(crate) mod tap;

pub(crate) use handle::{Change, Handle};
pub use service::{Gateway, Parts};
pub(crate) use service::{UpstreamServer, bind_advice};
pub(crate) use stats::Counters;
pub use tap::Tap;

use crate::device::Limits;
use crate::downlink::Form;
use crate::dtls;
use crate::upstream::CallLimits;
use crate::{ota, relay};
use std::time::Duration;

/// What DTLS adds to a plaintext at most: header 13, explicit nonce 8, tag 16 (RFC 5288 §3), and
/// some to spare for DTLS 1.3's padding and content type.
const DTLS_OVERHEAD: usize = 48;

/// The largest body to or from a certificate that is not registered, in bytes.
const UNREGISTERED_BODY: usize = 4096;

/// Requests of such a session that may wait.
const UNREGISTERED_QUEUE: usize = 16;

/// What the core needs to know beside keys and devices.
#[derive(Debug, Clone, Copy)]
pub struct Settings {
    /// Sizes, deadlines and bounds of the secure sessions.
    pub dtls: dtls::Parameters,
    /// Times and bounds of the message layer.
    pub coap: coap::Parameters,
    /// How many sessions a device may have.
    pub limits: Limits,
    /// Whether an unregistered certificate may POST `api/v1/provision`.
    pub provision: bool,
    /// Upstream calls for devices' requests at once.
    pub max_in_flight: usize,
    /// How many of them a device may have, and how many may be client-side RPCs.
    pub calls: CallLimits,
    /// How what devices observe is fetched.
    pub relay: relay::Settings,
    /// How it comes from ThingsBoard.
    pub downlink: Form,
    /// Over MQTT: devices that have a connection to ThingsBoard, or want one.
    pub max_connections: usize,
    /// How packages are fetched, and kept for the fleet.
    pub ota: ota::Settings,
}

impl Default for Settings {
    fn default() -> Settings {
        Settings {
            dtls: dtls::Parameters::default(),
            coap: coap::Parameters::default(),
            limits: Limits::default(),
            provision: false,
            max_in_flight: 1024,
            calls: CallLimits::default(),
            relay: relay::Settings::default(),
            downlink: Form::default(),
            max_connections: 20_000,
            ota: ota::Settings::default(),
        }
    }
}

impl Settings {
    /// The largest CoAP message that fits one datagram, in bytes.
    fn max_message(&self) -> usize {
        self.dtls.mtu.saturating_sub(DTLS_OVERHEAD)
    }

    /// The parameters for unregistered certificates, which anyone can make: of what all share they get only what
    /// provisioning needs.
    fn coap_for_unregistered(&self) -> coap::Parameters {
        coap::Parameters {
            max_body: self.coap.max_body.min(UNREGISTERED_BODY),
            max_response_body: self.coap.max_response_body.min(UNREGISTERED_BODY),
            queue: self.coap.queue.min(UNREGISTERED_QUEUE),
            ..self.coap
        }
    }

    /// How long a session stays open after a response while draining: a device that has not received it retransmits its
    /// request by then (RFC 7252 §4.8, if it has the same ACK_TIMEOUT and ACK_RANDOM_FACTOR).
    fn linger_time(&self) -> Duration {
        self.coap
            .ack_timeout
            .mul_f64(self.coap.ack_random_factor.into())
    }

    /// The largest payload of a notification, in bytes.
    fn largest_notification(&self) -> usize {
        self.coap.max_response_body
    }
}
