//! Hellos of DTLS 1.2: nothing is kept, and no engine made, before a client has returned its cookie.

use super::{Admission, Admitted, Budget, Hello, Known};
use crate::dtls::Counters;
use crate::dtls::path::Path;
use crate::dtls::record::ClientHello;
use dtls_server::cookie::{CookieReply, Cookies};
use dtls_server::crypto::random::SystemRandom;
use std::net::IpAddr;
use std::time::Instant;

impl Admission {
    /// Decides about a hello, or the first fragment of one.
    pub(in crate::dtls) fn admit12(
        &mut self,
        now: Instant,
        path: Path,
        known: Known,
        hello: &ClientHello,
        datagram: &[u8],
        counters: &mut Counters,
    ) -> Admitted {
        let is_first = hello.message_sequence == 0;
        // Before anything else is computed.
        if is_first && !self.may_reply(now, path, &hello.random) {
            counters.over_hello_budget += 1;
            return Admitted::Nothing;
        }
        if self.cookies12.is_none() {
            self.cookies12 = Cookies::new(&mut SystemRandom, now).ok();
        }
        let Some(cookies) = &self.cookies12 else {
            counters.engine_failures += 1;
            return Admitted::Nothing;
        };
        match cookies.reply(now, &source(path), datagram) {
            CookieReply::Verify(reply) => {
                if !is_first {
                    // RFC 6347 §4.2.1: an invalid cookie counts as none.
                    counters.unknown_cookies += 1;
                    if !self.budgets.take(now, Budget::RepliesToWrongCookies) {
                        counters.over_hello_budget += 1;
                        return Admitted::Nothing;
                    }
                }
                counters.cookies_sent += 1;
                return Admitted::Reply(reply);
            }
            // The session on this path began with this very hello: it is a late copy, or replayed.
            CookieReply::Verified(_) | CookieReply::FirstFragment(_) if known.began_with_it => {
                counters.without_effect += 1;
            }
            CookieReply::Verified(verified) => {
                self.wait(now, path, hello.random, Hello::Dtls12(verified), counters);
            }
            CookieReply::FirstFragment(fragmented) => {
                if self.address_limit.is_exhausted(now, path.remote.ip()) {
                    counters.over_address_budget += 1;
                } else if !self.budgets.take(now, Budget::FragmentedWithCookie) {
                    counters.over_hello_budget += 1;
                } else {
                    if self.fragmented.insert(now, path, hello.random, fragmented) {
                        // Even if the other fragments never come.
                        self.address_limit.count(now, path.remote.ip());
                    }
                    self.continue_hello(now, path, datagram, counters);
                }
            }
            CookieReply::LaterFragment | CookieReply::NotHello | CookieReply::Malformed => {
                counters.malformed_hellos += 1;
            }
        }
        Admitted::Nothing
    }

    /// Whether further fragments of a hello are expected on this path.
    pub(in crate::dtls) fn expects_fragments(&self, path: Path) -> bool {
        self.fragmented.contains(path)
    }

    /// Takes in further fragments of a hello.
    pub(in crate::dtls) fn continue_hello(
        &mut self,
        now: Instant,
        path: Path,
        datagram: &[u8],
        counters: &mut Counters,
    ) {
        if let Some((random, verified)) = self.fragmented.continue_with(now, path, datagram) {
            // It counts when its handshake begins.
            self.address_limit.refund(now, path.remote.ip());
            self.wait(now, path, random, Hello::Dtls12(verified), counters);
        }
    }
}

/// What a cookie is bound to: the same number of bytes for any path.
fn source(path: Path) -> [u8; 35] {
    let local = path.local.map(address);
    let fields = address(path.remote.ip())
        .into_iter()
        .chain(path.remote.port().to_be_bytes())
        .chain([u8::from(local.is_some())])
        .chain(local.unwrap_or_default());
    let mut source = [0; 35];
    for (place, byte) in source.iter_mut().zip(fields) {
        *place = byte;
    }
    source
}

fn address(ip: IpAddr) -> [u8; 16] {
    match ip {
        IpAddr::V4(ip) => ip.to_ipv6_mapped().octets(),
        IpAddr::V6(ip) => ip.octets(),
    }
}
