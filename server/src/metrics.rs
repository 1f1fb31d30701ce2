//! What the server counts of itself, and its form for Prometheus.
//!
//! Labels have few values, whatever clients send: routes stand as patterns, unknown methods as one word. Never here: names,
//! values or counts of an organisation.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use axum::http::Method;
use holdfast_engine::Revision;
use holdfast_reconciler::plane::Storage;

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

    /// All counts in the text form of Prometheus.
    pub(crate) fn text(&self, head: Revision, storage: &Storage) -> String {
        let mut out = String::new();
        let whole = |number: u64| i64::try_from(number).unwrap_or(i64::MAX);
        let mut gauges = vec![
            ("holdfast_revision", "The newest revision.", whole(head.get())),
            ("holdfast_compacted_revision", "The oldest revision that can be read.", whole(storage.compacted.get())),
            ("holdfast_trail_lag", "Commits that a reopening would replay.", whole(storage.trail_lag)),
            ("holdfast_poisoned", "1 if no commits are taken.", i64::from(storage.poisoned.is_some())),
            ("holdfast_connections", "Open connections.", self.connections.load(Ordering::Relaxed)),
            ("holdfast_watches", "Open watches.", self.watches.load(Ordering::Relaxed)),
        ];
        if let Some(bytes) = storage.bytes {
            gauges.push(("holdfast_store_bytes", "Bytes that the store takes on its disk.", whole(bytes)));
        }
        for (name, help, value) in gauges {
            let _ = write!(out, "# HELP {name} {help}\n# TYPE {name} gauge\n{name} {value}\n");
        }
        out.push_str("# HELP holdfast_request_seconds How long requests took until their answer began.\n");
        out.push_str("# TYPE holdfast_request_seconds histogram\n");
        let requests = self.requests.lock().unwrap_or_else(PoisonError::into_inner).clone();
        for (Label { route, method, status }, Durations { buckets, count, sum }) in requests {
            let labels = format!("route=\"{route}\",method=\"{method}\",status=\"{status}\"");
            let mut below = 0;
            for (bucket, (_, bound)) in buckets.iter().zip(BUCKETS) {
                below += bucket;
                let _ = writeln!(out, "holdfast_request_seconds_bucket{{{labels},le=\"{bound}\"}} {below}");
            }
            let _ = writeln!(out, "holdfast_request_seconds_bucket{{{labels},le=\"+Inf\"}} {count}");
            let _ = writeln!(out, "holdfast_request_seconds_sum{{{labels}}} {}", sum.as_secs_f64());
            let _ = writeln!(out, "holdfast_request_seconds_count{{{labels}}} {count}");
        }
        out
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
    use super::*;

    #[test]
    fn counts_are_cumulative_and_labels_few() {
        let metrics = Metrics::default();
        let compacted = Revision::new(3);
        let storage = Storage { compacted, trail_lag: 2, bytes: Some(4096), retention: None, poisoned: None };
        let open = metrics.connection();
        for (method, micros) in [("GET", 50), ("GET", 200), ("GET", 20_000_000), ("BREW", 1), ("COFFEE", 1)] {
            let method = Method::from_bytes(method.as_bytes()).unwrap();
            metrics.answered(&method, "/v1/head", 200, Duration::from_micros(micros));
        }
        let text = metrics.text(Revision::new(7), &storage);
        for line in [
            "holdfast_revision 7",
            "holdfast_connections 1",
            "holdfast_compacted_revision 3",
            "holdfast_store_bytes 4096",
            "holdfast_request_seconds_bucket{route=\"/v1/head\",method=\"GET\",status=\"200\",le=\"0.0001\"} 1",
            "holdfast_request_seconds_bucket{route=\"/v1/head\",method=\"GET\",status=\"200\",le=\"10\"} 2",
            "holdfast_request_seconds_bucket{route=\"/v1/head\",method=\"GET\",status=\"200\",le=\"+Inf\"} 3",
            "holdfast_request_seconds_count{route=\"/v1/head\",method=\"other\",status=\"200\"} 2",
        ] {
            assert!(text.lines().any(|found| found == line), "{line}\n{text}");
        }
        drop(open);
        assert!(metrics.text(Revision::ZERO, &storage).contains("holdfast_connections 0\n"));
    }
}
