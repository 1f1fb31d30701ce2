//! The life of a server as its operator sees it: when it is ready, what it logs, how it ends, and what it leaves behind.

use std::fs::File;
use std::io;
use std::process::{Child, Command};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};

use super::bench::{PATIENCE, Project, reconcile};
use super::wire::Place;

/// A server whose log goes to a file.
struct Logged {
    child: Child,
    log: std::path::PathBuf,
}

impl Logged {
    fn start(project: &Project, flags: &[&str]) -> Self {
        let log = project.path().join("server.log");
        let mut command: Command = project.command(&reconcile());
        command.arg("serve").args(flags).stderr(File::create(&log).unwrap());
        let server = Self { child: command.spawn().unwrap(), log };
        server.until("that it is ready", |log| log.contains("\"ready\"") || log.contains(", pid "));
        server
    }

    fn text(&self) -> String {
        std::fs::read_to_string(&self.log).unwrap()
    }

    fn until(&self, what: &str, is: impl Fn(&str) -> bool) {
        let deadline = Instant::now() + PATIENCE;
        while !is(&self.text()) {
            assert!(Instant::now() < deadline, "it never said {what}: {}", self.text());
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.child), signal).unwrap();
    }

    /// Waits for its end; gives the exit code and the log.
    fn ended(mut self) -> (Option<i32>, String) {
        let code = self.child.wait().unwrap().code();
        (code, self.text())
    }
}

