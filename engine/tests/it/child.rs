//! The process that crash and sync tests start: this test binary again, with a folder in the environment.

use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Stdio};

use holdfast_engine::{CommitError, DiskSyncer, Engine, Keep, SledOptions, SledStore, Syncer, Txn};

use crate::support::{is_long, key, open};

const FOLDER: &str = "HOLDFAST_TEST_FOLDER";
const MODE: &str = "HOLDFAST_TEST_MODE";
/// Twice the number of the sync that ends the process; one more for after it.
pub(crate) const ABORT: &str = "HOLDFAST_TEST_ABORT";

/// What the child does.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mode {
    /// Four writers commit until the process is killed.
    UntilKilled,
    /// The same, while the store is compacted again and again.
    Compacting,
    /// Twenty commits, one after the other.
    Twenty,
    /// The same with the fdatasync taken out.
    TwentyUnsynced,
    /// Commits, bases and compactions, until a sync that the environment names ends the process, before or after it.
    AbortAtSync,
    /// Commits until the disk is full.
    UntilFull,
    /// Commits, bases and compactions of one writer; ends without closing.
    Power,
    /// The same with the fdatasync taken out.
    PowerUnsynced,
    /// Commits and compactions, until a system call fails that the parent has fail.
    Faulty,
    /// Everything that writes, once; ended at the failpoint that the environment names.
    EveryStep,
}

impl Mode {
    const ALL: [(Self, &str); 10] = [
        (Self::UntilKilled, "until-killed"),
        (Self::Compacting, "compacting"),
        (Self::Twenty, "twenty"),
        (Self::TwentyUnsynced, "twenty-unsynced"),
        (Self::Power, "power"),
        (Self::UntilFull, "until-full"),
        (Self::AbortAtSync, "abort-at-sync"),
        (Self::PowerUnsynced, "power-unsynced"),
        (Self::EveryStep, "every-step"),
        (Self::Faulty, "faulty"),
    ];

    fn name(self) -> &'static str {
        Self::ALL.iter().find(|(mode, _)| *mode == self).map_or("", |(_, name)| name)
    }
}

/// The command that runs the child, after `wrapper` if that is not empty.
pub(crate) fn command(wrapper: &[&str], folder: &Path, mode: Mode) -> Command {
    let program = std::env::current_exe().expect("the test binary has a path");
    let mut command = match wrapper.split_first() {
        Some((first, rest)) => {
            let mut command = Command::new(first);
            command.args(rest).arg(program);
            command
        }
        None => Command::new(program),
    };
    command.args(["child::child", "--exact", "--ignored", "--nocapture", "--test-threads=1"]);
    command.env(FOLDER, folder).env(MODE, mode.name()).stdin(Stdio::null());
    command
}

#[test]
#[ignore = "started by other tests in a process of its own"]
fn child() {
    let folder = std::env::var_os(FOLDER).expect("the parent names the folder");
    let mode = std::env::var(MODE).expect("the parent names the mode");
    let (mode, _) = Mode::ALL.into_iter().find(|(_, name)| *name == mode).expect("a mode that is known");
    if mode == Mode::EveryStep {
        crate::failpoints::every_step(Path::new(&folder));
        std::process::exit(0);
    }
    if mode == Mode::Faulty {
        crate::faults::until_a_call_fails(Path::new(&folder));
        std::process::exit(0);
    }
    let abort = std::env::var(ABORT).ok().and_then(|number| number.parse().ok());
    let syncer: Box<dyn Syncer> = if let Some(left) = abort {
        Box::new(AbortAt { left })
    } else if matches!(mode, Mode::TwentyUnsynced | Mode::PowerUnsynced) {
        Box::new(NoSync)
    } else {
        Box::new(DiskSyncer)
    };
    // Small enough that files are written anew all the time; in the long form of a power cut they are also reused.
    let reclaim_bytes_min = if is_long() && matches!(mode, Mode::Power | Mode::PowerUnsynced) { 2 << 20 } else { 0 };
    let options = SledOptions {
        syncer,
        base_lag_bytes_min: 4000,
        reclaim_bytes_min,
        reclaim_slice_bytes: 3000,
        ..SledOptions::default()
    };
    let engine = open(Box::new(SledStore::open(Path::new(&folder), options).expect("opens"))).expect("recovers");
    if matches!(mode, Mode::UntilKilled | Mode::Compacting) {
        std::thread::scope(|scope| {
            if mode == Mode::Compacting {
                let engine = &engine;
                scope.spawn(move || {
                    loop {
                        engine.compact(Keep::Newest(30)).expect("compacts");
                    }
                });
            }
            for writer in 0..4 {
                let engine = &engine;
                scope.spawn(move || commit_for_ever(engine, writer));
            }
        });
    }
    if matches!(mode, Mode::Power | Mode::PowerUnsynced | Mode::AbortAtSync) {
        commit_with_everything(&engine);
        // Without closing: what was not synced stays so.
        std::process::exit(0);
    }
    if mode == Mode::UntilFull {
        commit_until_refused(&engine);
        std::process::exit(0);
    }
    for number in 0..20 {
        let receipt =
            engine.commit(Txn::new().put(key("marked"), format!("value {number}").as_bytes())).expect("holds");
        acknowledge(receipt.revision.get());
    }
}

