//! Hellos of DTLS 1.3. Nearly all are answered without an engine; the others (mostly fragmented ones) need one before their
//! address is proven, and are limited more tightly.

use super::{Admission, Admitted, Budget, Hello, Known};
use crate::dtls::dtls13::hello::{self, StatelessHello};
use crate::dtls::dtls13::supported::Supported;
use crate::dtls::path::Path;
use crate::dtls::record::{self, ClientHello, alert};
use crate::dtls::{Counters, HandshakeFailure};
use shares::source;
use std::time::Instant;

impl Admission {
    /// Decides about a hello, or the first fragment of one.
    #[expect(
        clippy::too_many_arguments,
        reason = "what is known of the hello, and what is counted"
    )]
    pub(in crate::dtls) fn admit13(
        &mut self,
        now: Instant,
        path: Path,
        known: Known,
        hello: &ClientHello,
        datagram: &[u8],
        supported: &Supported,
        counters: &mut Counters,
    ) -> Admitted {
        // Before anything else is parsed or allocated.
        if hello.message_sequence == 0 && !self.may_reply(now, path, &hello.random) {
            counters.over_hello_budget += 1;
            return Admitted::Nothing;
        }
        let source = source::host(path.remote.ip());
        // Only while that has tokens left: otherwise anyone could forge a fragment and delay the source's next hello.
        let is_fragmented = hello.message_sequence == 0
            && self.fragmented_sources.contains(&source)
            && self.budgets.has(now, Budget::EngineBeforeCookie)
            && self.fragmented_sources.remove(&source);
        if !known.is_full
            && !is_fragmented
            && let Some(hello) = StatelessHello::parse(datagram, supported)
        {
            return self.admit_stateless(now, path, known, &hello, datagram, counters);
        }
        if !self.budgets.take(now, Budget::EngineBeforeCookie) {
            counters.over_hello_budget += 1;
            return Admitted::Nothing;
        }
        let may_alert = self.has_no_proven_peer(path, known);
        let alert = |sequence: u16, description: u8| {
            may_alert.then(|| record::fatal_alert(sequence.into(), description))
        };
        if known.is_full {
            counters.sessions_full += 1;
            let alert = alert(hello.message_sequence, alert::INTERNAL_ERROR);
            return Admitted::Failed(HandshakeFailure::SessionsFull, alert);
        }
        // It continues a handshake that we don't have (any more). A new engine would not accept its cookie, and would take
        // the place of a handshake that can still complete. The alert makes the client start again (RFC 9147 §5.1).
        if hello.message_sequence != 0 {
            counters.unknown_cookies += 1;
            if hello::is_fragmented(datagram) {
                self.fragmented_sources.insert(&source);
            }
            // Our answer to its first hello had the number before this one.
            let alert = alert(hello.message_sequence, alert::ILLEGAL_PARAMETER);
            return alert.map_or(Admitted::Nothing, Admitted::Reply);
        }
        // The engine would silently ignore a hello without a common cipher suite, and the client would repeat it.
        let mut offered = hello.cipher_suites.iter();
        if !hello.cipher_suites.is_empty() && !offered.any(|it| supported.suites.contains(it)) {
            counters.handshakes_failed += 1;
            let failure = HandshakeFailure::no_common_cipher_suite(&hello.cipher_suites);
            // Not where a device has a session: the address may be forged.
            let alert = alert(hello.message_sequence, alert::HANDSHAKE_FAILURE);
            return Admitted::Failed(failure, alert);
        }
        if self.address_limit.is_exhausted(now, path.remote.ip()) {
            counters.over_address_budget += 1;
            return Admitted::Nothing;
        }
        Admitted::Begin
    }

    /// Decides about a hello that can be answered without an engine.
    fn admit_stateless(
        &mut self,
        now: Instant,
        path: Path,
        known: Known,
        hello: &StatelessHello<'_>,
        datagram: &[u8],
        counters: &mut Counters,
    ) -> Admitted {
        if hello.cookie.is_empty() {
            return self.cookie13(now, path, hello, datagram.len(), counters);
        }
        let is_valid = (self.cookies13).is_valid(now, path, &hello.random, hello.cookie);
        if is_valid && hello.has_grown() {
            // By padding, if the client is honest (RFC 8446 §4.1.2). An engine that sees both hellos can decide.
            self.fragmented_sources
                .insert(&source::host(path.remote.ip()));
        }
        if !is_valid || hello.has_grown() {
            counters.unknown_cookies += 1;
            if !self.may_reply(now, path, &hello.random) {
                counters.over_hello_budget += 1;
                return Admitted::Nothing;
            }
            // RFC 9147 §5.1 has this alert. But where a device has a session, the address may be forged.
            if !self.has_no_proven_peer(path, known) {
                return Admitted::Nothing;
            }
            // Our answer to its first hello had the number before this one.
            let sequence = u64::from(hello.sequence);
            return Admitted::Reply(record::fatal_alert(sequence, alert::ILLEGAL_PARAMETER));
        }
        // The session on this path began with this very hello: it is a late copy, or replayed.
        if known.began_with_it {
            counters.without_effect += 1;
            return Admitted::Nothing;
        }
        let datagram = Hello::Dtls13(datagram.to_vec());
        self.wait(now, path, hello.random, datagram, counters);
        Admitted::Nothing
    }

    /// Whether this is a hello with a cookie that we have sent, and not an engine.
    pub(in crate::dtls) fn has_valid_cookie13(
        &mut self,
        now: Instant,
        path: Path,
        datagram: &[u8],
        supported: &Supported,
    ) -> bool {
        StatelessHello::parse(datagram, supported)
            .is_some_and(|hello| (self.cookies13).is_valid(now, path, &hello.random, hello.cookie))
    }

    fn cookie13(
        &mut self,
        now: Instant,
        path: Path,
        hello: &StatelessHello<'_>,
        received: usize,
        counters: &mut Counters,
    ) -> Admitted {
        let cookie = (self.cookies13).issue(now, path, &hello.random, hello.length);
        let Some(cookie) = cookie else {
            counters.engine_failures += 1;
            return Admitted::Nothing;
        };
        let reply = hello.reply(&cookie);
        // No amplification: a forged source address gets no more bytes than its forger sent.
        if reply.len() > received {
            counters.amplification_avoided += 1;
            return Admitted::Nothing;
        }
        counters.cookies_sent += 1;
        Admitted::Reply(reply)
    }

    /// Whether no peer on this path has proven its address. Only then may an alert be sent there: it would end the
    /// handshake of a client whose address is forged.
    pub(in crate::dtls) fn has_no_proven_peer(&self, path: Path, known: Known) -> bool {
        !known.established
            && !known.proven
            && !self.pending.contains(path)
            && !self.expects_fragments(path)
    }
}
