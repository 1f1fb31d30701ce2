//! SIGKILL of the server a hundred times under a mixed load. Clients do what the documentation tells them: they repeat a write
//! with its `Idempotency-Key` until it is answered, and resume a watch by `Last-Event-ID`. What was acknowledged is there, what
//! was repeated happened once, and no watcher misses a commit or sees one twice.

use std::collections::BTreeMap;
use std::io;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use holdfast_reconciler::manifest::{Environment, MemoryTree, load};
use holdfast_reconciler::plan::{PlanOptions, PlanRequest};
use serde_json::{Value, json};

use super::bench::Project;
use super::wire::{Answer, Event, Place};

const KILLS: u64 = 100;
const WRITERS: u64 = 3;
const WATCHERS: usize = 2;
/// Fewer mean that the servers did not live long enough for the load to be one.
const WRITES_MIN: usize = 300;
const SESSIONS_MIN: u64 = 200;

/// What all clients of the storm share.
struct Storm {
    place: Place,
    done: AtomicBool,
    /// The newest revision that anybody was told of.
    acknowledged: AtomicU64,
    /// How often an answer or an event broke off.
    broken: AtomicU64,
}

impl Storm {
    fn is_over(&self) -> bool {
        self.done.load(Ordering::SeqCst)
    }

    /// Asks until there is an answer, as clients do whose server goes away and comes back.
    fn insist(&self, method: &str, target: &str, headers: &[(&str, &str)], body: &[u8]) -> Answer {
        loop {
            match self.place.ask(method, target, headers, body) {
                // Nothing but the server's death may keep an answer away.
                Ok(answer) => return answer,
                Err(error) => self.broke(&error),
            }
        }
    }

    fn broke(&self, error: &io::Error) {
        if !matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused) {
            self.broken.fetch_add(1, Ordering::Relaxed);
        }
        std::thread::sleep(Duration::from_millis(2));
    }

    fn acknowledge(&self, revision: u64) {
        self.acknowledged.fetch_max(revision, Ordering::SeqCst);
    }

    /// Writes keys of its own, one in each transaction; gives the revision of each as it was acknowledged.
    fn write(&self, writer: u64) -> BTreeMap<String, u64> {
        let mut written = BTreeMap::new();
        for number in 0.. {
            if self.is_over() {
                break;
            }
            let key = format!("storm/{writer}/{number}");
            let body = json!({"ops": [{"put": {"key": key, "value": number.to_string()}}]}).to_string();
            let id = format!("write-{writer}-{number}");
            let answer = self.insist("POST", "/v1/txn", &[("idempotency-key", &id)], body.as_bytes());
            assert_eq!(answer.status, 200, "{answer:?}");
            let revision = answer.json()["revision"].as_u64().unwrap();
            self.acknowledge(revision);
            written.insert(format!("kv/{key}"), revision);
        }
        written
    }

    /// Applies one manifest after the other; gives the revision of each with the model that it brought.
    fn apply(&self, project: &Path) -> BTreeMap<u64, String> {
        let mut applied = BTreeMap::new();
        for number in 0.. {
            if self.is_over() {
                break;
            }
            let model = format!("model-{number}");
            let plan = plan_request(project, &model);
            let shown = self.insist("POST", "/v1/plan", &[], plan.to_string().as_bytes());
            assert_eq!(shown.status, 200, "{shown:?}");
            let body = json!({"plan": plan, "plan_id": shown.json()["plan_id"], "author": "storm"}).to_string();
            let id = format!("apply-{number}");
            let answer = self.insist("POST", "/v1/apply", &[("idempotency-key", &id)], body.as_bytes());
            assert_eq!(answer.status, 200, "{answer:?}");
            let receipt = answer.json();
            assert_ne!(receipt["outcome"], "unchanged", "{receipt}");
            let revision = receipt["revision"].as_u64().unwrap();
            self.acknowledge(revision);
            assert_eq!(applied.insert(revision, model), None, "two applies have one revision");
        }
        applied
    }

    /// Opens sessions; each reads what was acknowledged before it was asked for. Gives how many.
    fn open_sessions(&self) -> u64 {
        let mut opened = 0;
        while !self.is_over() {
            let before = self.acknowledged.load(Ordering::SeqCst);
            let answer = self.insist("POST", "/v1/agents/hotreload-test/sessions", &[], b"");
            assert_eq!(answer.status, 201, "{answer:?}");
            let revision = answer.json()["revision"].as_u64().unwrap();
            assert!(revision >= before, "a session of r{revision} after r{before} was acknowledged");
            opened += 1;
        }
        opened
    }

    /// Watches everything from the first commit through the last, across every kill.
    fn watch(&self, through: &AtomicU64) -> Vec<Value> {
        let mut seen: Vec<Value> = Vec::new();
        loop {
            let last = seen.len().to_string();
            let mut events = match self.place.watch("/v1/watch?from=0", &[("last-event-id", &last)]) {
                Ok(events) => events,
                Err(error) => {
                    self.broke(&error);
                    continue;
                }
            };
            loop {
                match events.next() {
                    Ok(Some(Event { name, id, data })) if name.is_empty() => {
                        assert_eq!(id, (seen.len() + 1).to_string(), "a watch that went on after r{last}");
                        assert_eq!(data["revision"].to_string(), id);
                        seen.push(data);
                    }
                    Ok(Some(Event { name, data, .. })) => assert_eq!(name, "bookmark", "{data}"),
                    Ok(None) => break,
                    Err(error) => {
                        self.broke(&error);
                        break;
                    }
                }
                if seen.len() as u64 == through.load(Ordering::SeqCst) {
                    return seen;
                }
            }
        }
    }
}

