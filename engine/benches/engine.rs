//! Benchmarks of the engine against the bars of its budget, each as a ratio to the disk in the same run.
//!
//! `cargo bench -p holdfast-engine` runs the short form; `-- --long` adds the store of a million keys. Seeds are fixed, figures
//! are medians. Files lie in the folder that `HOLDFAST_BENCH_DIR` names, else in the system's temporary one.

#![expect(clippy::print_stdout, reason = "a benchmark prints its figures")]
#![allow(missing_docs, clippy::unwrap_used, reason = "a benchmark is run by hand and may stop at the first error")]

mod rival;

use std::cell::RefCell;
use std::fs::File;
use std::io::Write as _;
use std::path::PathBuf;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use holdfast_engine::{Engine, Keep, Key, MemoryStore, Options, SledOptions, SledStore, Timestamp, Txn, WatchOptions};

fn main() {
    if let Some(path) = std::env::var_os("HOLDFAST_BENCH_OPEN") {
        return reopen(&PathBuf::from(path));
    }
    let long = std::env::args().any(|argument| argument == "--long");
    println!("{:<52} {:>12} {:>12} {:>12}", "what", "median", "p99", "bar");
    // A word on the command line picks the benches whose name has it.
    let word = std::env::args().skip(1).find(|argument| !argument.starts_with('-')).unwrap_or_default();
    let benches: [(&str, fn()); 11] = [
        ("one-writer", one_writer),
        ("writers-8", || writers(8)),
        ("writers-64", || writers(64)),
        ("flight", flight),
        ("etcd", etcd),
        ("big-commit", big_commit),
        ("reads", || reads(100_000)),
        ("counter", counter),
        ("watch", watch),
        ("compaction", compaction),
        ("million", million),
    ];
    for (name, bench) in benches {
        if name.contains(&word) && (name != "million" || long) {
            bench();
        }
    }
}

/// A small generator with a fixed seed (splitmix64).
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn bytes(&mut self, count: usize) -> Vec<u8> {
        std::iter::repeat_with(|| self.next().to_le_bytes()).flatten().take(count).collect()
    }
}

fn folder() -> tempfile::TempDir {
    match std::env::var_os("HOLDFAST_BENCH_DIR") {
        Some(folder) => tempfile::tempdir_in(PathBuf::from(folder)).unwrap(),
        None => tempfile::tempdir().unwrap(),
    }
}

fn open(folder: &std::path::Path) -> Engine {
    let store = SledStore::open(folder, SledOptions::default()).unwrap();
    Engine::open(Box::new(store), Options::new(|| Timestamp::ZERO)).unwrap()
}

fn key(number: u64) -> Key {
    Key::new(format!("key/{number:012}")).unwrap()
}

fn percentile(times: &mut [Duration], hundredths: usize) -> Duration {
    times.sort_unstable();
    times[(times.len() - 1) * hundredths / 100]
}

fn row(what: &str, median: String, p99: String, bar: &str) {
    println!("{what:<52} {median:>12} {p99:>12} {bar:>12}");
}

fn micros(time: Duration) -> String {
    format!("{:.1} us", time.as_secs_f64() * 1e6)
}

/// Appends of `bytes` with an fdatasync each, on the same disk.
fn raw(bytes: usize, rounds: usize) -> Vec<Duration> {
    let folder = folder();
    let mut file = File::create(folder.path().join("raw")).unwrap();
    let body = Random(1).bytes(bytes);
    let once = |_| {
        let start = Instant::now();
        file.write_all(&body).unwrap();
        file.sync_data().unwrap();
        start.elapsed()
    };
    (0..rounds).map(once).collect()
}

/// A raw write and a commit in turn, so that both meet the same disk.
fn one_writer() {
    let folder = folder();
    let mut file = File::create(folder.path().join("raw")).unwrap();
    let engine = open(&folder.path().join("store"));
    let mut random = Random(2);
    let body = random.bytes(256);
    let (mut disk, mut times) = (Vec::new(), Vec::new());
    for n in 0..2000 {
        let start = Instant::now();
        file.write_all(&body).unwrap();
        file.sync_data().unwrap();
        disk.push(start.elapsed());
        let txn = Txn::new().put(key(n), random.bytes(200));
        let start = Instant::now();
        engine.commit(txn).unwrap();
        times.push(start.elapsed());
    }
    let median = percentile(&mut times, 50);
    let base = percentile(&mut disk, 50);
    row("write + fdatasync of 256 B", micros(base), micros(percentile(&mut disk, 99)), "");
    row("one durable commit of a small key, in turn", micros(median), micros(percentile(&mut times, 99)), "");
    let ratio = median.as_secs_f64() / base.as_secs_f64();
    row("  ratio to write + fdatasync", format!("{ratio:.2} x"), String::new(), "2.6 x");
}

