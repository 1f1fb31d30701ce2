//! Three followers, each a process of its own, behind a server that applies one manifest after the other, while all of them are
//! killed in turn. A session that is opened on any of them with the apply's revision never reads an older one (P4); a watch on each
//! of them tells how long a commit takes to get there.
//!
//! The short form applies 300 times, `HOLDFAST_LONG` 10,000 times.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::bench::{PATIENCE, Project, Server, reconcile};
use super::storm::plan_request;
use super::wire::{Answer, Place};

const FOLLOWERS: usize = 3;
/// How often something is killed: the server and each follower in turn.
const KILLS: u64 = 12;

fn applies() -> u64 {
    if std::env::var_os("HOLDFAST_LONG").is_some() { 10_000 } else { 300 }
}

/// The folder of a follower.
fn folder(project: &Project, number: usize) -> PathBuf {
    project.path().join(format!(".follower-{number}"))
}

fn follower(project: &Project, number: usize) -> Server {
    let mut command = project.command(&reconcile());
    let name = format!("gateway-{number}");
    command.args(["serve", "--follow", ".holdfast", "--name", &name, "--store"]).arg(folder(project, number));
    Server::start(command, |line| line.contains("following ") && line.contains("pid"))
}

/// Asks again as long as nobody is there, or the follower has no state or not that revision yet.
fn insist(place: &Place, method: &str, target: &str, headers: &[(&str, &str)], body: &[u8]) -> Answer {
    let deadline = Instant::now() + PATIENCE;
    loop {
        match place.ask(method, target, headers, body) {
            Ok(answer) if answer.status != 503 && !is_late(&answer) => return answer,
            Ok(answer) => assert!(Instant::now() < deadline, "{method} {target}: {answer:?}"),
            Err(error) => assert!(Instant::now() < deadline, "{method} {target}: {error}"),
        }
        std::thread::sleep(Duration::from_millis(2));
    }
}

fn is_late(answer: &Answer) -> bool {
    answer.status == 404 && answer.json()["code"] == "E_REVISION_WAIT"
}

/// Applies the project with another model; gives the revision.
fn apply(project: &Project, server: &Place, model: &str) -> u64 {
    let plan = plan_request(&project.path(), model);
    let shown = insist(server, "POST", "/v1/plan", &[], plan.to_string().as_bytes());
    assert_eq!(shown.status, 200, "{shown:?}");
    let body = json!({"plan": plan, "plan_id": shown.json()["plan_id"], "author": "fleet"}).to_string();
    let answer = insist(server, "POST", "/v1/apply", &[("idempotency-key", model)], body.as_bytes());
    assert_eq!(answer.status, 200, "{answer:?}");
    answer.json()["revision"].as_u64().unwrap()
}

/// The session of a follower at a revision or later: its revision and model.
fn session(follower: &Place, revision: u64) -> (u64, String) {
    let target = format!("/v1/agents/hotreload-test/session?min_revision={revision}");
    let answer = insist(follower, "GET", &target, &[], b"");
    assert_eq!(answer.status, 200, "{answer:?}");
    let session = answer.json();
    (session["revision"].as_u64().unwrap(), session["model"]["id"].as_str().unwrap().to_owned())
}

/// When each revision was seen first on a watch, until `done`.
fn watch(place: &Place, done: &AtomicBool, last: &AtomicU64) -> BTreeMap<u64, Instant> {
    let mut seen = BTreeMap::new();
    let (mut from, mut reached) = (String::new(), 0);
    loop {
        if done.load(Ordering::SeqCst) && reached >= last.load(Ordering::SeqCst) {
            return seen;
        }
        let Ok(mut events) = place.watch(&format!("/v1/watch{from}"), &[]) else {
            std::thread::sleep(Duration::from_millis(2));
            continue;
        };
        while let Ok(Some(event)) = events.next() {
            let now = Instant::now();
            let Some(revision) = event.data["revision"].as_u64() else { continue };
            if event.name.is_empty() {
                assert!(seen.insert(revision, now).is_none(), "r{revision} came twice");
                from = format!("?from={revision}");
            }
            // A follower that was killed begins with a resync; that tells the revision too.
            reached = revision.max(reached);
            if done.load(Ordering::SeqCst) && reached >= last.load(Ordering::SeqCst) {
                return seen;
            }
        }
    }
}

/// The processes, one of which may be dead for a moment.
struct Fleet<'p> {
    project: &'p Project,
    server: Option<Server>,
    followers: Vec<Option<Server>>,
}

impl Fleet<'_> {
    /// SIGKILL, in turn; gives what has to be started again.
    fn kill(&mut self, turn: u64) -> Option<usize> {
        let turn = usize::try_from(turn).unwrap() % (FOLLOWERS + 1);
        match turn.checked_sub(1) {
            None => self.server.take().unwrap().kill(),
            Some(number) => self.followers[number].take().unwrap().kill(),
        }
        turn.checked_sub(1)
    }

    fn start(&mut self, which: Option<usize>) {
        match which {
            None => self.server = Some(self.project.serve()),
            Some(number) => self.followers[number] = Some(follower(self.project, number)),
        }
    }
}