/// Each commit writes the same number to two keys, and deletes or makes a third.
fn commit_for_ever(engine: &Engine, writer: u32) {
    for number in 0_u64.. {
        let value = format!("{number} {}", "x".repeat(number as usize % 700));
        let left = key(&format!("left/{writer}/{}", number % 5));
        let right = key(&format!("right/{writer}/{}", number % 5));
        let txn = Txn::new().put(left, value.as_bytes()).put(right, value.as_bytes());
        let third = key(&format!("third/{writer}"));
        let txn = if number % 2 == 0 { txn.put(third, value.as_bytes()) } else { txn.delete(third) };
        acknowledge(engine.commit(txn).expect("holds").revision.get());
    }
}

/// Commits until one is refused, and then one more.
fn commit_until_refused(engine: &Engine) {
    for number in 0_u64.. {
        let txn = Txn::new().put(key(&format!("k{}", number % 50)), number.to_le_bytes().repeat(300));
        match engine.commit(txn) {
            Ok(receipt) => acknowledge(receipt.revision.get()),
            Err(CommitError::Storage(_) | CommitError::Poisoned) => break,
            Err(error) => panic!("expected the store to fail, got {error:?}"),
        }
    }
    let next = engine.commit(Txn::new().put(key("next"), *b"x"));
    assert!(matches!(next, Err(CommitError::Poisoned)), "{next:?}");
    std::io::stdout().lock().write_all(b"refused\n").expect("the parent listens");
}

/// Puts, overwrites and deletes in all sizes, with compactions meanwhile.
fn commit_with_everything(engine: &Engine) {
    let count = if is_long() { 4000 } else { 150 };
    std::thread::scope(|scope| {
        for number in 0_u64..count {
            let size = (number * 7919 % 3000) as usize;
            let value = format!("{number} ").into_bytes().into_iter().cycle().take(size).collect::<Vec<_>>();
            let txn = Txn::new().put(key(&format!("left/{}", number % 11)), value.clone());
            let txn = txn.put(key(&format!("right/{}", number % 11)), value.clone());
            let is_open = number % 5 > 0;
            let txn = if is_open { txn.put(key("open"), value) } else { txn.put_sealed(key("sealed"), *b"tag", value) };
            acknowledge(engine.commit(txn).expect("holds").revision.get());
            if number % 50 == 39 {
                scope.spawn(|| engine.compact(Keep::Newest(20)).expect("compacts"));
            }
        }
    });
}

/// Tells the parent, in one write, that a revision was acknowledged.
pub(crate) fn acknowledge(revision: u64) {
    say(&format!("ack {revision}"));
}

/// Tells the parent something, in one write.
pub(crate) fn say(line: &str) {
    let line = format!("{line}\n");
    std::io::stdout().lock().write_all(line.as_bytes()).expect("the parent listens");
    std::io::stdout().lock().flush().expect("the parent listens");
}

/// The revision of a line that the child printed.
pub(crate) fn acknowledged(line: &str) -> Option<u64> {
    // The test harness prints the test's name in front of the first line.
    let (_, number) = line.split_once("ack ")?;
    number.trim().parse().ok()
}

/// Ends the process at a sync.
struct AbortAt {
    left: u32,
}

impl AbortAt {
    fn pass(&mut self, sync: impl FnOnce() -> std::io::Result<()>) -> std::io::Result<()> {
        if self.left == 0 {
            std::process::exit(9);
        }
        sync()?;
        if self.left == 1 {
            std::process::exit(9);
        }
        self.left -= 2;
        Ok(())
    }
}

impl Syncer for AbortAt {
    fn sync_data(&mut self, file: &std::fs::File) -> std::io::Result<()> {
        self.pass(|| DiskSyncer.sync_data(file))
    }

    fn sync_folder(&mut self, folder: &Path) -> std::io::Result<()> {
        self.pass(|| DiskSyncer.sync_folder(folder))
    }
}

struct NoSync;

impl Syncer for NoSync {
    fn sync_data(&mut self, _: &std::fs::File) -> std::io::Result<()> {
        Ok(())
    }

    fn sync_folder(&mut self, _: &Path) -> std::io::Result<()> {
        Ok(())
    }
}