fn writers(count: u64) {
    let (mut times, rate) = written(count);
    let what = format!("{count} writers, blocking threads, 5 s: latency");
    row(&what, micros(percentile(&mut times, 50)), micros(percentile(&mut times, 99)), "");
    let bar = if count == 64 { "30000 /s" } else { "" };
    row("  durable commits", format!("{rate:.0} /s"), String::new(), bar);
}

/// Commits of `count` writers, each in a thread of its own, for five seconds: how long each took, and how many a second.
fn written(count: u64) -> (Vec<Duration>, f64) {
    let folder = folder();
    let engine = open(folder.path());
    let stop = Arc::new(AtomicBool::new(false));
    let start = Instant::now();
    let times = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..count)
            .map(|writer| {
                let (engine, stop) = (engine.clone(), Arc::clone(&stop));
                scope.spawn(move || {
                    let mut random = Random(writer);
                    let mut times = Vec::new();
                    while !stop.load(Ordering::Relaxed) {
                        let txn = Txn::new().put(key(random.next() % 1_000_000), random.bytes(200));
                        let start = Instant::now();
                        engine.commit(txn).unwrap();
                        times.push(start.elapsed());
                    }
                    times
                })
            })
            .collect();
        std::thread::sleep(Duration::from_secs(5));
        stop.store(true, Ordering::Relaxed);
        threads.into_iter().flat_map(|thread| thread.join().unwrap()).collect::<Vec<_>>()
    });
    let rate = times.len() as f64 / start.elapsed().as_secs_f64();
    (times, rate)
}

/// etcd and this engine in the same run: one writer, a put and a commit in turn, so that both meet the same disk; then 64, five
/// seconds each in turn, three times.
fn etcd() {
    let folder = folder();
    let Some(server) = rival::Server::start(folder.path()) else {
        println!("etcd: not installed, or it did not start");
        return;
    };
    let engine = open(&folder.path().join("ours"));
    let mut writer = rival::Writer::new(999);
    let mut random = Random(10);
    let (mut theirs, mut ours) = (Vec::new(), Vec::new());
    for n in 0..4000 {
        theirs.push(writer.put());
        let txn = Txn::new().put(key(n), random.bytes(200));
        let start = Instant::now();
        engine.commit(txn).unwrap();
        ours.push(start.elapsed());
    }
    drop(engine);
    let (put, commit) = (percentile(&mut theirs, 50), percentile(&mut ours, 50));
    row("etcd put, one writer", micros(put), micros(percentile(&mut theirs, 99)), "");
    row("durable commit, one writer, in turn", micros(commit), micros(percentile(&mut ours, 99)), "");
    let ratio = commit.as_secs_f64() / put.as_secs_f64();
    row("  commit to put", format!("{ratio:.2} x"), String::new(), "1 x");
    let mut rounds = Vec::new();
    for _ in 0..3 {
        let rival::Measured { mut times, elapsed } = server.put(64, Duration::from_secs(5));
        let rate = times.len() as f64 / elapsed.as_secs_f64();
        let (mut ours, our_rate) = written(64);
        rounds.push((percentile(&mut times, 50), rate, percentile(&mut ours, 50), our_rate));
    }
    rounds.sort_by(|a, b| (a.3 / a.1).total_cmp(&(b.3 / b.1)));
    let (theirs, rate, ours, our_rate) = rounds[1];
    row("etcd put, 64 writers", micros(theirs), format!("{rate:.0} /s"), "");
    row("durable commit, 64 writers, same run", micros(ours), format!("{our_rate:.0} /s"), "");
    row("  commits a second to puts a second", format!("{:.2} x", our_rate / rate), String::new(), "2 x");
}

/// Reading a counter, as `is_current()` of a session does, while commits raise it.
fn counter() {
    let folder = folder();
    let engine = open(folder.path());
    engine.commit(Txn::new().put(key(1), *b"x")).unwrap();
    let counter = engine.counter("key/");
    let stop = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let mut number = 0;
            while !stop.load(Ordering::Relaxed) {
                engine.commit(Txn::new().put(key(number), *b"x")).unwrap();
                number += 1;
            }
        });
        let (median, p99) = each(|| _ = std::hint::black_box(counter.get()));
        row("read a counter while commits raise it", nanos(median), nanos(p99), "20 ns");
        stop.store(true, Ordering::Relaxed);
    });
}