fn percentile(sorted: &[Duration], part: f64) -> Duration {
    sorted[((sorted.len() - 1) as f64 * part) as usize]
}

#[test]
fn p4_p9_a_session_on_any_of_three_followers_reads_what_was_applied_while_all_are_killed_in_turn() {
    let project = Project::hotreload();
    project.run(&["--yes"]).exits(0);
    let server = Some(project.serve());
    let followers = (0..FOLLOWERS).map(|number| Some(follower(&project, number))).collect();
    let mut fleet = Fleet { project: &project, server, followers };
    let server = Place::socket(&project.store());
    let places: Vec<Place> = (0..FOLLOWERS).map(|number| Place::socket(&folder(&project, number))).collect();
    let (done, last) = (AtomicBool::new(false), AtomicU64::new(0));
    let acked = Mutex::new(BTreeMap::new());
    let (mut sessions, mut older, mut kills) = (0_u64, 0_u64, 0_u64);
    // Revisions around which nothing was dead.
    let mut calm: Vec<u64> = Vec::new();
    let every = applies() / KILLS;
    let watched = std::thread::scope(|threads| {
        let (done, last) = (&done, &last);
        let watchers: Vec<_> = places.iter().map(|place| threads.spawn(|| watch(place, done, last))).collect();
        for number in 0..applies() {
            let kill = number % every == every / 2;
            let dead = kill.then(|| fleet.kill(number / every));
            if dead == Some(None) {
                // Without the server the followers go on with what they have.
                let before = last.load(Ordering::SeqCst);
                for place in &places {
                    assert!(session(place, before).0 >= before);
                }
                fleet.start(None);
            }
            let model = format!("model-{number}");
            let revision = apply(&project, &server, &model);
            acked.lock().unwrap().insert(revision, Instant::now());
            last.store(revision, Ordering::SeqCst);
            if let Some(Some(which)) = dead {
                fleet.start(Some(which));
            }
            for place in &places {
                let (at, shown) = session(place, revision);
                sessions += 1;
                older += u64::from(at < revision || shown != model);
            }
            kills += u64::from(kill);
            if number % every < every / 2 && number % every > 2 {
                calm.push(revision);
            }
        }
        // One more, so that every watch has something to end with.
        let ending = insist(&server, "PUT", "/v1/kv/ending", &[], b"x").json()["revision"].as_u64().unwrap();
        last.store(ending, Ordering::SeqCst);
        done.store(true, Ordering::SeqCst);
        // A watch that slept through it is woken.
        insist(&server, "PUT", "/v1/kv/ending", &[], b"y");
        watchers.into_iter().map(|watcher| watcher.join().unwrap()).collect::<Vec<_>>()
    });
    assert_eq!(older, 0, "of {sessions} sessions");
    let acked = acked.into_inner().unwrap();
    let mut delays: Vec<Duration> = Vec::new();
    for seen in &watched {
        let delay = |revision: &u64| Some(seen.get(revision)?.saturating_duration_since(*acked.get(revision)?));
        delays.extend(calm.iter().filter_map(delay));
    }
    delays.sort();
    println!(
        "{} applies, {kills} kills: {sessions} sessions on {FOLLOWERS} followers, none older than asked; \
         commit to follower p50 {:?}, p99 {:?} over {} deliveries",
        acked.len(),
        percentile(&delays, 0.5),
        percentile(&delays, 0.99),
        delays.len()
    );
    assert_eq!(acked.len() as u64, applies());
    assert!(kills >= KILLS && sessions >= applies() * FOLLOWERS as u64);
    assert!(delays.len() as u64 >= applies() / 2, "only {} deliveries were seen", delays.len());
    // Everybody has the same in the end.
    let head = insist(&server, "GET", "/v1/head", &[], b"").json();
    let revision = head["revision"].as_u64().unwrap().to_string();
    project.run(&["wait", "--revision", &revision, "--observed", "--timeout", "30"]).exits(0).says("everywhere");
    for place in &places {
        let mut there = insist(place, "GET", "/v1/head", &[], b"").json();
        assert_eq!(there["revision"].take(), head["revision"]);
    }
    for follower in fleet.followers.into_iter().flatten() {
        assert!(follower.stop().success());
    }
    assert!(fleet.server.unwrap().stop().success());
    project.run(&["verify"]).exits(0).says("sound");
}

/// The state of a follower, as it tells it itself.
fn following(place: &Place) -> Value {
    insist(place, "GET", "/v1/status", &[], b"").json()["following"].clone()
}

