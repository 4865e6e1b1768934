//! What a gateway does with a session: a receive window, requests that are forwarded once, answers that leave when the
//! store has them.

use crate::id::SessionKey;
use crate::path::Route;
use crate::replica::{Replica, SaveId};
use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::time::Instant;

/// A session in memory.
#[derive(Debug, Default)]
pub(super) struct Session {
    pub(super) device: usize,
    pub(super) received: BTreeSet<u64>,
    pub(super) answered: BTreeSet<u64>,
    /// Of these, those whose answers may leave again.
    pub(super) released: BTreeSet<u64>,
    pub(super) forwarded: BTreeSet<u64>,
    pub(super) route: Option<Route>,
}

impl Session {
    pub(super) fn encode(&self) -> Vec<u8> {
        let mut out = Vec::new();
        for number in [self.device, self.received.len()] {
            out.extend(u64::try_from(number).unwrap().to_be_bytes());
        }
        for number in self.received.iter().chain(&self.answered) {
            out.extend(number.to_be_bytes());
        }
        out
    }

    pub(super) fn decode(row: &[u8]) -> Session {
        let mut numbers = row
            .chunks(8)
            .map(|chunk| u64::from_be_bytes(chunk.try_into().unwrap()));
        let device = numbers.next().unwrap().try_into().unwrap();
        let received = numbers.next().unwrap().try_into().unwrap();
        let received = numbers.by_ref().take(received).collect();
        let answered: BTreeSet<u64> = numbers.collect();
        Session {
            device,
            received,
            released: answered.clone(),
            answered,
            ..Session::default()
        }
    }
}

/// A process.
pub(super) struct Gateway {
    pub(super) replica: Replica,
    pub(super) address: SocketAddr,
    pub(super) is_alive: bool,
    /// It is stopping: the balancer sends nothing to it.
    pub(super) is_stopping: bool,
    /// It does nothing until then: the scheduler, a debugger, a virtual machine that is moved.
    pub(super) stalled_until: Instant,
    pub(super) sessions: BTreeMap<SessionKey, Session>,
    pub(super) saves: BTreeMap<SaveId, (SessionKey, u64)>,
    /// Sessions whose devices it follows.
    pub(super) followed: BTreeSet<SessionKey>,
    /// The connection to the store: calls of an earlier one are not carried out.
    pub(super) connection: u64,
    /// When the last call and the last reply arrive, so that later ones come later.
    pub(super) last_call: Instant,
    pub(super) last_reply: Instant,
    pub(super) timer: Option<Instant>,
}
