//! Which ClientHellos begin a handshake, and what is answered to the others (RFC 6347 §4.2.1, RFC 9147 §5.1).
//!
//! Nearly all are answered with a cookie and without state. A hello that returns its cookie waits until a handshake can begin.
//! All of this is bounded: by rates, by places, and by the share of a source. Nothing here knows sessions.

mod budgets;
mod dtls12;
mod dtls13;
mod fragmented_hellos;
mod history;
mod pending_hellos;
mod rate_limit;
mod recent_set;

use super::dtls13::cookie::Cookies as Cookies13;
use super::path::Path;
use super::{Counters, HandshakeFailure, Parameters};
use budgets::{Budget, Budgets};
use dtls_server::cookie::Cookies as Cookies12;
use fragmented_hellos::FragmentedHellos;
use history::RegisteredSources;
use pending_hellos::{Overflow, PendingHellos};
use rate_limit::AddressLimit;
use recent_set::RecentSet;
use std::net::{IpAddr, SocketAddr};
use std::time::Instant;

#[cfg(test)]
pub(super) use history::History;
pub(super) use pending_hellos::{Hello, PendingHello};

/// Slots for hellos that were not answered: one survives for seconds under 50,000 others a second.
const UNANSWERED: usize = 1 << 18;

/// Slots for sources whose hellos are fragmented: they are few.
const FRAGMENTED_SOURCES: usize = 1 << 12;

/// What the index knows of a hello's path.
#[derive(Debug, Clone, Copy)]
pub(super) struct Known {
    /// There is an established session.
    pub(super) established: bool,
    /// There is a handshake whose address is proven.
    pub(super) proven: bool,
    /// The established session began with the same random a short time ago.
    pub(super) began_with_it: bool,
    /// A new session would exceed `limits.sessions`.
    pub(super) is_full: bool,
}

/// What to do with a hello.
#[derive(Debug)]
pub(super) enum Admitted {
    /// Send this.
    Reply(Vec<u8>),
    /// Begin a handshake of DTLS 1.3 whose address is not proven.
    Begin,
    /// The handshake has failed. Send this alert, if there is one.
    Failed(HandshakeFailure, Option<Vec<u8>>),
    /// Nothing. It is counted, or waits.
    Nothing,
}

/// Decides about ClientHellos.
pub(super) struct Admission {
    budgets: Budgets,
    /// Since the first hello. `None` besides if the system has no random bytes; then no cookies are sent.
    cookies12: Option<Cookies12>,
    cookies13: Cookies13,
    /// Clients with a valid cookie, until a handshake may begin.
    pub(super) pending: PendingHellos,
    fragmented: FragmentedHellos,
    /// First hellos that were not answered. A client repeats its hello, a forger sends another.
    unanswered: RecentSet,
    /// Sources whose hellos of DTLS 1.3 are fragmented once they contain a cookie: the next first hello gets an engine, which
    /// sees both.
    fragmented_sources: RecentSet,
    registered: RegisteredSources,
    pub(super) address_limit: AddressLimit,
    /// Whether new handshakes are refused.
    is_closed: bool,
    /// When to start handshakes for the pending clients, unless a place becomes free earlier.
    pub(super) next_start: Option<Instant>,
}

impl Admission {
    pub(super) fn new(parameters: &Parameters) -> Admission {
        Admission {
            budgets: Budgets::new(parameters.hellos),
            cookies12: None,
            cookies13: Cookies13::default(),
            pending: PendingHellos::new(parameters.handshakes),
            fragmented: FragmentedHellos::new(parameters.handshakes),
            unanswered: RecentSet::new(UNANSWERED),
            fragmented_sources: RecentSet::new(FRAGMENTED_SOURCES),
            registered: RegisteredSources::default(),
            address_limit: AddressLimit::new(parameters.handshakes_per_address),
            is_closed: false,
            next_start: None,
        }
    }

    /// Refuses new handshakes from now on.
    pub(super) fn close(&mut self) {
        self.is_closed = true;
        self.pending.clear();
        self.fragmented.clear();
    }

    pub(super) fn is_closed(&self) -> bool {
        self.is_closed
    }

    /// A registered device has completed a handshake from here, which does not count for the limit of its address.
    pub(super) fn registered(&mut self, now: Instant, remote: SocketAddr) {
        self.address_limit.refund(now, remote.ip());
        self.registered.insert(now, remote);
    }

    /// Whether a registered device has recently completed a handshake from this host.
    pub(super) fn is_known_host(&self, now: Instant, host: IpAddr) -> bool {
        self.registered.has_host(now, host)
    }

    #[cfg(test)]
    pub(super) fn history(&self, now: Instant, path: Path) -> History {
        self.registered.history(now, path)
    }

    /// Takes a token for the reply to a first hello. When they are exhausted, repeated hellos have more: a client whose
    /// hello is not answered sends the same one again, and a forger sends another.
    fn may_reply(&mut self, now: Instant, path: Path, random: &[u8; 32]) -> bool {
        if self.budgets.take(now, Budget::CookieReplies) {
            return true;
        }
        let hello = (path, random);
        let may_reply =
            self.unanswered.contains(&hello) && self.budgets.take(now, Budget::RepliesToRepeated);
        if may_reply {
            self.unanswered.remove(&hello);
        } else {
            self.unanswered.insert(&hello);
        }
        may_reply
    }

    /// Takes a token for a repeated hello, or a further fragment, of an unproven handshake. This limit is separate from that
    /// of new handshakes, so that a flood of those leaves room for clients that return their cookie.
    pub(super) fn may_repeat(&mut self, now: Instant) -> bool {
        self.budgets.take(now, Budget::HandshakeRepeats)
    }

    /// Lets a hello with a valid cookie wait until a handshake can begin.
    fn wait(
        &mut self,
        now: Instant,
        path: Path,
        random: [u8; 32],
        hello: Hello,
        counters: &mut Counters,
    ) {
        let history = self.registered.history(now, path);
        match self.pending.push(now, path, random, hello, history) {
            Overflow::None => {}
            Overflow::Host => counters.over_address_budget += 1,
            Overflow::Total => counters.half_open_full += 1,
        }
        // After the other datagrams of this batch: those of sessions may be behind it.
        self.next_start = Some(now);
    }

    /// Whether inserting the first key would overwrite the other one in the set of unanswered hellos.
    #[cfg(test)]
    pub(super) fn collide(&self, one: &(Path, [u8; 32]), other: &(Path, [u8; 32])) -> bool {
        self.unanswered.collide(one, other)
    }
}
