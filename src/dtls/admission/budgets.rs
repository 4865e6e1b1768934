//! Limits on hellos a second, in units of `limits.hellos`.

use super::rate_limit::TokenBucket;
use std::time::Instant;

/// What is limited.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::dtls) enum Budget {
    /// Replies with a cookie to first hellos.
    CookieReplies,
    /// Beyond them, replies to first hellos that are repeated.
    RepliesToRepeated,
    /// Replies to hellos of DTLS 1.2 with a wrong cookie, which has expired if the client is honest.
    RepliesToWrongCookies,
    /// Hellos in fragments, of which the first has a valid cookie.
    FragmentedWithCookie,
    /// Hellos that need an engine before they have a cookie (DTLS 1.3).
    EngineBeforeCookie,
    /// Repeated hellos, and further fragments, of unproven handshakes (DTLS 1.3).
    HandshakeRepeats,
}

impl Budget {
    const ALL: [Budget; 6] = [
        Budget::CookieReplies,
        Budget::RepliesToRepeated,
        Budget::RepliesToWrongCookies,
        Budget::FragmentedWithCookie,
        Budget::EngineBeforeCookie,
        Budget::HandshakeRepeats,
    ];

    fn a_second(self, hellos: u32) -> u32 {
        match self {
            // Each takes a MAC and a datagram, and no memory.
            Budget::CookieReplies => hellos.saturating_mul(2),
            Budget::RepliesToRepeated => hellos,
            Budget::RepliesToWrongCookies
            | Budget::FragmentedWithCookie
            | Budget::EngineBeforeCookie
            | Budget::HandshakeRepeats => hellos.div_ceil(2),
        }
    }
}

/// One token bucket each.
#[derive(Debug)]
pub(in crate::dtls) struct Budgets([(Budget, TokenBucket); Budget::ALL.len()]);

impl Budgets {
    pub(in crate::dtls) fn new(hellos: u32) -> Budgets {
        Budgets(Budget::ALL.map(|budget| (budget, TokenBucket::new(budget.a_second(hellos)))))
    }

    /// Takes a token; false if there is none.
    pub(in crate::dtls) fn take(&mut self, now: Instant, budget: Budget) -> bool {
        self.bucket(budget).is_some_and(|bucket| bucket.take(now))
    }

    /// Whether there is a token.
    pub(in crate::dtls) fn has(&mut self, now: Instant, budget: Budget) -> bool {
        self.bucket(budget).is_some_and(|bucket| bucket.has(now))
    }

    fn bucket(&mut self, budget: Budget) -> Option<&mut TokenBucket> {
        let mut all = self.0.iter_mut();
        all.find_map(|(name, bucket)| (*name == budget).then_some(bucket))
    }
}
