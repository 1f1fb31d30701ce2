//! What the log says of each request, and what it never says.

use std::io::{self, Write};
use std::sync::{Arc, Mutex};

use serde_json::json;
use tracing_subscriber::fmt::MakeWriter;

use crate::support::http::{get, send};
use crate::support::{SECRET, Server, apply, eventually, hotreload, plan_request};

/// Everything that any thread of this process logs.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl Log {
    fn text(&self) -> String {
        String::from_utf8_lossy(&self.0.lock().unwrap()).into_owned()
    }
}

impl Write for Log {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl<'a> MakeWriter<'a> for Log {
    type Writer = Self;

    fn make_writer(&'a self) -> Self {
        self.clone()
    }
}

#[test]
fn p8_the_log_has_a_line_for_each_request_and_no_secret() {
    let log = Log::default();
    let subscriber = tracing_subscriber::fmt().with_max_level(tracing::Level::TRACE).with_ansi(false);
    subscriber.with_writer(log.clone()).try_init().unwrap();
    let server = Server::start();
    apply(&server.client(), plan_request(hotreload("glm-4.6")));
    let body = json!({"value": SECRET, "allow_break": []}).to_string();
    let headers = [("idempotency-key", "the-request")];
    send(&server, "PUT", "/v1/secrets/a?org=acme", &headers, body.as_bytes());
    send(&server, "PUT", "/v1/secrets/a", &[], json!({ "value": [SECRET] }).to_string().as_bytes());
    send(&server, "PUT", "/v1/kv/a", &[], SECRET.as_bytes());
    send(&server, "POST", "/v1/agents/hotreload-test/sessions", &[], b"");
    get(&server, "/v1/kv/name-of-a-key?at=r1");

    let line = |parts: &[&str]| log.text().lines().any(|line| parts.iter().all(|part| line.contains(part)));
    let wanted: [&[&str]; 4] = [
        &["method=PUT", "route=\"/v1/secrets/{*name}\"", "status=200", "org=\"acme\"", "request_id=\"the-request\""],
        &["method=PUT", "route=\"/v1/secrets/{*name}\"", "status=400", "org=\"-\""],
        &["method=POST", "route=\"/v1/apply\"", "status=200"],
        &["session opened", "agent=\"hotreload-test\"", "provider=\"z-ai\"", "model=\"glm-4.6\"", "org-secret"],
    ];
    for parts in wanted {
        eventually(&format!("{parts:?}"), || line(parts));
    }
    assert!(!log.text().contains(SECRET));
    assert!(!log.text().contains("name-of-a-key"), "a route stands in the log as its pattern");
}
