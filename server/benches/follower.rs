//! A follower over the Unix socket: how long after it was acknowledged a commit is in force there, how fast sessions are created on it
//! while commits come in, beside the server's own plane in the same run, and how long a first state and one from the folder take.
//!
//! `cargo bench -p holdfast-server --bench follower`. 100,000 agents; the server's store is in memory, so that the disk is not measured.

#![allow(clippy::unwrap_used, clippy::print_stdout, missing_docs, reason = "a benchmark prints and may stop")]

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant, UNIX_EPOCH};

use holdfast_engine::{Clock, Engine, Key, MemoryStore, Options, Timestamp, Txn};
use holdfast_reconciler::agents::resolver::SystemEnvironment;
use holdfast_reconciler::desired::SecretText;
use holdfast_reconciler::keyfile::KeySource;
use holdfast_reconciler::plane::{ControlPlane, SecretWrite};
use holdfast_reconciler::resource::OrgId;
use holdfast_reconciler::{Plane, PlaneOptions};
use holdfast_server::{Client, Follower, FollowerOptions, SOCKET_NAME, ServeOptions, mount};

const AGENTS: usize = 100_000;
const SESSIONS: usize = 200_000;
const COMMITS: usize = 10_000;
const PATIENCE: Duration = Duration::from_secs(60);
const FIELDS: &str = r#"{"fields":{"installedProviders":[{"providerId":"z-ai"}],"modelSelection":{"mode":"auto"},"providerModelPreferences":{"z-ai":"glm-4.6"},"identityMd":"You answer questions about orders."},"owner":"bench"}"#;

fn main() {
    let folder = tempfile::tempdir().unwrap();
    let plane = plane();
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    let handle = runtime.block_on(mount(Arc::new(plane.clone()), folder.path(), ServeOptions::default())).unwrap();
    let own = folder.path().join("follower");
    println!("a follower over the Unix socket, {AGENTS} agents");
    let begun = Instant::now();
    let follower = follow(folder.path(), &own);
    println!("  first state                      {:>8.0} ms", begun.elapsed().as_secs_f64() * 1000.0);
    follower.shutdown();
    drop(follower);
    let begun = Instant::now();
    let follower = follow(folder.path(), &own);
    println!("  state from the folder            {:>8.0} ms", begun.elapsed().as_secs_f64() * 1000.0);

    let mut nanos = Vec::with_capacity(COMMITS);
    for number in 0..COMMITS {
        let revision = plane.engine().commit(small(number)).unwrap().revision;
        let acknowledged = Instant::now();
        follower.wait_for(revision, PATIENCE).unwrap();
        nanos.push(acknowledged.elapsed().as_nanos() as u64);
    }
    told("commit to follower", nanos);
    sessions("session, server's plane, alone", &plane);
    sessions("session, follower, alone", follower.plane().unwrap());
    let done = Arc::new(AtomicBool::new(false));
    let writer = std::thread::spawn({
        let (plane, done) = (plane.clone(), Arc::clone(&done));
        move || {
            let mut made = 0;
            while !done.load(Ordering::Relaxed) {
                plane.engine().commit(small(made)).unwrap();
                made += 1;
                std::thread::sleep(Duration::from_micros(200));
            }
            made
        }
    });
    sessions("session, follower, under commits", follower.plane().unwrap());
    done.store(true, Ordering::Relaxed);
    println!("  ({} commits meanwhile)", writer.join().unwrap());
    let session = follower.session(&OrgId::default(), "agent-1", None).unwrap();
    let mut nanos = Vec::new();
    for _ in 0..2_000 {
        let begun = Instant::now();
        session.credential("z-ai").unwrap();
        nanos.push(begun.elapsed().as_nanos() as u64);
    }
    told("value, at the server's head", nanos);
    follower.shutdown();
    runtime.block_on(handle.shutdown());
}

fn follow(server: &Path, own: &Path) -> Follower {
    let follower = Follower::start(FollowerOptions {
        server: Client::new(server.join(SOCKET_NAME)),
        folder: own.to_owned(),
        name: None,
        keys: keys(),
        system: SystemEnvironment::Known(BTreeMap::new()),
        clock: clock(),
        holder: None,
    });
    let follower = follower.unwrap();
    follower.ready(PATIENCE).unwrap();
    follower
}

fn sessions(what: &str, plane: &Plane) {
    let org = OrgId::default();
    let mut next = 1_u64;
    let mut nanos = Vec::with_capacity(SESSIONS);
    let all = Instant::now();
    for _ in 0..SESSIONS {
        next = next.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        let agent = format!("agent-{}", (next >> 33) as usize % AGENTS);
        let begun = Instant::now();
        let session = plane.session(&org, &agent, None).unwrap();
        nanos.push(begun.elapsed().as_nanos() as u64);
        drop(session);
    }
    let each_second = SESSIONS as f64 / all.elapsed().as_secs_f64();
    told(what, nanos);
    println!("  {:<32} {each_second:>11.0} /s, one thread", "");
}

fn told(what: &str, mut nanos: Vec<u64>) {
    nanos.sort_unstable();
    let at = |share: f64| nanos[((nanos.len() - 1) as f64 * share) as usize] as f64 / 1000.0;
    println!("  {what:<32} p50 {:>7.1} us   p99 {:>8.1} us   max {:>9.1} us", at(0.5), at(0.99), at(1.0));
}

fn small(number: usize) -> Txn {
    let key = Key::new(format!("org/default/kv/bench/{}", number % 1_000)).unwrap();
    Txn::new().author("bench").put(key, *b"value")
}

fn clock() -> Clock {
    Arc::new(|| Timestamp::from_millis(UNIX_EPOCH.elapsed().map_or(0, |since| since.as_millis() as i64)))
}

fn keys() -> KeySource {
    KeySource::Text(SecretText::new("00112233445566778899aabbccddeeff".repeat(2)))
}

fn plane() -> Plane {
    let engine = Engine::open(Box::new(MemoryStore::new()), Options { clock: clock() }).unwrap();
    let system = SystemEnvironment::Known(BTreeMap::new());
    let plane = Plane::new(
        engine,
        PlaneOptions {
            keys: keys(),
            system,
            clock: clock(),
            elapsed: Arc::new(|| std::time::Duration::ZERO),
            holder: None,
        },
    );
    for chunk in (0..AGENTS).collect::<Vec<_>>().chunks(10_000) {
        let txn = chunk.iter().fold(Txn::new().author("bench"), |txn, index| {
            txn.put(Key::new(format!("org/default/live/settings/agent-{index}")).unwrap(), FIELDS.as_bytes())
        });
        plane.engine().commit(txn).unwrap();
    }
    let (name, value) = ("provider:z-ai:apiKey".to_owned(), Some(SecretText::new("a-key-of-usual-length".to_owned())));
    let (author, allow_break) = ("bench".to_owned(), Default::default());
    plane.write_secret(&SecretWrite { org: None, name, value, expires: None, author, allow_break }).unwrap();
    plane
}