/// The same from one thread that sends them together and waits for all, as an asynchronous server does.
fn flight() {
    let count = 64;
    let folder = folder();
    let engine = open(folder.path());
    let mut random = Random(99);
    let before = cpu_time();
    let start = Instant::now();
    let mut done = 0_u64;
    while start.elapsed() < Duration::from_secs(5) {
        let put = |_| engine.submit(Txn::new().put(key(random.next() % 1_000_000), random.bytes(200)));
        let flight: Vec<_> = (0..count).map(put).collect();
        flight.into_iter().for_each(|pending| _ = pending.wait().unwrap());
        done += count;
    }
    let rate = done as f64 / start.elapsed().as_secs_f64();
    let what = format!("durable commits, {count} at a time from one thread");
    row(&what, format!("{rate:.0} /s"), String::new(), "30000 /s");
    let cpu = (cpu_time() - before).as_secs_f64() * 1e6 / done as f64;
    row("  processor time of each", format!("{cpu:.1} us"), String::new(), "");
}

fn big_commit() {
    let folder = folder();
    let engine = open(folder.path());
    let mut random = Random(3);
    let mut times = Vec::new();
    for round in 0..15 {
        let txn = (0..10_000).fold(Txn::new(), |txn, n| txn.put(key(round * 10_000 + n), random.bytes(200)));
        let start = Instant::now();
        engine.commit(txn).unwrap();
        times.push(start.elapsed());
    }
    let mut disk = raw(10_000 * 216, 15);
    row("write + fdatasync of 2.1 MB", micros(percentile(&mut disk, 50)), micros(percentile(&mut disk, 99)), "");
    row("commit of 10,000 keys", micros(percentile(&mut times, 50)), micros(percentile(&mut times, 99)), "60 ms");
}

/// Time of one operation, as the median of batches of a thousand.
fn each(mut operation: impl FnMut()) -> (Duration, Duration) {
    let mut times: Vec<_> = (0..300)
        .map(|_| {
            let start = Instant::now();
            (0..1000).for_each(|_| operation());
            start.elapsed() / 1000
        })
        .collect();
    (percentile(&mut times, 50), percentile(&mut times, 99))
}

fn nanos(time: Duration) -> String {
    format!("{} ns", time.as_nanos())
}

fn reads(keys: u64) {
    let folder = folder();
    let engine = open(folder.path());
    let mut random = Random(4);
    for from in (0..keys).step_by(10_000) {
        let txn = (from..from + 10_000).fold(Txn::new(), |txn, n| txn.put(key(n), random.bytes(200)));
        engine.commit(txn).unwrap();
    }
    let names: Vec<_> = (0..keys).map(key).collect();
    let typed = |bytes: &[u8]| Ok::<_, std::convert::Infallible>(u64::from(bytes[0]));
    let stop = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let mut random = Random(5);
            while !stop.load(Ordering::Relaxed) {
                engine.commit(Txn::new().put(key(random.next() % keys), random.bytes(200))).unwrap();
            }
        });
        let (median, p99) = each(|| drop(std::hint::black_box(engine.snapshot())));
        row("take a snapshot while commits go on", nanos(median), nanos(p99), "");
        let snapshot = engine.snapshot();
        let name = &names[names.len() / 2];
        let (median, p99) = each(|| {
            let entry = snapshot.get(name.as_str()).unwrap();
            std::hint::black_box(entry.decoded(typed).unwrap());
        });
        row("typed read of one key, pinned snapshot", nanos(median), nanos(p99), "200 ns");
        let mut random = Random(6);
        let (median, p99) = each(|| {
            let name = &names[(random.next() % keys) as usize];
            let entry = snapshot.get(name.as_str()).unwrap();
            std::hint::black_box(entry.decoded(typed).unwrap());
        });
        row("  of random keys out of 100,000", nanos(median), nanos(p99), "");
        stop.store(true, Ordering::Relaxed);
    });
}

/// From the moment a commit is acknowledged to the moment that the last of a thousand watchers has it.
fn watch() {
    const WATCHERS: usize = 1000;
    let engine = Engine::open(Box::new(MemoryStore::new()), Options::new(|| Timestamp::ZERO)).unwrap();
    let mut random = Random(8);
    let (sender, receiver) = std::sync::mpsc::channel();
    // The watchers are asked for by one thread and note their times there; a channel for each would be measured too.
    let watches: Vec<_> = (0..WATCHERS).map(|_| engine.watch(WatchOptions::default()).unwrap()).collect();
    let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
    let thread = std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let local = tokio::task::LocalSet::new();
        let times = Rc::new(RefCell::new(Vec::with_capacity(WATCHERS)));
        for mut watch in watches {
            let (times, sender) = (Rc::clone(&times), sender.clone());
            local.spawn_local(async move {
                while watch.next().await.is_ok() {
                    times.borrow_mut().push(Instant::now());
                    if times.borrow().len() == WATCHERS {
                        sender.send(times.replace(Vec::with_capacity(WATCHERS))).unwrap();
                    }
                }
            });
        }
        _ = local.block_on(&runtime, stopped);
    });
    let mut times = Vec::new();
    for n in 0..500 {
        engine.commit(Txn::new().put(key(n), random.bytes(200))).unwrap();
        let start = Instant::now();
        times.extend(receiver.recv().unwrap().into_iter().map(|time| time.saturating_duration_since(start)));
    }
    row(
        "watch delivery, 1000 watchers, one thread",
        micros(percentile(&mut times, 50)),
        micros(percentile(&mut times, 99)),
        "p99 1 ms",
    );
    drop(stop);
    thread.join().unwrap();

    let before = resident("VmRSS");
    let idle: Vec<_> = (0..10_000)
        .map(|n| engine.watch(WatchOptions { prefix: format!("org/agent-{n}/"), ..WatchOptions::default() }).unwrap())
        .collect();
    let after = resident("VmRSS");
    row(
        "10,000 idle watchers, each of its own scope",
        format!("{} B", (after - before) * 1024 / 10_000),
        String::new(),
        "1 kB each",
    );
    drop(idle);
}

