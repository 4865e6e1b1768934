//! When connections are opened: at a bounded rate, those first that requests wait for; one at a time while ThingsBoard can't
//! be reached.
//!
//! A fleet that comes back, or a ThingsBoard that restarts, would otherwise be a burst of CONNECTs and TLS handshakes.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

/// Connections that are being opened at once.
const MOST_OPENING: usize = 256;
/// The rate's burst is what it allows in this time.
const BURST: Duration = Duration::from_millis(100);
/// While ThingsBoard can't be reached: the first wait until the next attempt, and the longest. Short, since there is one
/// attempt for all devices.
const FIRST_PROBE: Duration = Duration::from_millis(500);
const LONGEST_PROBE: Duration = Duration::from_secs(5);

/// The queue of those that wait to open a connection. `W` wakes one of them.
#[derive(Debug)]
pub(super) struct Opening<W> {
    per_second: f64,
    tokens: f64,
    refilled: Instant,
    /// Those with requests, and those without.
    busy: VecDeque<W>,
    idle: VecDeque<W>,
    opening: usize,
    outage: Option<Outage>,
}

#[derive(Debug, Clone, Copy)]
struct Outage {
    next_probe: Instant,
    wait: Duration,
    is_probing: bool,
}

impl<W> Opening<W> {
    pub(super) fn new(now: Instant, per_second: u32) -> Opening<W> {
        let per_second = f64::from(per_second.max(1));
        Opening {
            per_second,
            tokens: burst(per_second),
            refilled: now,
            busy: VecDeque::new(),
            idle: VecDeque::new(),
            opening: 0,
            outage: None,
        }
    }

    pub(super) fn push(&mut self, waiter: W, is_busy: bool) {
        match is_busy {
            true => self.busy.push_back(waiter),
            false => self.idle.push_back(waiter),
        }
    }

    /// The next one that may open a connection now. Then [`succeeded`](Self::succeeded), [`failed`](Self::failed) or
    /// [`cancelled`](Self::cancelled) is to be called.
    pub(super) fn pop(&mut self, now: Instant) -> Option<W> {
        let passed = now.saturating_duration_since(self.refilled);
        self.refilled = now;
        self.tokens += passed.as_secs_f64() * self.per_second;
        self.tokens = self.tokens.min(burst(self.per_second));
        match &self.outage {
            Some(outage) if outage.is_probing || now < outage.next_probe => return None,
            Some(_) => {}
            None if self.tokens < 1.0 || self.opening >= MOST_OPENING => return None,
            None => {}
        }
        let waiter = self.busy.pop_front().or_else(|| self.idle.pop_front())?;
        self.tokens = (self.tokens - 1.0).max(0.0);
        self.opening += 1;
        if let Some(outage) = &mut self.outage {
            outage.is_probing = true;
        }
        if self.is_empty() {
            self.busy = VecDeque::new();
            self.idle = VecDeque::new();
        }
        Some(waiter)
    }

    /// The next one with requests, if ThingsBoard can't be reached: these are not to wait for it.
    pub(super) fn pop_refused(&mut self, now: Instant) -> Option<W> {
        match self.is_out(now) {
            true => self.busy.pop_front(),
            false => None,
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.busy.is_empty() && self.idle.is_empty()
    }

    pub(super) fn waiting(&self) -> usize {
        self.busy.len() + self.idle.len()
    }

    /// ThingsBoard has answered, even if it has refused the connection.
    pub(super) fn succeeded(&mut self) {
        self.opening = self.opening.saturating_sub(1);
        self.outage = None;
    }

    /// ThingsBoard can't be reached. `jitter`: from 0 to 1.
    pub(super) fn failed(&mut self, now: Instant, jitter: f64) {
        self.opening = self.opening.saturating_sub(1);
        let wait = match self.outage {
            // Others were being opened when it began.
            Some(outage) if !outage.is_probing => return,
            Some(outage) => (outage.wait * 2).min(LONGEST_PROBE),
            None => FIRST_PROBE,
        };
        self.outage = Some(Outage {
            next_probe: now + wait.mul_f64(0.5 + jitter / 2.0),
            wait,
            is_probing: false,
        });
    }

    /// The connection is not opened after all.
    pub(super) fn cancelled(&mut self) {
        self.opening = self.opening.saturating_sub(1);
        if let Some(outage) = &mut self.outage {
            outage.is_probing = false;
        }
    }

    /// The one that was popped does not need a connection any more: as if it had not been popped.
    pub(super) fn refund(&mut self) {
        self.cancelled();
        self.tokens += 1.0;
    }

    /// Whether a request that needs a new connection would wait for ThingsBoard to be reachable again.
    pub(super) fn is_out(&self, now: Instant) -> bool {
        self.outage
            .is_some_and(|outage| outage.is_probing || now < outage.next_probe)
    }
}

fn burst(per_second: f64) -> f64 {
    (per_second * BURST.as_secs_f64()).max(1.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    fn opening(per_second: u32) -> (Opening<u32>, Instant) {
        #[expect(clippy::disallowed_methods, reason = "a test owns its clock")]
        let now = Instant::now();
        (Opening::new(now, per_second), now)
    }

    #[test]
    fn connections_are_opened_at_the_rate_and_busy_ones_first() {
        let (mut opening, mut now) = opening(100);
        for waiter in 0..500 {
            opening.push(waiter, waiter % 5 == 0);
        }
        let mut opened = Vec::new();
        for _ in 0..4000 {
            while let Some(waiter) = opening.pop(now) {
                opened.push(waiter);
                opening.succeeded();
            }
            now += MS;
        }
        assert!((400..=411).contains(&opened.len()), "{}", opened.len());
        assert!(opened[..100].iter().all(|waiter| waiter % 5 == 0));
        assert!(opened[100..].is_sorted());
    }

    #[test]
    fn only_so_many_are_being_opened_at_once() {
        let (mut opening, mut now) = opening(100_000);
        for waiter in 0..1000 {
            opening.push(waiter, true);
        }
        let mut opened = 0;
        for _ in 0..100 {
            while opening.pop(now).is_some() {
                opened += 1;
            }
            now += MS;
        }
        assert_eq!(opened, MOST_OPENING);
        opening.cancelled();
        assert!(opening.pop(now).is_some());
        assert!(opening.pop(now).is_none());
    }

    #[test]
    fn one_attempt_at_a_time_finds_that_thingsboard_is_back() {
        let (mut opening, mut now) = opening(1000);
        for waiter in 0..50 {
            opening.push(waiter, false);
        }
        // Three are being opened when it goes.
        for _ in 0..3 {
            opening.pop(now).unwrap();
        }
        for _ in 0..3 {
            opening.failed(now, 1.0);
        }
        let mut attempts = Vec::new();
        let begin = now;
        while now < begin + Duration::from_secs(30) {
            if opening.pop(now).is_some() {
                attempts.push((now - begin).as_millis());
                assert_eq!(opening.pop(now), None);
                assert!(opening.is_out(now));
                opening.failed(now, 1.0);
            }
            now += MS;
        }
        let expected = [500, 1500, 3500, 7500, 12_500, 17_500, 22_500, 27_500];
        assert_eq!(attempts, expected);
        now += Duration::from_secs(5);
        opening.pop(now).unwrap();
        opening.succeeded();
        assert!(!opening.is_out(now));
        let left = std::iter::from_fn(|| opening.pop(now)).count();
        assert_eq!(left, 38);
    }
}
