//! The text format. The only file that names Prometheus's library.

use super::{Family, Histogram, Samples, Scrape};
use prometheus_client::collector::Collector;
use prometheus_client::encoding::{
    DescriptorEncoder, MetricEncoder, NoLabelSet, text::encode as encode_text,
};
use prometheus_client::metrics::MetricType;
use prometheus_client::registry::Registry;
use std::fmt;

/// Writes all families, and `# EOF`.
pub(super) fn encode(scrape: Scrape) -> String {
    let mut registry = Registry::default();
    registry.register_collector(Box::new(scrape));
    let mut text = String::new();
    // Writing to a String can't fail.
    let _ = encode_text(&mut text, &registry);
    text
}

impl Collector for Scrape {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        self.families
            .iter()
            .try_for_each(|family| family.encode(&mut encoder))
    }
}

impl Family {
    fn encode(&self, encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
        let kind = match self.samples {
            Samples::Counter(_) | Samples::Seconds(_) => MetricType::Counter,
            Samples::Gauge(_) => MetricType::Gauge,
            Samples::Histogram(_) => MetricType::Histogram,
        };
        let mut metric = encoder.encode_descriptor(self.name, self.help, None, kind)?;
        match &self.samples {
            Samples::Counter(all) => each(&mut metric, all, |metric, count| {
                metric.encode_counter::<NoLabelSet, u64, u64>(count, None)
            }),
            Samples::Seconds(seconds) => {
                metric.encode_counter::<NoLabelSet, f64, f64>(seconds, None)
            }
            Samples::Gauge(all) => {
                each(&mut metric, all, |metric, level| metric.encode_gauge(level))
            }
            Samples::Histogram(all) => each(&mut metric, all, encode_histogram),
        }
    }
}

fn each<T>(
    metric: &mut MetricEncoder<'_>,
    all: &[(Vec<super::Label>, T)],
    encode: impl Fn(&mut MetricEncoder<'_>, &T) -> fmt::Result,
) -> fmt::Result {
    for (labels, value) in all {
        if labels.is_empty() {
            encode(metric, value)?;
        } else {
            encode(&mut metric.encode_family(labels)?, value)?;
        }
    }
    Ok(())
}

fn encode_histogram(metric: &mut MetricEncoder<'_>, histogram: &Histogram) -> fmt::Result {
    let buckets: Vec<(f64, u64)> = histogram.buckets().collect();
    metric.encode_histogram::<NoLabelSet>(
        histogram.sum().as_secs_f64(),
        histogram.count(),
        &buckets,
        None,
    )
}