/// What the folder weighs while ten thousand overwrites of a hundred keys are compacted, again and again.
fn compaction() {
    let folder = folder();
    let engine = open(folder.path());
    let mut random = Random(9);
    let weight = || {
        let mut bytes = 0;
        for entry in std::fs::read_dir(folder.path()).unwrap() {
            bytes += std::os::unix::fs::MetadataExt::blocks(&entry.unwrap().metadata().unwrap()) * 512;
        }
        format!("{:.1} MB", bytes as f64 / 1e6)
    };
    for round in 1..=5 {
        for _ in 0..100 {
            let put = |n: u64| engine.submit(Txn::new().put(key(n), random.bytes(2000)));
            let flight: Vec<_> = (0..100).map(put).collect();
            flight.into_iter().for_each(|pending| _ = pending.wait().unwrap());
        }
        let before = weight();
        let start = Instant::now();
        engine.compact(Keep::Newest(100)).unwrap();
        let time = start.elapsed();
        // What is deleted trails; small commits let it.
        for n in 0..300 {
            engine.commit(Txn::new().put(key(n % 100), random.bytes(20))).unwrap();
        }
        let what = format!("compaction of 10,000 commits (20 MB), round {round}");
        row(&what, micros(time), String::new(), "");
        row("  folder before and after", before, weight(), "");
    }
}

fn million() {
    let folder = folder();
    let engine = open(folder.path());
    let mut random = Random(7);
    let start = Instant::now();
    for from in (0..1_000_000).step_by(10_000) {
        let txn = (from..from + 10_000).fold(Txn::new(), |txn, n| txn.put(key(n), random.bytes(200)));
        engine.commit(txn).unwrap();
    }
    row("load 1,000,000 keys of 200 B, 10,000 a commit", micros(start.elapsed()), String::new(), "");
    println!("  resident at its peak while loading: {} MB", resident("VmHWM") / 1024);
    let from = engine.head().revision;
    engine.commit((0..100).fold(Txn::new(), |txn, n| txn.put(key(n * 9973), random.bytes(200)))).unwrap();
    let to = engine.head().revision;
    let (median, p99) = each(|| assert!(std::hint::black_box(engine.diff(from, to)).unwrap().len() == 100));
    row("diff of 100 changes in 1,000,000 keys", micros(median), micros(p99), "1 ms");
    drop(engine);
    let path = folder.path();
    // Reopened in a process of its own, so that the loading's memory is not counted.
    let program = std::env::current_exe().unwrap();
    for _ in 0..3 {
        let output = std::process::Command::new(&program).env("HOLDFAST_BENCH_OPEN", path).output().unwrap();
        print!("{}", String::from_utf8_lossy(&output.stdout));
    }
}

fn reopen(path: &std::path::Path) {
    let start = Instant::now();
    let engine = open(path);
    row("open 1,000,000 keys of 200 B", micros(start.elapsed()), String::new(), "3 s");
    println!(
        "  keys {}, resident {} MB, at the peak {} MB (bar 900 MB), on disk {} MB",
        engine.snapshot().len(),
        resident("VmRSS") / 1024,
        resident("VmHWM") / 1024,
        engine.status().disk_bytes.unwrap_or(0) >> 20
    );
}

/// Processor time of this process, user and system, in ticks of a hundredth of a second.
fn cpu_time() -> Duration {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let fields: Vec<_> = stat.rsplit(')').next().unwrap_or_default().split_whitespace().collect();
    let ticks = |at: usize| fields.get(at).and_then(|ticks| ticks.parse::<u64>().ok()).unwrap_or(0);
    Duration::from_millis((ticks(11) + ticks(12)) * 10)
}

/// Kilobytes of this process in memory.
fn resident(field: &str) -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find(|line| line.starts_with(field)).unwrap_or_default();
    line.split_whitespace().nth(1).and_then(|kilobytes| kilobytes.parse::<u64>().ok()).unwrap_or(0)
}