#[test]
fn p4_followers_come_back_from_compaction_from_a_restored_store_and_from_a_damaged_file() {
    let project = Project::hotreload();
    project.run(&["--yes"]).exits(0);
    let mut server = project.serve();
    let main = Place::socket(&project.store());
    let places: Vec<Place> = (0..FOLLOWERS).map(|number| Place::socket(&folder(&project, number))).collect();
    let mut followers: Vec<_> = (0..FOLLOWERS).map(|number| follower(&project, number)).collect();
    let revision = apply(&project, &main, "kept");
    for place in &places {
        assert_eq!(session(place, revision), (revision, "kept".to_owned()));
    }
    project.run(&["backup", "saved"]).exits(0);

    // One is away, and what it missed is given up; another one's file is cut, a third one's is damaged.
    for follower in followers.drain(..) {
        assert!(follower.stop().success());
    }
    let revision = (0..20).fold(0, |_, number| apply(&project, &main, &format!("missed-{number}")));
    project.run(&["compact", "--keep", "1", "--yes"]).exits(0);
    let state = |number: usize| folder(&project, number).join("follower.state");
    let whole = std::fs::read(state(1)).unwrap();
    std::fs::write(state(1), &whole[..whole.len() / 2]).unwrap();
    let mut damaged = std::fs::read(state(2)).unwrap();
    let middle = damaged.len() / 2;
    damaged[middle] ^= 1;
    std::fs::write(state(2), damaged).unwrap();
    followers.extend((0..FOLLOWERS).map(|number| follower(&project, number)));
    for place in &places {
        assert_eq!(session(place, revision), (revision, "missed-19".to_owned()));
        assert_eq!(following(place)["connected"], true);
    }

    // The command line works against a follower: reads are its own, writes go to the server and are in force when they return.
    let at = |arguments: &[&str]| {
        let store = folder(&project, 0);
        project.run(&[arguments, &["--store", store.to_str().unwrap()]].concat())
    };
    at(&["session", "hotreload-test"]).exits(0).says("missed-19");
    project.set_model("through");
    at(&["--yes"]).exits(0).says("through");
    at(&["session", "hotreload-test"]).exits(0).says("through");
    at(&["history"]).exits(0).says("r22");
    at(&["status"]).exits(0).says("follows").says("gateway-2").says("following");
    at(&["verify"]).exits(0).says("sound");

    // A store that was restored is another epoch: what came after the backup is gone everywhere.
    project.set_model("glm-4.6");
    assert!(server.stop().success());
    project.run(&["restore", "saved", "--replace"]).exits(0).says("epoch 2");
    // Until the server is back they go on with what they have.
    assert_eq!(session(&places[0], 1).1, "through");
    server = project.serve();
    let revision = apply(&project, &main, "after-restore");
    assert!(revision > 1_000_000_000, "r{revision}");
    for place in &places {
        assert_eq!(session(place, revision), (revision, "after-restore".to_owned()));
        let head = insist(place, "GET", "/v1/head", &[], b"").json();
        assert_eq!(head["epoch"], 2);
    }

    // One that is dead lags, and is named.
    let newest = revision.to_string();
    project.run(&["wait", "--revision", &newest, "--observed", "--timeout", "30"]).exits(0);
    followers.remove(1).kill();
    let revision = apply(&project, &main, "last").to_string();
    let timed_out = project.run(&["wait", "--revision", &revision, "--observed", "--timeout", "1"]).exits(5);
    let timed_out = timed_out.complains("E_TIMEOUT").complains("follower `gateway-1` runs");
    assert!(!timed_out.err.contains("gateway-2"), "{}", timed_out.err);
    followers.insert(1, follower(&project, 1));
    project.run(&["wait", "--revision", &revision, "--observed", "--timeout", "30"]).exits(0);
    for follower in followers {
        assert!(follower.stop().success());
    }
    let status = project.run(&["status", "--format", "json"]).exits(0).json();
    assert_eq!(status["followers"], json!([]), "they said that they go");
    assert!(server.stop().success());
}

#[test]
fn a_follower_is_refused_where_it_cannot_be_and_a_folder_of_one_is_no_store() {
    let project = Project::hotreload();
    project.run(&["--yes"]).exits(0);
    project.run(&["serve", "--follow", ".holdfast"]).exits(1).complains("E_FOLLOW_FOLDER").complains("holds a store");
    project.run(&["serve", "--follow", ".holdfast", "--watch"]).exits(64);
    project.run(&["serve", "--name", "x"]).exits(64);
    std::fs::write(project.path().join("file"), "x").unwrap();
    project.run(&["serve", "--follow", ".holdfast", "--store", "file"]).exits(1).complains("E_FOLLOW_FOLDER");
    project.run(&["serve", "--follow", "https://127.0.0.1:99999", "--store", "f"]).exits(1).complains("E_SERVER_URL");
    project.run(&["serve", "--follow", "ftp://x", "--store", "f"]).exits(1).complains("E_SERVER_URL");
    let server = project.serve();
    let one = follower(&project, 0);
    assert!(one.stop().success());
    let store = folder(&project, 0);
    project.run(&["--yes", "--store", store.to_str().unwrap()]).exits(1).complains("E_NOT_A_STORE");
    assert!(server.stop().success());
}