/// The project with another model, as a client sends it.
pub(super) fn plan_request(project: &Path, model: &str) -> Value {
    let read = |name: &str| std::fs::read_to_string(project.join(name)).unwrap_or_default();
    let manifest = read("lobu.toml").replace("glm-4.6", model);
    let identity = "agents/hotreload-test/IDENTITY.md";
    let text = read(identity);
    let tree = MemoryTree::new([("lobu.toml", manifest.as_str()), (identity, text.as_str())]);
    let variables = [("Z_AI_API_KEY".to_owned(), "canary-z-ai-key".to_owned())];
    let loaded = load(&tree, "hotreload", &Environment::new(variables));
    let desired = loaded.desired.unwrap_or_else(|| panic!("{:?}", loaded.diagnostics));
    json!(PlanRequest { org: None, fallback_org: None, desired, options: PlanOptions::default() })
}

/// A small generator with a fixed seed (an xorshift).
pub(super) fn random(state: &mut u64, below: u64) -> u64 {
    *state ^= *state << 13;
    *state ^= *state >> 7;
    *state ^= *state << 17;
    *state % below
}

#[test]
fn p2_p3_p9_a_server_that_is_killed_a_hundred_times_loses_nothing_and_repeats_nothing() {
    let project = Project::hotreload();
    project.run(&["--yes"]).exits(0);
    let storm = Storm {
        place: Place::socket(&project.store()),
        done: AtomicBool::new(false),
        acknowledged: AtomicU64::new(1),
        broken: AtomicU64::new(0),
    };
    // No watcher ends before the last commit is known.
    let through = AtomicU64::new(u64::MAX);
    let storm = &storm;
    let (written, applied, sessions, seen) = std::thread::scope(|threads| {
        let writers: Vec<_> = (0..WRITERS).map(|writer| threads.spawn(move || storm.write(writer))).collect();
        let folder = project.path();
        let applier = threads.spawn(move || storm.apply(&folder));
        let sessions = threads.spawn(|| storm.open_sessions());
        let watchers: Vec<_> = (0..WATCHERS).map(|_| threads.spawn(|| storm.watch(&through))).collect();
        let mut state = 20_261_124;
        for _ in 0..KILLS {
            let server = project.serve();
            std::thread::sleep(Duration::from_millis(20 + random(&mut state, 130)));
            server.kill();
        }
        storm.done.store(true, Ordering::SeqCst);
        // The last server answers what is still open.
        let server = project.serve();
        let written: Vec<_> = writers.into_iter().map(|writer| writer.join().unwrap()).collect();
        let (applied, sessions) = (applier.join().unwrap(), sessions.join().unwrap());
        let head = storm.insist("GET", "/v1/head", &[], b"").json()["revision"].as_u64().unwrap();
        // Nobody else writes any more: this one is the last, and wakes the watchers.
        through.store(head + 1, Ordering::SeqCst);
        assert_eq!(storm.insist("PUT", "/v1/kv/last", &[], b"x").json(), json!({"revision": head + 1}));
        let seen: Vec<_> = watchers.into_iter().map(|watcher| watcher.join().unwrap()).collect();
        check_chain(storm, &seen[0]);
        assert!(server.stop().success());
        (written.into_iter().flatten().collect::<BTreeMap<_, _>>(), applied, sessions, seen)
    });
    assert!(seen.iter().all(|other| *other == seen[0]), "two watchers saw different things");
    check_writes(&written, &seen[0]);
    let touched = |commit: &&Value| changes(commit).any(|change| change["key"] == "live/settings/hotreload-test");
    let applies: Vec<u64> = seen[0].iter().filter(touched).map(|commit| commit["revision"].as_u64().unwrap()).collect();
    // The first is the project's own.
    assert_eq!(applies[1..], applied.keys().copied().collect::<Vec<_>>());
    assert_eq!(seen[0].len(), 1 + written.len() + applied.len() + 1, "a commit that nobody asked for");
    project.run(&["verify"]).exits(0).says("sound");
    let broken = storm.broken.load(Ordering::Relaxed);
    println!(
        "{KILLS} kills: {} writes and {} applies once each, {sessions} sessions, {} commits seen by {WATCHERS} watchers, {broken} calls broke off",
        written.len(),
        applied.len(),
        seen[0].len()
    );
    assert!(written.len() >= WRITES_MIN, "only {} writes", written.len());
    assert!(applied.len() as u64 >= KILLS / 4, "only {} applies", applied.len());
    assert!(sessions >= SESSIONS_MIN, "only {sessions} sessions");
    assert!(broken >= KILLS, "only {broken} calls broke off: nobody was hit");
}

