//! Sessions through the Unix socket, alone and while commits go on: 100,000 agents, one client after another and eight at once.
//!
//! `cargo bench -p holdfast-server --bench session`. Each call is a whole request of the client: connection kept, JSON there and back.

#![allow(clippy::unwrap_used, clippy::print_stdout, missing_docs, reason = "a benchmark prints and may stop")]

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant, UNIX_EPOCH};

use holdfast_engine::{Engine, Key, MemoryStore, Options, Timestamp, Txn};
use holdfast_reconciler::agents::resolver::SystemEnvironment;
use holdfast_reconciler::desired::SecretText;
use holdfast_reconciler::keyfile::KeySource;
use holdfast_reconciler::plane::{ControlPlane, SecretWrite, SessionRequest};
use holdfast_reconciler::{Plane, PlaneOptions};
use holdfast_server::{Client, SOCKET_NAME, ServeOptions, mount};

const AGENTS: usize = 100_000;
const ROUNDS: usize = 5_000;
const FIELDS: &str = r#"{"fields":{"installedProviders":[{"providerId":"z-ai"}],"modelSelection":{"mode":"auto"},"providerModelPreferences":{"z-ai":"glm-4.6"},"identityMd":"You answer questions about orders."},"owner":"bench"}"#;

fn main() {
    let folder = tempfile::tempdir().unwrap();
    let plane = plane();
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    let handle = runtime.block_on(mount(Arc::new(plane.clone()), folder.path(), ServeOptions::default())).unwrap();
    let socket = folder.path().join(SOCKET_NAME);
    println!("session through the Unix socket, {AGENTS} agents, memory store");
    for commits in [false, true] {
        for clients in [1, 8] {
            let done = Arc::new(AtomicBool::new(!commits));
            let writer = std::thread::spawn({
                let (done, plane) = (Arc::clone(&done), plane.clone());
                move || commit_until(&plane, &done)
            });
            let begun = Instant::now();
            let threads: Vec<_> = (0..clients)
                .map(|seed| {
                    let socket = socket.clone();
                    std::thread::spawn(move || looks(&Client::new(socket), seed, ROUNDS / clients))
                })
                .collect();
            let mut nanos: Vec<u64> = threads.into_iter().flat_map(|thread| thread.join().unwrap()).collect();
            let per_second = nanos.len() as f64 / begun.elapsed().as_secs_f64();
            done.store(true, Ordering::Relaxed);
            let made = writer.join().unwrap();
            nanos.sort_unstable();
            let at = |share: f64| nanos[((nanos.len() - 1) as f64 * share) as usize] as f64 / 1000.0;
            let what = if commits { "while commits go on" } else { "alone" };
            println!(
                "  {clients} client(s), {what:<20} p50 {:>7.1} us   p99 {:>8.1} us   {per_second:>7.0}/s   ({made} commits)",
                at(0.5),
                at(0.99)
            );
        }
    }
    runtime.block_on(handle.shutdown());
}

fn looks(client: &Client, seed: usize, rounds: usize) -> Vec<u64> {
    let mut next = seed as u64 + 1;
    let mut nanos = Vec::with_capacity(rounds);
    for round in 0..rounds + 100 {
        next = next.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        let agent = format!("agent-{}", (next >> 33) as usize % AGENTS);
        let request = SessionRequest { agent, ..SessionRequest::default() };
        let start = Instant::now();
        client.look(&request).unwrap();
        // The first hundred make the connections.
        if round >= 100 {
            nanos.push(start.elapsed().as_nanos() as u64);
        }
    }
    nanos
}

fn plane() -> Plane {
    let clock: holdfast_engine::Clock =
        Arc::new(|| Timestamp::from_millis(UNIX_EPOCH.elapsed().map_or(0, |since| since.as_millis() as i64)));
    let engine = Engine::open(Box::new(MemoryStore::new()), Options { clock: Arc::clone(&clock) }).unwrap();
    let keys = KeySource::Text(SecretText::new("00112233445566778899aabbccddeeff".repeat(2)));
    let system = SystemEnvironment::Known(BTreeMap::new());
    let plane = Plane::new(
        engine,
        PlaneOptions { keys, system, clock, elapsed: Arc::new(|| std::time::Duration::ZERO), holder: None },
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

fn commit_until(plane: &Plane, done: &AtomicBool) -> u64 {
    let mut commits = 0;
    while !done.load(Ordering::Relaxed) {
        let key = Key::new(format!("org/default/kv/bench/{}", commits % 1_000)).unwrap();
        plane.engine().commit(Txn::new().author("bench").put(key, *b"value")).unwrap();
        commits += 1;
        std::thread::sleep(Duration::from_micros(200));
    }
    commits
}
