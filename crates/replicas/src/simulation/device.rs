//! A device: sends one request after the other, repeats each until it is answered, and shakes hands if nothing helps.

use crate::id::SessionKey;
use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::time::Instant;

/// A record, as far as this simulation goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Record {
    pub(super) key: SessionKey,
    pub(super) number: u64,
    pub(super) message: u64,
}

impl Record {
    pub(super) fn encode(self) -> Vec<u8> {
        let mut out = self.key.0.to_vec();
        out.extend(self.number.to_be_bytes());
        out.extend(self.message.to_be_bytes());
        out
    }

    pub(super) fn decode(bytes: &[u8]) -> Record {
        let number = |at: usize| u64::from_be_bytes(bytes[at..at + 8].try_into().unwrap());
        Record {
            key: SessionKey(bytes[..8].try_into().unwrap()),
            number: number(8),
            message: number(16),
        }
    }
}

#[derive(Debug)]
pub(super) struct Device {
    pub(super) has_connection_id: bool,
    pub(super) address: SocketAddr,
    pub(super) key: SessionKey,
    pub(super) next_number: u64,
    pub(super) message: u64,
    /// Since when it waits for an answer.
    pub(super) waits_since: Option<Instant>,
    pub(super) last_answer: Instant,
    pub(super) handshakes: u32,
    /// When the last handshake was.
    pub(super) began: Instant,
    /// A row of its session was in the store.
    pub(super) was_protected: bool,
    /// Nodes that it has sent to lately: only their answers get through the balancer.
    pub(super) flows: BTreeSet<usize>,
    /// What it has sent, to be repeated by the network or by an attacker.
    pub(super) sent: Vec<(SocketAddr, Record)>,
}

impl Device {
    pub(super) fn record(&mut self) -> Record {
        let record = Record {
            key: self.key,
            number: self.next_number,
            message: self.message,
        };
        self.next_number += 1;
        self.sent.push((self.address, record));
        record
    }
}
