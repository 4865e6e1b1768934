//! A link between an endpoint and a model of a client that loses, duplicates and reorders
//! datagrams.

use super::*;

/// The longest that a datagram is in flight, in seconds.
pub(super) const LONGEST_DELAY: f64 = 3.0;

/// The clock, and what is in flight: datagrams, and whatever else happens later.
pub(super) struct Link<F> {
    pub(super) now: Instant,
    pub(super) random: fastrand::Rng,
    /// The probability that a datagram is lost.
    pub(super) loss: f64,
    flights: Vec<(Instant, F)>,
}

impl<F> Link<F> {
    pub(super) fn new(random: fastrand::Rng, loss: f64) -> Link<F> {
        Link {
            #[expect(clippy::disallowed_methods, reason = "a test owns its clock")]
            now: Instant::now(),
            random,
            loss,
            flights: Vec::new(),
        }
    }

    /// Sends a datagram, which may be lost, duplicated and delayed.
    pub(super) fn send(&mut self, flight: fn(Vec<u8>) -> F, bytes: &[u8]) {
        let copies = if self.random.f64() < 0.1 { 2 } else { 1 };
        for _ in 0..copies {
            let delay = self.random.f64().powi(3) * LONGEST_DELAY;
            if self.random.f64() >= self.loss {
                self.after(delay, flight(bytes.to_vec()));
            }
        }
    }

    /// Delivers a flight after this many seconds.
    pub(super) fn after(&mut self, seconds: f64, flight: F) {
        let at = self.now + Duration::from_secs_f64(seconds);
        self.flights.push((at, flight));
    }

    /// Drops what is in flight, but these.
    pub(super) fn drop_flights(&mut self, keep: impl Fn(&F) -> bool) {
        self.flights.retain(|(_, flight)| keep(flight));
    }

    fn next(&self) -> Option<Instant> {
        self.flights.iter().map(|(at, _)| *at).min()
    }

    fn take_due(&mut self) -> Option<F> {
        let at = self.flights.iter().position(|(at, _)| *at <= self.now)?;
        Some(self.flights.swap_remove(at).1)
    }
}

/// An endpoint at one end of a link.
pub(super) trait World {
    type Flight;

    fn link(&mut self) -> &mut Link<Self::Flight>;
    fn endpoint(&self) -> &RemoteEndpoint;
    /// Processes a flight that has arrived.
    fn deliver(&mut self, flight: Self::Flight);
    fn handle_timeout(&mut self);

    /// Lets time pass up to `until`, or until nothing happens any more.
    fn run(&mut self, until: Option<Instant>) {
        loop {
            let timeout = self.endpoint().next_timeout();
            let next = [self.link().next(), timeout].into_iter().flatten().min();
            let Some(next) = next.filter(|next| until.is_none_or(|until| *next < until)) else {
                break;
            };
            let now = self.link().now.max(next);
            self.link().now = now;
            if timeout.is_some_and(|at| at <= now) {
                self.handle_timeout();
                let later = self.endpoint().next_timeout();
                assert!(later.is_none_or(|at| at > now), "nothing is left undone");
            }
            if let Some(flight) = self.link().take_due() {
                self.deliver(flight);
            }
        }
        let now = self.link().now;
        self.link().now = until.unwrap_or(now).max(now);
    }

    /// Pauses between 0 and 40 seconds, most of them short.
    fn pause(&mut self) {
        let pause = self.link().random.f64().powi(3) * 40.0;
        let until = self.link().now + Duration::from_secs_f64(pause);
        self.run(Some(until));
    }
}
