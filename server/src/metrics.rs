//! What the server counts of itself, and its form for Prometheus.
//!
//! Labels have few values, whatever clients send: routes stand as patterns, unknown methods as one word. Names of organisations and
//! sources stand in what the plane measured, which is only of those that whoever asks may see. Never here: values.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use axum::http::Method;
use holdfast_reconciler::controller::LoopState;
use holdfast_reconciler::plane::{Measures, SourceMeasures, Storage};

/// The upper bounds of the buckets that durations are counted in, with their label.
const BUCKETS: [(Duration, &str); 9] = [
    (Duration::from_micros(100), "0.0001"),
    (Duration::from_micros(250), "0.00025"),
    (Duration::from_millis(1), "0.001"),
    (Duration::from_micros(2500), "0.0025"),
    (Duration::from_millis(10), "0.01"),
    (Duration::from_millis(50), "0.05"),
    (Duration::from_millis(250), "0.25"),
    (Duration::from_secs(1), "1"),
    (Duration::from_secs(10), "10"),
];

/// All counts of one server.
#[derive(Debug, Default)]
pub(crate) struct Metrics {
    requests: Mutex<BTreeMap<Label, Durations>>,
    connections: Arc<AtomicI64>,
    watches: Arc<AtomicI64>,
}

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Label {
    route: String,
    method: &'static str,
    status: u16,
}

#[derive(Clone, Debug, Default)]
struct Durations {
    /// How many fell into each bucket and into no lower one.
    buckets: [u64; BUCKETS.len()],
    count: u64,
    sum: Duration,
}

/// Something that is open for as long as this lives.
#[derive(Debug)]
pub(crate) struct Gauge(Arc<AtomicI64>);

impl Gauge {
    fn new(count: &Arc<AtomicI64>) -> Self {
        count.fetch_add(1, Ordering::Relaxed);
        Self(Arc::clone(count))
    }
}

impl Drop for Gauge {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Metrics {
    /// Counts a request that was answered.
    pub(crate) fn answered(&self, method: &Method, route: &str, status: u16, took: Duration) {
        let label = Label { route: route.to_owned(), method: word(method), status };
        let mut requests = self.requests.lock().unwrap_or_else(PoisonError::into_inner);
        let durations = requests.entry(label).or_default();
        durations.count += 1;
        durations.sum += took;
        if let Some(bucket) = BUCKETS.iter().position(|(bound, _)| took <= *bound) {
            durations.buckets[bucket] += 1;
        }
    }

    /// Counts a connection for as long as the answer lives.
    pub(crate) fn connection(&self) -> Gauge {
        Gauge::new(&self.connections)
    }

    /// Counts a watch for as long as the answer lives.
    pub(crate) fn watch(&self) -> Gauge {
        Gauge::new(&self.watches)
    }

