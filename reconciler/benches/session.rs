//! Session creation in process: 1,000 and 100,000 agents, alone and while commits go on.
//!
//! `cargo bench -p holdfast-reconciler --bench session`. Nothing is cached but decoded values: each round resolves settings,
//! credential (the sealed secret is opened) and model anew. Agents are visited in a fixed pseudo-random order.

#![allow(clippy::unwrap_used, clippy::print_stdout, missing_docs, reason = "a benchmark prints and may stop")]

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant, SystemTime};

use holdfast_engine::{Engine, Key, MemoryStore, Options, Timestamp, Txn};
use holdfast_reconciler::agents::profile::ProfileType;
use holdfast_reconciler::agents::resolver::SystemEnvironment;
use holdfast_reconciler::desired::SecretText;
use holdfast_reconciler::keyfile::KeySource;
use holdfast_reconciler::plane::{ControlPlane, ProfileChange, ProfileCredential, ProfileWrite, SecretWrite};
use holdfast_reconciler::resource::{Address, OrgId};
use holdfast_reconciler::{Plane, PlaneOptions};

const ROUNDS: usize = 200_000;
const FIELDS: &str = r#"{"fields":{"installedProviders":[{"providerId":"z-ai"}],"modelSelection":{"mode":"auto"},"providerModelPreferences":{"z-ai":"glm-4.6"},"identityMd":"You answer questions about orders."},"owner":"bench"}"#;

fn main() {
    println!("session creation, in process, memory store (sessions never touch the disk)");
    for agents in [1_000, 100_000] {
        let plane = plane(agents);
        measure(&plane, agents, "alone");
        let done = Arc::new(AtomicBool::new(false));
        let writer = std::thread::spawn({
            let (done, plane) = (Arc::clone(&done), plane.clone());
            move || commit_until(&plane, &done)
        });
        measure(&plane, agents, "while commits go on");
        done.store(true, Ordering::Relaxed);
        println!("    ({} commits meanwhile)", writer.join().unwrap());
    }
}

fn plane(agents: usize) -> Plane {
    let clock: holdfast_engine::Clock = Arc::new(|| {
        let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or(Duration::ZERO);
        Timestamp::from_millis(i64::try_from(since.as_millis()).unwrap_or(i64::MAX))
    });
    let engine = Engine::open(Box::new(MemoryStore::new()), Options { clock: Arc::clone(&clock) }).unwrap();
    let key = SecretText::new("00112233445566778899aabbccddeeff".repeat(2));
    let options = PlaneOptions {
        keys: KeySource::Text(key),
        system: SystemEnvironment::NotKnown,
        clock,
        elapsed: Arc::new(|| std::time::Duration::ZERO),
        holder: None,
    };
    let plane = Plane::new(engine, options);
    let indices: Vec<usize> = (0..agents).collect();
    for chunk in indices.chunks(10_000) {
        let txn = chunk.iter().fold(Txn::new().author("bench"), |txn, index| {
            txn.put(Key::new(format!("org/default/live/settings/agent-{index}")).unwrap(), FIELDS.as_bytes())
        });
        plane.engine().commit(txn).unwrap();
    }
    let secret = SecretWrite {
        org: None,
        name: "provider:z-ai:apiKey".to_owned(),
        value: Some(SecretText::new("a-key-of-usual-length-0123456789".to_owned())),
        expires: None,
        author: "bench".to_owned(),
        allow_break: Default::default(),
    };
    plane.write_secret(&secret).unwrap();
    let credential = ProfileCredential::Value(SecretText::new("a-key-of-usual-length-9876543210".to_owned()));
    let profile = ProfileWrite {
        org: None,
        user: "maria".to_owned(),
        provider: "z-ai".to_owned(),
        model: None,
        change: ProfileChange::Set { kind: ProfileType::ApiKey, credential, expires: None },
        author: "bench".to_owned(),
        allow_break: Default::default(),
    };
    plane.write_profile(&profile).unwrap();
    plane
}

/// Settings as a program of one's own may read them.
#[derive(serde::Deserialize)]
struct Typed {
    #[serde(rename = "identityMd")]
    identity: String,
}

fn measure(plane: &Plane, agents: usize, what: &str) {
    let org = OrgId::default();
    let names: Vec<String> = (0..agents).map(|index| format!("agent-{index}")).collect();
    let mut next = 1_usize;
    let mut nanos = Vec::with_capacity(ROUNDS);
    // One round over all agents first: decoded values are the one thing that may be cached.
    for name in &names {
        plane.session(&org, name, None).unwrap();
    }
    for _ in 0..ROUNDS {
        next = next.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        let name = &names[(next >> 33) % agents];
        let start = Instant::now();
        let session = plane.session(&org, name, None).unwrap();
        nanos.push(start.elapsed().as_nanos() as u64);
        drop(session);
    }
    nanos.sort_unstable();
    let at = |share: f64| nanos[((nanos.len() - 1) as f64 * share) as usize] as f64 / 1000.0;
    println!("  {agents:>7} agents, {what:<20} p50 {:>6.2} us   p99 {:>6.2} us", at(0.5), at(0.99));
    let session = plane.session(&org, &names[0], None).unwrap();
    let address: Address = format!("settings/{}", names[0]).parse().unwrap();
    let per_call = |name: &str, call: &dyn Fn()| {
        let start = Instant::now();
        (0..100_000).for_each(|_| call());
        println!("    {name:<24} {:>7.0} ns", start.elapsed().as_nanos() as f64 / 100_000.0);
    };
    let first = |name: &str, call: &dyn Fn()| {
        let start = Instant::now();
        call();
        println!("    {name:<24} {:>7.0} ns, once", start.elapsed().as_nanos());
    };
    first("a counter that looks", &|| drop(plane.engine().counter("org/default/live/settings/none")));
    first("is_current(), the first", &|| {
        std::hint::black_box(session.is_current());
    });
    per_call("is_current()", &|| assert!(std::hint::black_box(&session).is_current() || what != "alone"));
    per_call("get::<T>(address)", &|| assert!(!session.get::<Typed>(&address).unwrap().identity.is_empty()));
    per_call("record of a resource", &|| drop(session.record(&address).unwrap()));
    let user = plane.session(&org, &names[0], Some("maria")).unwrap();
    per_call("session of a user", &|| drop(user.refresh().unwrap()));
    per_call("credential of a session", &|| drop(session.credential("z-ai").unwrap()));
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