impl Drop for Logged {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn p8_a_log_as_json_has_a_line_for_each_request_and_session_and_no_secret() {
    let project = Project::hotreload();
    let server = Logged::start(&project, &["--log-format", "json"]);
    project.run(&["--yes"]).exits(0);
    let place = Place::socket(&project.store());
    let secret = json!({"value": "canary-of-the-log"}).to_string();
    place.ask("PUT", "/v1/secrets/mail", &[("idempotency-key", "the-request")], secret.as_bytes()).unwrap();
    let opened = place.ask("POST", "/v1/agents/hotreload-test/sessions", &[], b"").unwrap().json();
    let refused = place.ask("GET", "/v1/agents/nobody/session", &[], b"").unwrap().json();
    server.until("the last request", |log| log.contains(refused["instance"].as_str().unwrap()));
    server.signal(Signal::TERM);
    let (code, log) = server.ended();
    assert_eq!(code, Some(0), "{log}");
    let lines: Vec<Value> =
        log.lines().map(|line| serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"))).collect();
    for line in &lines {
        for member in ["timestamp", "level", "message", "target"] {
            assert!(line[member].is_string(), "{line}");
        }
    }
    let find = |message: &str, member: &str, value: &Value| {
        lines
            .iter()
            .find(|line| line["message"] == message && line[member] == *value)
            .unwrap_or_else(|| panic!("{message}: {log}"))
    };
    assert_eq!(lines.iter().filter(|line| line["message"] == "ready" && line["pid"].is_u64()).count(), 1, "{log}");
    let session = find("session opened", "agent", &json!("hotreload-test"));
    for (member, value) in [("org", json!("default")), ("provider", json!("z-ai")), ("model", json!("glm-4.6"))] {
        assert_eq!(session[member], value, "{session}");
    }
    assert_eq!((&session["credential"], &session["revision"]), (&json!("org-secret"), &json!("r2")));
    assert_eq!(opened["revision"], 2, "{opened}");
    let request = find("request", "request_id", &json!("the-request"));
    assert_eq!((&request["status"], &request["route"]), (&json!(200), &json!("/v1/secrets/{*name}")), "{request}");
    assert_eq!(find("request", "request_id", &refused["instance"])["status"], 404);
    for canary in ["canary-of-the-log", "canary-z-ai-key"] {
        assert!(!log.contains(canary), "{log}");
    }
}

#[test]
fn p3_sigterm_tells_the_watches_and_finishes_what_is_under_way() {
    let project = Project::hotreload();
    project.run(&["--yes"]).exits(0);
    let server = Logged::start(&project, &[]);
    let place = Place::socket(&project.store());
    assert_eq!(place.ask("GET", "/readyz", &[], b"").unwrap().json(), json!({"status": "ready", "revision": 1}));
    let mut events = place.watch("/v1/watch?from=1", &[]).unwrap();
    let told = AtomicBool::new(false);
    let acknowledged = std::thread::scope(|threads| {
        let writers: Vec<_> = (0..4)
            .map(|writer| {
                let (place, told) = (&place, &told);
                threads.spawn(move || {
                    let mut wire = place.connect().unwrap();
                    let mut acknowledged = Vec::new();
                    for number in 0.. {
                        let key = format!("{writer}/{number}");
                        match wire.ask("PUT", &format!("/v1/kv/{key}"), &[], b"x") {
                            Ok(answer) if answer.status == 200 => acknowledged.push(key),
                            // Told to go away, or cut off: only once it was told to stop.
                            Ok(_) | Err(_) => {
                                assert!(told.load(Ordering::SeqCst), "it broke off before it was told to stop");
                                return acknowledged;
                            }
                        }
                    }
                    unreachable!("it stops");
                })
            })
            .collect();
        // A hang-up changes nothing, and so much is written before the end.
        server.signal(Signal::HUP);
        let mut last = 1;
        while last < 100 {
            let event = events.next().unwrap().unwrap();
            last = event.id.parse().unwrap();
        }
        told.store(true, Ordering::SeqCst);
        server.signal(Signal::TERM);
        // The watch is told where it ends, after everything that was acknowledged before it.
        let mut name = String::new();
        while let Some(event) = events.next().unwrap() {
            let id: u64 = event.id.parse().unwrap();
            assert!(id > last || event.name == "bookmark" && id >= last, "r{last} and then {event:?}");
            (last, name) = (id, event.name);
        }
        assert_eq!(name, "bookmark", "the last event says where to resume");
        writers.into_iter().flat_map(|writer| writer.join().unwrap()).collect::<Vec<_>>()
    });
    let (code, log) = server.ended();
    assert_eq!(code, Some(0), "{log}");
    assert!(log.contains("SIGHUP changes nothing") && log.contains("SIGTERM"), "{log}");
    assert!(!project.store().join("server.sock").exists(), "the socket is taken away");
    assert!(acknowledged.len() > 90, "only {}", acknowledged.len());
    let server = project.serve();
    let mut wire = place.connect().unwrap();
    for key in &acknowledged {
        assert_eq!(wire.ask("GET", &format!("/v1/kv/{key}"), &[], b"").unwrap().status, 200, "{key}");
    }
    assert!(server.stop().success());
}

#[test]
fn a_second_signal_ends_at_once() {
    let project = Project::hotreload();
    project.run(&["--yes"]).exits(0);
    let server = Logged::start(&project, &[]);
    let place = Place::socket(&project.store());
    // A request whose body never comes keeps the first one waiting.
    let mut slow = place.connect().unwrap();
    slow.raw(b"PUT /v1/kv/a HTTP/1.1\r\nhost: x\r\ncontent-length: 5\r\n\r\nab").unwrap();
    place.ask("GET", "/v1/head", &[], b"").unwrap();
    server.signal(Signal::TERM);
    server.until("that it stops", |log| log.contains("stopping"));
    server.signal(Signal::INT);
    let (code, log) = server.ended();
    assert_eq!(code, Some(130), "{log}");
    assert!(log.contains("ended at once"), "{log}");
    // What it left behind is no hindrance.
    project.run(&["verify"]).exits(0).says("sound");
    assert!(project.serve().stop().success());
}

#[test]
fn p3_nobody_is_told_that_a_server_is_ready_before_its_store_is_recovered() {
    let project = Project::hotreload();
    project.run(&["--yes"]).exits(0);
    let place = Place::socket(&project.store());
    let mut revision = 1;
    for _ in 0..5 {
        let server = project.serve();
        for _ in 0..20 {
            let answer = place.ask("PUT", "/v1/kv/a", &[], b"x").unwrap().json();
            revision = answer["revision"].as_u64().unwrap();
        }
        server.kill();
        // The socket is still there and nobody answers.
        assert!(project.store().join("server.sock").exists());
        let error = place.ask("GET", "/readyz", &[], b"").unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::ConnectionRefused);
        // Whoever is asked first after the start already knows all of it.
        std::thread::scope(|threads| {
            let first = threads.spawn(|| {
                loop {
                    if let Ok(answer) = place.ask("GET", "/readyz", &[], b"") {
                        return answer.json();
                    }
                    std::thread::yield_now();
                }
            });
            let server = project.serve();
            assert_eq!(first.join().unwrap(), json!({"status": "ready", "revision": revision}));
            assert!(server.stop().success());
        });
    }
}