fn changes(commit: &Value) -> impl Iterator<Item = &Value> {
    commit["changes"].as_array().unwrap().iter()
}

/// Every write stands once in what was seen, as a new key, at the revision that was acknowledged.
fn check_writes(written: &BTreeMap<String, u64>, seen: &[Value]) {
    let mut found = BTreeMap::new();
    for commit in seen {
        for change in changes(commit).filter(|change| change["key"].as_str().unwrap().starts_with("kv/storm/")) {
            assert_eq!((&change["op"], &change["previous"]), (&json!("put"), &Value::Null), "written twice: {commit}");
            let again = found.insert(change["key"].as_str().unwrap().to_owned(), commit["revision"].as_u64().unwrap());
            assert_eq!(again, None, "written twice: {commit}");
        }
    }
    assert_eq!(&found, written);
}

/// The history is one chain without gap, and it is what was seen.
fn check_chain(storm: &Storm, seen: &[Value]) {
    let mut before = seen.len() as u64 + 1;
    let mut parent = None;
    while before > 1 {
        let page = storm.insist("GET", &format!("/v1/commits?before={before}&limit=500"), &[], b"").json();
        for commit in page["commits"].as_array().unwrap() {
            before -= 1;
            assert_eq!(commit["revision"], before);
            assert_eq!(commit["commit"], seen[usize::try_from(before).unwrap() - 1]["commit"]);
            assert!(parent.is_none_or(|parent| parent == commit["commit"]), "r{before} is not the parent of the next");
            parent = Some(commit["parent"].clone());
        }
    }
}
