//! DTLS 1.3 (RFC 9147), by a library that only [`engine`] names. Everything in this room exists because of it, and serves only
//! clients that offer 1.3 where `dtls.versions` has it.
//!
//! | Part | Owns |
//! |---|---|
//! | [`hello`] | an unfragmented ClientHello, and the reply to it without an engine |
//! | [`cookie`] | stateless cookies that prove an address |
//! | [`inbound`] | the filter in front of an engine: which records of a datagram reach it |
//! | [`engine`] | the engine, and what the library calls back |

pub(crate) mod cookie;
pub(crate) mod engine;
pub(crate) mod hello;
pub(crate) mod inbound;
pub(crate) mod supported;

use super::handshakes::Buffered;
use super::record;
use engine::{Engine, EngineOutput};
use inbound::InboundFilter;

/// One client's handshake or session.
pub(super) struct Dtls13 {
    pub(super) engine: Engine,
    /// Decides which records reach the engine.
    pub(super) inbound: InboundFilter,
    /// Whether the engine has accepted the client's cookie.
    pub(super) is_proven: bool,
    /// Bytes that may still be sent while it is unproven: those received less those sent.
    pub(super) credit: usize,
    /// The negotiated cipher suite, read from the ServerHello: the engine does not report it.
    pub(super) cipher_suite: Option<u16>,
    next_plaintext_sequence: u64,
}

impl Dtls13 {
    /// `records_sent`: how many records were sent before, one cookie for each ClientHello.
    pub(super) fn new(engine: Engine, records_sent: u16) -> Dtls13 {
        Dtls13 {
            engine,
            inbound: InboundFilter::new(records_sent),
            is_proven: false,
            credit: 0,
            cipher_suite: None,
            next_plaintext_sequence: records_sent.into(),
        }
    }

    /// What it buffers of a handshake.
    pub(super) fn buffered(&self) -> Buffered {
        let mut buffered = self.engine.buffered();
        buffered.unfinished += self.inbound.buffered();
        buffered
    }

    /// Reads what it needs from the datagrams to be sent. Whether one of them shows that the engine has accepted the
    /// client's cookie.
    pub(super) fn inspect(&mut self, outputs: &[EngineOutput]) -> bool {
        let mut beyond_cookie = false;
        for output in outputs {
            if let EngineOutput::Transmit(datagram) = output {
                let outbound = record::inspect_outbound(datagram);
                beyond_cookie |= outbound.beyond_cookie;
                self.cipher_suite = outbound.cipher_suite.or(self.cipher_suite);
                self.next_plaintext_sequence = self
                    .next_plaintext_sequence
                    .max(outbound.next_plaintext_sequence.unwrap_or_default());
            }
        }
        beyond_cookie
    }

    /// A plaintext fatal alert, numbered after the engine's records in epoch 0.
    pub(super) fn fatal_alert(&self, description: u8) -> Vec<u8> {
        record::fatal_alert(self.next_plaintext_sequence, description)
    }
}
