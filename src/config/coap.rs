//! `[coap]`: the message layer.

use super::key::{Section, key};
use super::kind::{Number, Size, Time};
use super::reader::Reader;
use coap::Parameters;
use std::time::Duration;

const KIB: usize = 1024;
const MIB: usize = 1024 * KIB;

const PIGGYBACK_TIMEOUT: &str = "coap.piggyback_timeout";
const MAX_BODY: &str = "coap.max_body";
const BODY_BYTES: &str = "coap.body_bytes";

pub(super) fn section() -> Section<Parameters> {
    Section {
        name: "coap",
        doc: "transmission parameters (RFC 7252 section 4.8)",
        keys: vec![
            key(
                PIGGYBACK_TIMEOUT,
                Time(Duration::ZERO..=Duration::from_secs(60)),
                |coap: &mut Parameters| &mut coap.piggyback_timeout,
                "an answer that takes longer is sent as a separate response",
            ),
            key(
                "coap.ack_timeout",
                Time(Duration::from_millis(10)..=Duration::from_secs(300)),
                |coap: &mut Parameters| &mut coap.ack_timeout,
                "ACK_TIMEOUT",
            ),
            key(
                "coap.ack_random_factor",
                Number(1.0..=10.0),
                |coap: &mut Parameters| &mut coap.ack_random_factor,
                "ACK_RANDOM_FACTOR",
            ),
            key(
                "coap.max_retransmit",
                Number(0..=20),
                |coap: &mut Parameters| &mut coap.max_retransmit,
                "MAX_RETRANSMIT",
            ),
            key(
                "coap.nstart",
                Number(1..=256),
                |coap: &mut Parameters| &mut coap.nstart,
                "outstanding Confirmable messages of one observation; other observations, and responses, do not wait for \
                 them",
            ),
            key(
                "coap.max_exchanges",
                Number(1..=1024),
                |coap: &mut Parameters| &mut coap.max_exchanges,
                "concurrent requests of one session",
            ),
            key(
                "coap.queue",
                Number(0..=65_536),
                |coap: &mut Parameters| &mut coap.queue,
                "requests of one session that wait for one of those to end; beyond it they get 5.03",
            ),
            key(
                MAX_BODY,
                Size(64..=16 * MIB),
                |coap: &mut Parameters| &mut coap.max_body,
                "the largest request body, sent whole or in blocks",
            ),
            key(
                BODY_BYTES,
                Size(64 * KIB..=16 * KIB * MIB),
                |coap: &mut Parameters| &mut coap.body_bytes,
                "memory for bodies that come or go in blocks, and for requests that wait, of all devices together",
            ),
        ],
    }
}

/// Checks that all devices together may send as much as one, and that acknowledgements are in time.
pub(super) fn check(reader: &mut Reader, coap: &Parameters) {
    if coap.body_bytes < coap.max_body {
        let key = if reader.is_set(BODY_BYTES) {
            BODY_BYTES
        } else {
            MAX_BODY
        };
        let found = format!(
            "bodies of up to {} bytes, and {} bytes for those of all devices",
            coap.max_body, coap.body_bytes
        );
        let expected = "coap.body_bytes at least coap.max_body, better a hundred times that";
        reader.mistake(key, found, expected);
    }
    if coap.piggyback_timeout >= coap.ack_timeout {
        // RFC 7252 §5.2.1: the acknowledgement has to come before the client sends again.
        let message =
            "not shorter than coap.ack_timeout: devices send again before they are acknowledged";
        reader.warn(PIGGYBACK_TIMEOUT, message);
    }
}
