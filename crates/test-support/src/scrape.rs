//! A strict parser of OpenMetrics text: what it accepts, Prometheus accepts.

use std::collections::{BTreeMap, BTreeSet};

/// The type of a metric family.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    Counter,
    Gauge,
    Histogram,
}

/// A line with a value.
#[derive(Debug)]
pub struct Sample {
    pub family: String,
    pub name: String,
    pub labels: BTreeMap<String, String>,
    pub value: f64,
}

/// All families and samples of one scrape.
pub struct Scrape {
    pub families: BTreeMap<String, Kind>,
    /// What each family means.
    pub help: BTreeMap<String, String>,
    pub samples: Vec<Sample>,
}

impl Scrape {
    /// Parses the text. Panics on any error.
    pub fn read(text: &str) -> Scrape {
        let body = text
            .strip_suffix("# EOF\n")
            .expect("the end mark, at the end");
        let (mut families, mut samples) = (BTreeMap::new(), Vec::new());
        let mut meanings = BTreeMap::new();
        let (mut current, mut help) = (String::new(), String::new());
        let mut seen = BTreeSet::new();
        for line in body.lines() {
            if let Some(rest) = line.strip_prefix("# HELP ") {
                let (name, words) = rest.split_once(' ').expect("help");
                assert!(!words.is_empty(), "{line}");
                help = name.to_owned();
                meanings.insert(name.to_owned(), words.to_owned());
            } else if let Some(rest) = line.strip_prefix("# TYPE ") {
                let (name, kind) = rest.split_once(' ').expect("a type");
                assert_eq!(name, help, "each type has its help before it");
                let kind = match kind {
                    "counter" => Kind::Counter,
                    "gauge" => Kind::Gauge,
                    "histogram" => Kind::Histogram,
                    other => panic!("{other}"),
                };
                current = name.to_owned();
                let before = families.insert(name.to_owned(), kind);
                assert_eq!(before, None, "{name} appears twice");
            } else {
                let sample = sample(line, &current);
                let suffix = sample.name.strip_prefix(&current).expect(line);
                let fits = match families[&current] {
                    Kind::Counter => suffix == "_total",
                    Kind::Gauge => suffix.is_empty(),
                    Kind::Histogram => ["_sum", "_count", "_bucket"].contains(&suffix),
                };
                assert!(fits, "{line} within {current}");
                let key = (sample.name.clone(), sample.labels.clone());
                assert!(seen.insert(key), "{line} appears twice");
                samples.push(sample);
            }
        }
        let scrape = Scrape {
            families,
            help: meanings,
            samples,
        };
        scrape.check_histograms();
        scrape
    }

    /// Asserts that buckets are cumulative, and that the last one holds all.
    fn check_histograms(&self) {
        let mut last: BTreeMap<(String, BTreeMap<String, String>), (f64, f64)> = BTreeMap::new();
        for sample in self.samples.iter().filter(|s| s.name.ends_with("_bucket")) {
            let mut labels = sample.labels.clone();
            let bound = labels.remove("le").expect("an upper end");
            let bound = bound.replace("+Inf", "inf").parse().unwrap();
            let before = last.insert((sample.family.clone(), labels), (bound, sample.value));
            if let Some((lower, fewer)) = before {
                assert!(bound > lower && sample.value >= fewer, "{sample:?}");
            }
        }
        for ((family, labels), (bound, all)) in last {
            assert_eq!(bound, f64::INFINITY);
            let labels: Vec<(&str, &str)> = labels
                .iter()
                .map(|(label, value)| (label.as_str(), value.as_str()))
                .collect();
            assert_eq!(self.value(&format!("{family}_count"), &labels), all);
        }
    }

    /// All samples of this name.
    pub fn all(&self, name: &str) -> Vec<&Sample> {
        self.samples.iter().filter(|s| s.name == name).collect()
    }

    /// Whether the metric exists, with or without samples.
    pub fn has(&self, name: &str) -> bool {
        let of_counter = name.strip_suffix("_total").unwrap_or_default();
        self.families.get(of_counter) == Some(&Kind::Counter) || !self.all(name).is_empty()
    }

    /// The value of the sample with exactly these labels; zero if there is no such sample.
    pub fn value(&self, name: &str, labels: &[(&str, &str)]) -> f64 {
        assert!(self.has(name), "{name} does not exist");
        let labels: BTreeMap<String, String> = labels
            .iter()
            .map(|(label, value)| ((*label).to_owned(), (*value).to_owned()))
            .collect();
        let mut all = self.samples.iter();
        all.find(|sample| sample.name == name && sample.labels == labels)
            .map_or(0.0, |sample| sample.value)
    }

    /// The value of the sample with the same name and labels.
    pub fn value_of(&self, sample: &Sample) -> f64 {
        let mut all = self.samples.iter();
        let same = |other: &&Sample| other.name == sample.name && other.labels == sample.labels;
        all.find(same)
            .unwrap_or_else(|| panic!("{sample:?} is missing"))
            .value
    }
}

fn sample(line: &str, family: &str) -> Sample {
    let (head, value) = line.rsplit_once(' ').expect("a value");
    let (name, labels) = match head.split_once('{') {
        Some((name, rest)) => (name, labels(rest.strip_suffix('}').expect("a brace"))),
        None => (head, BTreeMap::new()),
    };
    let is_name = |c: char| c.is_ascii_alphanumeric() || c == '_';
    assert!(name.chars().all(is_name), "{line}");
    Sample {
        family: family.to_owned(),
        name: name.to_owned(),
        labels,
        value: value.parse().unwrap_or_else(|_| panic!("{line}")),
    }
}

/// `a="b",c="d"`, with backslashes before quotes.
fn labels(mut text: &str) -> BTreeMap<String, String> {
    let mut all = BTreeMap::new();
    while !text.is_empty() {
        let (name, rest) = text.split_once("=\"").expect("a label");
        let (mut value, mut escaped, mut end) = (String::new(), false, None);
        for (at, c) in rest.char_indices() {
            match (escaped, c) {
                (false, '\\') => escaped = true,
                (false, '"') => {
                    end = Some(at);
                    break;
                }
                (true, 'n') => (value, escaped) = (value + "\n", false),
                (_, c) => {
                    value.push(c);
                    escaped = false;
                }
            }
        }
        let before = all.insert(name.to_owned(), value);
        assert_eq!(before, None, "{name} appears twice");
        text = &rest[end.expect("a closing quote") + 1..];
        text = text.strip_prefix(',').unwrap_or(text);
    }
    all
}
