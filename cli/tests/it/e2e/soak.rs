//! A server under a mixed load for a while: applies, raw writes, transactions, sessions, watches that come and go, plans and reads,
//! while old commits are given up all the time. Nothing fails, and its memory is at the end what it was once it was warm.
//!
//! The short form takes half a minute, `HOLDFAST_LONG` ten.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::bench::{Project, resident};
use super::storm::{plan_request, random};
use super::wire::{Answer, Place};

/// The commits that the server keeps.
const KEPT: u64 = 500;
/// How many keys each writer goes round.
const KEYS: u64 = 400;
/// How many sessions are left open at a time.
const SESSIONS_OPEN: usize = 200;
/// How many events a watch takes before it goes.
const EVENTS: usize = 50;
/// A sample of the memory for each of these parts of the whole.
const SAMPLES: u32 = 30;
/// The samples of the warm-up.
const WARM: usize = 10;
/// What the memory may be at the end beyond what it was when the server was warm: caches are as large as they get by chance.
const SLACK_BYTES: u64 = 24 << 20;

fn span() -> Duration {
    Duration::from_secs(if std::env::var_os("HOLDFAST_LONG").is_some() { 600 } else { 30 })
}

/// What all clients share: where the server is, whether they may stop, and how much each kind did.
struct Soak {
    place: Place,
    done: AtomicBool,
    counts: [AtomicU64; KINDS.len()],
}

const KINDS: [&str; 7] = ["applies", "plans", "writes", "transactions", "sessions", "events", "reads"];
/// The fewest of each that make it a load; a machine does many times as much.
const LEAST: [u64; KINDS.len()] = [40, 40, 400, 400, 400, 1_000, 400];

impl Soak {
    /// Does one thing again and again until the time is over.
    fn repeat(&self, kind: usize, mut act: impl FnMut(u64) -> u64) {
        for number in 0.. {
            if self.done.load(Ordering::SeqCst) {
                return;
            }
            self.counts[kind].fetch_add(act(number), Ordering::Relaxed);
        }
    }

    #[track_caller]
    fn ask(&self, method: &str, target: &str, body: &[u8], status: u16) -> Answer {
        let answer = self.place.ask(method, target, &[], body).unwrap();
        assert_eq!(answer.status, status, "{method} {target}: {}", String::from_utf8_lossy(&answer.body));
        answer
    }

    fn applies(&self, project: &Project) {
        self.repeat(0, |number| {
            let plan = plan_request(&project.path(), &format!("model-{}", number % 7));
            let shown = self.ask("POST", "/v1/plan", plan.to_string().as_bytes(), 200).json();
            let body = json!({"plan": plan, "plan_id": shown["plan_id"], "author": "soak"}).to_string();
            self.ask("POST", "/v1/apply", body.as_bytes(), 200);
            1
        });
    }

    fn plans(&self, project: &Project) {
        let plan = plan_request(&project.path(), "another").to_string();
        self.repeat(1, |_| {
            let shown = self.ask("POST", "/v1/plan", plan.as_bytes(), 200).json();
            assert_eq!(shown["applyable"], true, "{shown}");
            1
        });
    }

    fn writes(&self) {
        let mut wire = self.place.connect().unwrap();
        self.repeat(2, |number| {
            let value = vec![b'a' + (number % 26) as u8; 100 + (number % 900) as usize];
            let answer = wire.ask("PUT", &format!("/v1/kv/soak/w/{}", number % KEYS), &[], &value).unwrap();
            assert_eq!(answer.status, 200, "{answer:?}");
            1
        });
    }

    fn transactions(&self) {
        let mut wire = self.place.connect().unwrap();
        self.repeat(3, |number| {
            let key = format!("soak/t/{}", number % KEYS);
            let op = if number % 5 == 4 {
                json!({"delete": {"key": key}})
            } else {
                json!({"put": {"key": key, "value": "x"}})
            };
            let body = json!({"ops": [op, {"put": {"key": "soak/last", "value": number.to_string()}}]}).to_string();
            let id = format!("soak-{number}");
            let answer = wire.ask("POST", "/v1/txn", &[("idempotency-key", &id)], body.as_bytes()).unwrap();
            assert_eq!(answer.status, 200, "{answer:?}");
            1
        });
    }

    /// Opens sessions and closes the oldest; what is left open stays as it was opened.
    fn sessions(&self) {
        let mut open = std::collections::VecDeque::new();
        let mut revision = 0;
        self.repeat(4, |_| {
            let context = self.ask("POST", "/v1/agents/hotreload-test/sessions", b"", 201).json();
            let now = context["revision"].as_u64().unwrap();
            assert!(now >= revision, "a session of r{now} after one of r{revision}");
            revision = now;
            open.push_back((context["session"].as_str().unwrap().to_owned(), now));
            if open.len() > SESSIONS_OPEN {
                let (id, opened) = open.pop_front().unwrap();
                let again = self.ask("GET", &format!("/v1/sessions/{id}"), b"", 200).json();
                assert_eq!(again["revision"], opened);
                self.ask("DELETE", &format!("/v1/sessions/{id}"), b"", 204);
            }
            1
        });
    }

