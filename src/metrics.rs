//! Metrics for Prometheus: families of samples, and their text format.
//!
//! Nothing is counted here. Each room keeps plain numbers, of which a [`Scrape`] is made on request. So each count has one
//! place, and none is shared between threads.
//!
//! [`text`] is the only file that names Prometheus's library.

mod histogram;
mod process;
mod tally;
mod text;

pub(crate) use histogram::Histogram;
pub(crate) use process::process;
pub(crate) use tally::Tally;

use std::borrow::Cow;

/// A label's name and value. Nothing that a peer chooses (a device's name, an address, a path) is a value: their number has
/// no bound.
pub(crate) type Label = (&'static str, Cow<'static, str>);

/// All metrics at one moment.
#[derive(Debug, Default)]
pub(crate) struct Scrape {
    families: Vec<Family>,
}

/// One metric: a sample for each combination of labels.
#[derive(Debug)]
struct Family {
    name: &'static str,
    help: &'static str,
    samples: Samples,
}

#[derive(Debug)]
enum Samples {
    Counter(Vec<(Vec<Label>, u64)>),
    Seconds(f64),
    Gauge(Vec<(Vec<Label>, f64)>),
    Histogram(Vec<(Vec<Label>, Histogram)>),
}

impl Scrape {
    /// Adds a counter. The text appends `_total` to its name.
    pub(crate) fn counter(&mut self, name: &'static str, help: &'static str, count: u64) {
        self.counters(name, help, [(Vec::new(), count)]);
    }

    /// Adds a counter with one label.
    pub(crate) fn counters_by(
        &mut self,
        name: &'static str,
        help: &'static str,
        label: &'static str,
        counts: impl IntoIterator<Item = (&'static str, u64)>,
    ) {
        let one = |(value, count)| (vec![(label, Cow::Borrowed(value))], count);
        self.counters(name, help, counts.into_iter().map(one));
    }

    /// Adds a counter with several labels.
    pub(crate) fn counters(
        &mut self,
        name: &'static str,
        help: &'static str,
        counts: impl IntoIterator<Item = (Vec<Label>, u64)>,
    ) {
        let samples = Samples::Counter(counts.into_iter().collect());
        self.push(name, help, samples);
    }

    /// Adds a counter of seconds. The text appends `_total` to its name.
    pub(crate) fn seconds(&mut self, name: &'static str, help: &'static str, seconds: f64) {
        self.push(name, help, Samples::Seconds(seconds));
    }

    pub(crate) fn gauge(&mut self, name: &'static str, help: &'static str, level: f64) {
        self.gauges(name, help, [(Vec::new(), level)]);
    }

    /// Adds a gauge with one label.
    pub(crate) fn gauges_by(
        &mut self,
        name: &'static str,
        help: &'static str,
        label: &'static str,
        levels: impl IntoIterator<Item = (&'static str, f64)>,
    ) {
        let one = |(value, level)| (vec![(label, Cow::Borrowed(value))], level);
        self.gauges(name, help, levels.into_iter().map(one));
    }

    /// Adds a gauge with several labels.
    pub(crate) fn gauges(
        &mut self,
        name: &'static str,
        help: &'static str,
        levels: impl IntoIterator<Item = (Vec<Label>, f64)>,
    ) {
        let samples = Samples::Gauge(levels.into_iter().collect());
        self.push(name, help, samples);
    }

    /// Adds a histogram of durations with one label.
    pub(crate) fn histograms_by(
        &mut self,
        name: &'static str,
        help: &'static str,
        label: &'static str,
        all: impl IntoIterator<Item = (&'static str, Histogram)>,
    ) {
        let one = |(value, histogram)| (vec![(label, Cow::Borrowed(value))], histogram);
        let samples = Samples::Histogram(all.into_iter().map(one).collect());
        self.push(name, help, samples);
    }

    fn push(&mut self, name: &'static str, help: &'static str, samples: Samples) {
        self.families.push(Family {
            name,
            help,
            samples,
        });
    }

    /// The text, as `application/openmetrics-text; version=1.0.0`.
    pub(crate) fn text(self) -> String {
        text::encode(self)
    }
}

/// A size as a gauge's value. Exact up to 2^53.
#[expect(clippy::as_conversions, reason = "there is no other way to a float")]
#[expect(clippy::cast_precision_loss, reason = "exact up to 2^53")]
pub(crate) fn level(size: usize) -> f64 {
    size as f64
}

/// 1 for `true`, 0 for `false`.
pub(crate) fn bool_gauge(value: bool) -> f64 {
    f64::from(u8::from(value))
}

#[cfg(test)]
mod tests;
