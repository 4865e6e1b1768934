//! The stateless cookie exchange (RFC 6347 §4.2.1, RFC 9147 §5.1): a ClientHello without a cookie gets one, and a
//! ClientHello that returns it waits for a handshake. Nothing is stored in between.

use super::pending_hellos::Overflow;
use super::{Demux, Route};
use crate::dtls::hello::{StatelessHello, Version};
use crate::dtls::path::Path;
use crate::dtls::record::{self, alert};
use shares::source;
use std::time::Instant;

impl Demux {
    /// Handles a hello that can be answered without an engine.
    pub(super) fn receive_stateless_hello(
        &mut self,
        now: Instant,
        path: Path,
        route: Route,
        hello: &StatelessHello<'_>,
        datagram: &[u8],
    ) {
        if hello.cookie.is_empty() {
            return self.send_cookie(now, path, hello, datagram.len());
        }
        let is_valid = (self.cookies).is_valid(now, path, &hello.random, hello.cookie);
        if is_valid && hello.has_grown() {
            // By padding, if the client is honest (RFC 8446 §4.1.2). An engine that sees both hellos can decide.
            self.fragmented_sources
                .insert(&source::host(path.remote.ip()));
        }
        if !is_valid || hello.has_grown() {
            self.counters.unknown_cookies += 1;
            if !self.may_reply(now, path, &hello.random) {
                self.counters.over_hello_budget += 1;
                return;
            }
            match hello.version {
                // RFC 6347 §4.2.1: an invalid cookie counts as none.
                Version::Dtls12 => self.send_cookie(now, path, hello, datagram.len()),
                // RFC 9147 §5.1 has this alert. But where a device has a session, the address may be forged.
                Version::Dtls13(_) if self.has_no_proven_peer(path, route) => {
                    // Our answer to its first hello had the number before this one.
                    let sequence = u64::from(hello.sequence);
                    let alert = record::fatal_alert(sequence, alert::ILLEGAL_PARAMETER);
                    self.transmit(path, alert);
                }
                Version::Dtls13(_) => {}
            }
            return;
        }
        // The session on this path began with this very hello: it is a late copy, or replayed.
        let established = route.established.and_then(|id| self.sessions.get(&id));
        if established.is_some_and(|session| session.began_with(now, &hello.random)) {
            self.counters.without_effect += 1;
            return;
        }
        let history = self.history(now, path);
        match (self.pending_hellos).push(now, path, hello.random, datagram, history) {
            Overflow::None => {}
            Overflow::Host => self.counters.over_address_budget += 1,
            Overflow::Total => self.counters.half_open_full += 1,
        }
        // After the other datagrams of this batch: those of sessions may be behind it.
        self.next_start = Some(now);
    }

    /// Whether this is a hello with a cookie that we have sent, and not an engine.
    pub(super) fn has_valid_cookie(&mut self, now: Instant, path: Path, datagram: &[u8]) -> bool {
        StatelessHello::parse(datagram, &self.supported)
            .is_some_and(|hello| (self.cookies).is_valid(now, path, &hello.random, hello.cookie))
    }

    /// Takes a token for the reply to a first hello. When they are exhausted, repeated hellos have more: a client whose
    /// hello is not answered sends the same one again, and a forger sends another.
    pub(super) fn may_reply(&mut self, now: Instant, path: Path, random: &[u8; 32]) -> bool {
        if self.cookie_replies.take(now) {
            return true;
        }
        let hello = (path, random);
        let may_reply =
            self.unanswered.contains(&hello) && self.cookie_replies_to_repeats.take(now);
        if may_reply {
            self.unanswered.remove(&hello);
        } else {
            self.unanswered.insert(&hello);
        }
        may_reply
    }

    fn send_cookie(
        &mut self,
        now: Instant,
        path: Path,
        hello: &StatelessHello<'_>,
        received: usize,
    ) {
        let cookie = (self.cookies).issue(now, path, &hello.random, hello.length);
        let Some(cookie) = cookie else {
            self.counters.engine_failures += 1;
            return;
        };
        let reply = hello.reply(&cookie);
        // No amplification: a forged source address gets no more bytes than its forger sent.
        if reply.len() > received {
            self.counters.amplification_avoided += 1;
        } else {
            self.counters.cookies_sent += 1;
            self.transmit(path, reply);
        }
    }
}