    /// A watch that takes some events and goes; the next one goes on where it was, unless that is given up.
    fn watches(&self) {
        let mut last = 0;
        self.repeat(5, |_| {
            let mut events = self.place.watch("/v1/watch?from=0", &[("last-event-id", &last.to_string())]).unwrap();
            let mut taken = 0;
            while taken < EVENTS {
                let event = events.next().unwrap().expect("the server goes on");
                let revision: Option<u64> = event.id.parse().ok();
                match event.name.as_str() {
                    "" => assert_eq!(revision, Some(last + 1), "a gap or a repetition: {}", event.data),
                    "resync" => assert_eq!(event.data["reason"], "compacted"),
                    name => assert_eq!(name, "bookmark"),
                }
                last = revision.unwrap_or(last);
                taken += 1;
                if self.done.load(Ordering::SeqCst) {
                    break;
                }
            }
            taken as u64
        });
    }

    fn reads(&self) {
        let targets =
            ["/v1/status", "/metrics", "/v1/commits?limit=20", "/v1/resources", "/v1/kv/soak/last", "/v1/head"];
        self.repeat(6, |number| {
            let target = targets[number as usize % targets.len()];
            let answer = self.place.ask("GET", target, &[], b"").unwrap();
            let early = target.ends_with("last") && answer.status == 404;
            assert!(answer.status == 200 || early, "{target}: {}", String::from_utf8_lossy(&answer.body));
            1
        });
    }
}

#[test]
fn a_server_that_works_for_long_keeps_its_memory() {
    let project = Project::hotreload();
    project.run(&["--yes"]).exits(0);
    let keep = KEPT.to_string();
    let server = project.serving(&["--keep", &keep, "--compact-every", "1s", "--quiet"]);
    let soak = Soak {
        place: Place::socket(&project.store()),
        done: AtomicBool::new(false),
        counts: std::array::from_fn(|_| AtomicU64::new(0)),
    };
    let (soak, project) = (&soak, &project);
    let begun = Instant::now();
    let memory: Vec<u64> = std::thread::scope(|threads| {
        threads.spawn(|| soak.applies(project));
        threads.spawn(|| soak.plans(project));
        threads.spawn(|| soak.writes());
        threads.spawn(|| soak.transactions());
        threads.spawn(|| soak.sessions());
        threads.spawn(|| soak.watches());
        threads.spawn(|| soak.watches());
        threads.spawn(|| soak.reads());
        let mut samples = Vec::new();
        let mut state = 20_261_128;
        for part in 1..=SAMPLES {
            // Not in step with anything that the server does at times of its own.
            let due = span() * part / SAMPLES - Duration::from_millis(random(&mut state, 300));
            std::thread::sleep(due.saturating_sub(begun.elapsed()));
            samples.push(resident(server.pid()));
        }
        soak.done.store(true, Ordering::SeqCst);
        samples
    });
    let status: Value = soak.ask("GET", "/v1/status", b"", 200).json();
    let head = status["head"]["revision"].as_u64().unwrap();
    let (oldest, bytes) =
        (status["storage"]["compacted"].as_u64().unwrap(), status["storage"]["bytes"].as_u64().unwrap());
    assert!(server.stop().success());
    project.run(&["verify"]).exits(0).says("sound");

    let counts: Vec<u64> = soak.counts.iter().map(|count| count.load(Ordering::Relaxed)).collect();
    let megabytes = |bytes: u64| format!("{:.1} MB", bytes as f64 / 1e6);
    let highest = |samples: &[u64]| samples.iter().copied().max().unwrap_or_default();
    let (warm, end) = (highest(&memory[WARM / 2..WARM]), highest(&memory[memory.len() - WARM / 2..]));
    let did: Vec<String> = KINDS.iter().zip(&counts).map(|(kind, count)| format!("{count} {kind}")).collect();
    println!("{:.0} s: {}", begun.elapsed().as_secs_f64(), did.join(", "));
    println!("r{head}, readable from r{oldest}, {} on the disk", megabytes(bytes));
    println!(
        "memory {} when warm, {} at the end, {} at the peak; each part: {:?}",
        megabytes(warm),
        megabytes(end),
        megabytes(highest(&memory)),
        memory.iter().map(|bytes| bytes >> 20).collect::<Vec<_>>()
    );
    for ((kind, count), least) in KINDS.iter().zip(&counts).zip(LEAST) {
        assert!(*count >= least, "only {count} {kind}");
    }
    assert!(oldest > 0 && head - oldest < 100 * KEPT, "nothing was given up: r{oldest} of r{head}");
    assert!(end <= warm + warm / 4 + SLACK_BYTES, "the memory grows: {memory:?}");
}
