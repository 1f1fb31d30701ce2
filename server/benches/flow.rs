//! What flows through a served store: applies through the Unix socket by one client and by eight, and the delay from a commit to its
//! event at one watcher and at a thousand.
//!
//! `cargo bench -p holdfast-server --bench flow`. An apply is what `reconcile --yes` does after it has read its manifests: a plan, and
//! an apply of it, one changed agent of ten, committed to sled in a temporary folder (`HOLDFAST_BENCH_DIR` names another). A watcher is a connection of its own with
//! server-sent events; the delay begins before the commit is handed to the engine, whose store is in memory.

#![allow(clippy::unwrap_used, clippy::print_stdout, missing_docs, reason = "a benchmark prints and may stop")]

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant, UNIX_EPOCH};

use holdfast_engine::{Clock, Engine, Key, MemoryStore, Options, SledOptions, SledStore, Store, Timestamp, Txn};
use holdfast_reconciler::agents::resolver::SystemEnvironment;
use holdfast_reconciler::desired::SecretText;
use holdfast_reconciler::keyfile::KeySource;
use holdfast_reconciler::manifest::{Environment, MemoryTree, load};
use holdfast_reconciler::plan::{Plan, PlanOptions, PlanRequest};
use holdfast_reconciler::plane::{ApplyRequest, ControlPlane, Holder};
use holdfast_reconciler::{Plane, PlaneOptions};
use holdfast_server::{Client, SOCKET_NAME, ServeOptions, mount};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;
use tokio::runtime::{Builder, Runtime};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};

const APPLIES: usize = 800;
const AGENTS: usize = 10;
const COMMITS: usize = 500;

fn main() {
    let folder = match std::env::var_os("HOLDFAST_BENCH_DIR") {
        Some(folder) => tempfile::tempdir_in(folder).unwrap(),
        None => tempfile::tempdir().unwrap(),
    };
    let runtime = Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    println!("a plan and its apply through the Unix socket, one of {AGENTS} agents changed, sled");
    for clients in [1, 8] {
        let store = folder.path().join(format!("store-{clients}"));
        let plane = plane(Box::new(SledStore::open(&store, SledOptions::default()).unwrap()));
        applies(&runtime, &plane, folder.path(), clients);
    }
    println!("from a commit to its event over the Unix socket, memory store");
    for watchers in [1, 1_000] {
        delays(&runtime, &plane(Box::new(MemoryStore::new())), folder.path(), watchers);
    }
}

fn plane(store: Box<dyn Store>) -> Plane {
    let clock: Clock =
        Arc::new(|| Timestamp::from_millis(UNIX_EPOCH.elapsed().map_or(0, |since| since.as_millis() as i64)));
    let engine = Engine::open(store, Options { clock: Arc::clone(&clock) }).unwrap();
    let keys = KeySource::Text(SecretText::new("00112233445566778899aabbccddeeff".repeat(2)));
    let system = SystemEnvironment::Known(BTreeMap::from([("Z_AI_API_KEY".to_owned(), "host".to_owned())]));
    let holder = Some(Holder { pid: std::process::id(), version: "bench".to_owned() });
    Plane::new(engine, PlaneOptions { keys, system, clock, elapsed: Arc::new(|| std::time::Duration::ZERO), holder })
}

fn applies(runtime: &Runtime, plane: &Plane, folder: &Path, clients: usize) {
    let handle = runtime.block_on(mount(Arc::new(plane.clone()), folder, ServeOptions::default())).unwrap();
    let socket = folder.join(SOCKET_NAME);
    for client in 0..clients {
        apply(&Client::new(socket.clone()), client, 0);
    }
    let begun = Instant::now();
    let threads: Vec<_> = (0..clients)
        .map(|number| {
            let client = Client::new(socket.clone());
            std::thread::spawn(move || -> Vec<Duration> {
                (1..=APPLIES / clients).map(|round| apply(&client, number, round)).collect()
            })
        })
        .collect();
    let times: Vec<Duration> = threads.into_iter().flat_map(|thread| thread.join().unwrap()).collect();
    let per_second = times.len() as f64 / begun.elapsed().as_secs_f64();
    println!("  {clients:>5} clients   {}   {per_second:>7.0}/s", spread(times));
    runtime.block_on(handle.shutdown());
}

