use super::*;
use std::time::Duration;

#[test]
fn the_text_is_what_prometheus_reads() {
    let mut histogram = Histogram::default();
    histogram.observe(Duration::from_millis(1500));
    let mut scrape = Scrape::default();
    scrape.counter("a_requests", "How many", 3);
    scrape.gauges_by("b_bytes", "How much", "of", [("x", 1.5), ("y\"\\\n", 0.0)]);
    scrape.histograms_by("c_seconds", "How long", "lane", [("slow", histogram)]);
    let text = scrape.text();
    for lines in [
        "# HELP a_requests How many\n# TYPE a_requests counter\na_requests_total 3\n",
        "# TYPE b_bytes gauge\nb_bytes{of=\"x\"} 1.5\nb_bytes{of=\"y\\\"\\\\\\n\"} 0.0\n",
        "# TYPE c_seconds histogram\nc_seconds_sum{lane=\"slow\"} 1.5\nc_seconds_count{lane=\"slow\"} 1\n",
        "c_seconds_bucket{le=\"1.0\",lane=\"slow\"} 0\nc_seconds_bucket{le=\"2.0\",lane=\"slow\"} 1\n",
        "c_seconds_bucket{le=\"+Inf\",lane=\"slow\"} 1\n# EOF\n",
    ] {
        assert!(text.contains(lines), "{lines} is not in:\n{text}");
    }
}