    /// All counts in the text form of Prometheus; what is open in all organisations only for who may see them all.
    pub(crate) fn text(&self, measures: &Measures, all_orgs: bool) -> String {
        let mut page = Page::default();
        let open = |count: &AtomicI64| count.load(Ordering::Relaxed);
        page.family("holdfast_connections", "gauge", "Open connections.").plain(open(&self.connections));
        if all_orgs {
            page.family("holdfast_watches", "gauge", "Open watches.").plain(open(&self.watches));
            page.family("holdfast_open_sessions", "gauge", "Sessions that are open.").plain(measures.sessions);
        }
        store(&mut page, measures);
        sources(&mut page, measures);
        let help = "How long requests took until their answer began.";
        page.family("holdfast_request_duration_seconds", "histogram", help);
        let requests = self.requests.lock().unwrap_or_else(PoisonError::into_inner).clone();
        for (Label { route, method, status }, Durations { buckets, count, sum }) in requests {
            let status = status.to_string();
            let labels = [("route", route.as_str()), ("method", method), ("status", &status)];
            let mut below = 0;
            for (bucket, (_, bound)) in buckets.iter().zip(BUCKETS) {
                below += bucket;
                page.sample("_bucket", &[&labels[..], &[("le", bound)]].concat(), below);
            }
            page.sample("_bucket", &[&labels[..], &[("le", "+Inf")]].concat(), count);
            page.sample("_sum", &labels, sum.as_secs_f64());
            page.sample("_count", &labels, count);
        }
        page.text
    }
}

/// What the store says of itself. What is not known has no sample.
fn store(page: &mut Page, measures: &Measures) {
    let Measures { head, storage, sessions: _, observed: _, sources: _ } = measures;
    let Storage { compacted, trail_lag, bytes, retention: _, compaction_lag, poisoned } = storage;
    page.family("holdfast_revision", "gauge", "The newest revision.").plain(head.get());
    page.family("holdfast_compacted_revision", "gauge", "The oldest revision that can be read.").plain(compacted.get());
    page.family("holdfast_trail_lag_commits", "gauge", "Commits that a reopening would replay.").plain(trail_lag);
    if let Some(lag) = compaction_lag {
        let help = "Commits beyond those that are to be kept.";
        page.family("holdfast_compaction_lag_commits", "gauge", help).plain(lag);
    }
    if let Some(bytes) = bytes {
        page.family("holdfast_store_bytes", "gauge", "Bytes that the store takes on its disk.").plain(bytes);
    }
    let poisoned = i64::from(poisoned.is_some());
    page.family("holdfast_poisoned", "gauge", "1 if no commits are taken.").plain(poisoned);
}

/// How the sources stand, each with its own labels.
fn sources(page: &mut Page, measures: &Measures) {
    let Measures { observed, sources, .. } = measures;
    if observed.values().any(Option::is_some) {
        let help = "The newest revision of which everything outside the store is real.";
        page.family("holdfast_observed_revision", "gauge", help);
        for (org, revision) in observed.iter().filter_map(|(org, revision)| Some((org, (*revision)?))) {
            page.sample("", &[("org", org.as_str())], revision.get());
        }
    }
    if sources.is_empty() {
        return;
    }
    fn labels(source: &SourceMeasures) -> [(&'static str, &str); 2] {
        [("org", source.org.as_str()), ("source", source.source.as_str())]
    }
    page.family("holdfast_source_desired_info", "gauge", "1 for the Git commit that a loop looked at last.");
    for source in sources {
        if let Some(commit) = &source.desired {
            page.sample("", &[&labels(source)[..], &[("commit", commit)]].concat(), 1);
        }
    }
    page.family("holdfast_source_state", "gauge", "1 for the state that a source of a loop is in.");
    for source in sources {
        for state in LoopState::ALL {
            let is = u8::from(state == source.state);
            page.sample("", &[&labels(source)[..], &[("state", state.as_text())]].concat(), is);
        }
    }
    let help = "The revision at which what a source says was in force last.";
    page.family("holdfast_source_committed_revision", "gauge", help);
    for source in sources {
        if let Some(revision) = source.committed {
            page.sample("", &labels(source), revision.get());
        }
    }
    let help = "When what a source says was in force last.";
    page.family("holdfast_source_last_success_timestamp_seconds", "gauge", help);
    for source in sources {
        if let Some(millis) = source.last_success_ms {
            page.sample("", &labels(source), millis as f64 / 1000.0);
        }
    }
    page.family("holdfast_reconciles_total", "counter", "Looks of loops at their source, by how they ended.");
    for source in sources {
        for (result, count) in &source.turns {
            page.sample("", &[&labels(source)[..], &[("result", result)]].concat(), count);
        }
    }
}

/// A text in the form of Prometheus, in the making: families of samples.
#[derive(Default)]
struct Page {
    text: String,
    family: &'static str,
}

impl Page {
    /// Begins a family.
    fn family(&mut self, name: &'static str, kind: &str, help: &str) -> &mut Self {
        self.family = name;
        let _ = write!(self.text, "# HELP {name} {help}\n# TYPE {name} {kind}\n");
        self
    }

    /// The only sample of a family.
    fn plain(&mut self, value: impl std::fmt::Display) {
        self.sample("", &[], value);
    }

    /// A sample of the family. The values of labels are names that have been checked, patterns and words: none needs an escape.
    fn sample(&mut self, suffix: &str, labels: &[(&str, &str)], value: impl std::fmt::Display) {
        let _ = write!(self.text, "{}{suffix}", self.family);
        for (number, (name, value)) in labels.iter().enumerate() {
            let before = if number == 0 { '{' } else { ',' };
            debug_assert!(!value.contains(['"', '\\', '\n']), "{value}");
            let _ = write!(self.text, "{before}{name}=\"{value}\"");
        }
        let end = if labels.is_empty() { "" } else { "}" };
        let _ = writeln!(self.text, "{end} {value}");
    }
}

/// A method as a label.
fn word(method: &Method) -> &'static str {
    match method.as_str() {
        "GET" => "GET",
        "HEAD" => "HEAD",
        "POST" => "POST",
        "PUT" => "PUT",
        "PATCH" => "PATCH",
        "DELETE" => "DELETE",
        _ => "other",
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use holdfast_engine::Revision;
    use holdfast_reconciler::resource::{OrgId, SourceName};

    use super::*;

    fn measures() -> Measures {
        let source = SourceMeasures {
            org: OrgId::new("acme").unwrap(),
            source: SourceName::new("team").unwrap(),
            state: LoopState::Broken,
            desired: Some("9be07aa7".to_owned()),
            committed: Some(Revision::new(6)),
            turns: BTreeMap::from([("applied".to_owned(), 2), ("broken".to_owned(), 3)]),
            last_success_ms: Some(1_767_225_600_250),
        };
        let storage = Storage {
            compacted: Revision::new(3),
            trail_lag: 2,
            bytes: Some(4096),
            retention: None,
            compaction_lag: Some(1),
            poisoned: None,
        };
        let observed = BTreeMap::from([(OrgId::new("acme").unwrap(), Some(Revision::new(5)))]);
        Measures { head: Revision::new(7), storage, sessions: 4, observed, sources: vec![source] }
    }

    #[test]
    fn counts_are_cumulative_and_labels_few() {
        let metrics = Metrics::default();
        let open = metrics.connection();
        for (method, micros) in [("GET", 50), ("GET", 200), ("GET", 20_000_000), ("BREW", 1), ("COFFEE", 1)] {
            let method = Method::from_bytes(method.as_bytes()).unwrap();
            metrics.answered(&method, "/v1/head", 200, Duration::from_micros(micros));
        }
        let text = metrics.text(&measures(), true);
        for line in [
            "holdfast_revision 7",
            "holdfast_connections 1",
            "holdfast_compacted_revision 3",
            "holdfast_compaction_lag_commits 1",
            "holdfast_store_bytes 4096",
            "holdfast_open_sessions 4",
            "holdfast_observed_revision{org=\"acme\"} 5",
            "holdfast_source_desired_info{org=\"acme\",source=\"team\",commit=\"9be07aa7\"} 1",
            "holdfast_source_state{org=\"acme\",source=\"team\",state=\"broken\"} 1",
            "holdfast_source_state{org=\"acme\",source=\"team\",state=\"in_force\"} 0",
            "holdfast_source_committed_revision{org=\"acme\",source=\"team\"} 6",
            "holdfast_source_last_success_timestamp_seconds{org=\"acme\",source=\"team\"} 1767225600.25",
            "holdfast_reconciles_total{org=\"acme\",source=\"team\",result=\"broken\"} 3",
            "holdfast_request_duration_seconds_bucket{route=\"/v1/head\",method=\"GET\",status=\"200\",le=\"0.0001\"} 1",
            "holdfast_request_duration_seconds_bucket{route=\"/v1/head\",method=\"GET\",status=\"200\",le=\"10\"} 2",
            "holdfast_request_duration_seconds_bucket{route=\"/v1/head\",method=\"GET\",status=\"200\",le=\"+Inf\"} 3",
            "holdfast_request_duration_seconds_count{route=\"/v1/head\",method=\"other\",status=\"200\"} 2",
        ] {
            assert!(text.lines().any(|found| found == line), "{line}\n{text}");
        }
        drop(open);
        assert!(metrics.text(&measures(), true).contains("holdfast_connections 0\n"));
    }

    /// The names and values of labels in `a="b",c="d"`, as the format's grammar has them.
    fn labels(mut text: &str) -> Option<Vec<(String, String)>> {
        let mut found = Vec::new();
        while !text.is_empty() {
            let (name, rest) = text.split_once("=\"")?;
            let (value, rest) = rest.split_once('"')?;
            found.push((name.to_owned(), value.to_owned()));
            text = if rest.is_empty() { rest } else { rest.strip_prefix(',')? };
        }
        Some(found)
    }

    /// Reads the text as a collector does, and holds it against the format and the conventions of names.
    fn check(text: &str) -> usize {
        let name_is_well =
            |name: &str| name.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_');
        let mut family: Option<(&str, &str)> = None;
        let (mut families, mut samples) = (BTreeSet::new(), BTreeSet::new());
        let mut lines = text.lines().peekable();
        while let Some(line) = lines.next() {
            if let Some(help) = line.strip_prefix("# HELP ") {
                let (name, words) = help.split_once(' ').expect("help has words");
                assert!(name.starts_with("holdfast_") && name_is_well(name) && words.ends_with('.'), "{line}");
                assert!(families.insert(name), "{name} stands twice");
                let kind =
                    lines.next().and_then(|line| line.strip_prefix("# TYPE ")?.strip_prefix(name)?.strip_prefix(' '));
                let kind = kind.unwrap_or_else(|| panic!("no type of {name}"));
                assert!(["gauge", "counter", "histogram"].contains(&kind), "{kind}");
                assert_eq!(name.ends_with("_total"), kind == "counter", "{name}");
                assert!(kind != "histogram" || name.ends_with("_seconds"), "{name} has no unit");
                family = Some((name, kind));
                continue;
            }
            let (name, kind) = family.expect("a sample stands in a family");
            let (series, value) = line.rsplit_once(' ').expect("a sample has a value");
            assert!(value.parse::<f64>().is_ok_and(f64::is_finite), "{line}");
            let (metric, inside) = series.strip_suffix('}').map_or((series, ""), |open| open.split_once('{').unwrap());
            let suffix = metric.strip_prefix(name).unwrap_or_else(|| panic!("{line} in {name}"));
            assert!(
                if kind == "histogram" { ["_bucket", "_sum", "_count"].contains(&suffix) } else { suffix.is_empty() },
                "{line}"
            );
            let labels = labels(inside).unwrap_or_else(|| panic!("{line}"));
            assert!(labels.iter().all(|(name, _)| name_is_well(name)), "{line}");
            assert_eq!(labels.iter().any(|(name, _)| name == "le"), suffix == "_bucket", "{line}");
            assert!(samples.insert(series), "{series} stands twice");
        }
        assert!(text.ends_with('\n'));
        samples.len()
    }

    #[test]
    fn the_text_is_as_a_collector_reads_it() {
        let metrics = Metrics::default();
        for status in [200, 404] {
            metrics.answered(&Method::GET, "/v1/kv/{*key}", status, Duration::from_millis(3));
        }
        let all = check(&metrics.text(&measures(), true));
        let unknown = Measures {
            observed: BTreeMap::new(),
            sources: Vec::new(),
            storage: Storage { bytes: None, compaction_lag: None, ..measures().storage },
            ..measures()
        };
        assert!(check(&metrics.text(&unknown, true)) + 10 < all);
    }
}