/// Plans and applies the project of a client, in which one agent differs from the round before; gives how long that took.
fn apply(client: &Client, number: usize, round: usize) -> Duration {
    let agent = |agent: usize| {
        let described = if agent == round % AGENTS { round } else { 0 };
        format!(
            "[agents.agent-{number}-{agent}]\nname = \"Agent\"\ndescription = \"Round {described}\"\ndir = \"./agents/{agent}\"\n\
             [[agents.agent-{number}-{agent}.providers]]\nid = \"z-ai\"\nmodel = \"glm-4.6\"\n\n"
        )
    };
    let agents: String = (0..AGENTS).map(agent).collect();
    let tree = MemoryTree::new([("lobu.toml", format!("[project]\nname = \"team-{number}\"\n\n{agents}"))]);
    let desired = load(&tree, "team", &Environment::default()).desired.unwrap();
    let plan = PlanRequest { org: None, fallback_org: None, desired, options: PlanOptions::default() };
    let begun = Instant::now();
    let Plan { plan_id, .. } = client.plan(&plan).unwrap();
    let receipt = client.apply(&ApplyRequest {
        plan,
        plan_id,
        confirmed_deletes: 0,
        author: "bench".to_owned(),
        message: String::new(),
        sealed: None,
        request_id: None,
    });
    receipt.unwrap();
    begun.elapsed()
}

fn delays(runtime: &Runtime, plane: &Plane, folder: &Path, watchers: usize) {
    let handle = runtime.block_on(mount(Arc::new(plane.clone()), folder, ServeOptions::default())).unwrap();
    // The watchers share one thread, as in a client of theirs.
    let clients = Builder::new_current_thread().enable_all().build().unwrap();
    let (sender, mut received) = unbounded_channel();
    let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
    let socket = folder.join(SOCKET_NAME);
    let thread = std::thread::spawn(move || {
        clients.block_on(async {
            for _ in 0..watchers {
                let stream = begin_watch(&socket).await;
                tokio::spawn(watch(stream, sender.clone()));
            }
            sender.send(None).unwrap();
            let _ = stopped.await;
        });
    });
    assert!(received.blocking_recv().unwrap().is_none(), "all watch");
    let mut times = Vec::with_capacity(watchers * COMMITS);
    for round in 0..COMMITS {
        let key = Key::new(format!("org/default/kv/bench/{}", round % 100)).unwrap();
        let begun = Instant::now();
        plane.engine().commit(Txn::new().author("bench").put(key, *b"value")).unwrap();
        times.extend(all(&mut received, watchers).into_iter().map(|seen| seen.duration_since(begun)));
    }
    println!("  {watchers:>5} watchers  {}", spread(times));
    drop(stop);
    thread.join().unwrap();
    runtime.block_on(handle.shutdown());
}

async fn begin_watch(socket: &Path) -> UnixStream {
    let mut stream = UnixStream::connect(socket).await.unwrap();
    stream.write_all(b"GET /v1/watch?prefix=kv/ HTTP/1.1\r\nHost: holdfast\r\n\r\n").await.unwrap();
    let mut head = Vec::new();
    while !head.windows(4).any(|end| end == b"\r\n\r\n") {
        let mut piece = [0; 1024];
        let length = stream.read(&mut piece).await.unwrap();
        assert!(length > 0, "the watch begins: {}", String::from_utf8_lossy(&head));
        head.extend_from_slice(&piece[..length]);
    }
    assert!(head.starts_with(b"HTTP/1.1 200"), "{}", String::from_utf8_lossy(&head));
    stream
}

/// Tells when each commit came; commits come one by one, so a piece holds one event or a bookmark.
async fn watch(mut stream: UnixStream, sender: UnboundedSender<Option<Instant>>) {
    let mut piece = vec![0; 16 * 1024];
    loop {
        match stream.read(&mut piece).await {
            Ok(length) if length > 0 => {
                let seen = Instant::now();
                let commit = piece[..length].windows(10).any(|part| part == b"\"changes\":");
                if commit && sender.send(Some(seen)).is_err() {
                    return;
                }
            }
            Ok(_) | Err(_) => return,
        }
    }
}

fn all(received: &mut UnboundedReceiver<Option<Instant>>, count: usize) -> Vec<Instant> {
    (0..count).map(|_| received.blocking_recv().unwrap().unwrap()).collect()
}

fn spread(mut times: Vec<Duration>) -> String {
    times.sort_unstable();
    let at = |share: f64| times[((times.len() - 1) as f64 * share) as usize].as_secs_f64() * 1e3;
    format!("p50 {:>7.3} ms   p99 {:>8.3} ms", at(0.5), at(0.99))
}
