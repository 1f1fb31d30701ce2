//! The example with an actuator, as a process of its own: what is applied becomes files, also when it is killed again and again while
//! it makes them.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use super::bench::{PATIENCE, Server, reconcile};
use super::storm::random;

const ROUNDS: u64 = 25;
const FILES: u64 = 12;

/// The example that cargo builds beside the command when it tests the workspace.
fn program() -> PathBuf {
    let path = reconcile().with_file_name("examples").join("files");
    assert!(path.exists(), "{} is not there; test the whole workspace, or build the example", path.display());
    path
}

fn command(program: &Path, root: &Path) -> Command {
    let mut command = Command::new(program);
    command.current_dir(root.join("project")).env_clear().env("HOME", root).env("USER", "tester").stdin(Stdio::piped());
    command
}

/// What the files of a round are: some change, some go and come.
fn declared(round: u64) -> BTreeMap<String, String> {
    let is = |file: &u64| !(file + round).is_multiple_of(4);
    (0..FILES).filter(is).map(|file| (format!("f{file}"), format!("{file} of {}", round / 2))).collect()
}

fn manifest(files: &BTreeMap<String, String>) -> String {
    let kind = "[kinds.file]\nfields.content = { type = \"string\" }\nfields.after = { type = \"list\" }\n";
    let mut text = format!("[project]\nname = \"files\"\n\n{kind}");
    let mut before: Option<&String> = None;
    for (name, content) in files {
        write!(text, "\n[resources.file.{name}]\ncontent = \"{content}\"\n").unwrap();
        if let Some(before) = before.replace(name) {
            writeln!(text, "after = [\"{before}\"]").unwrap();
        }
    }
    text
}

/// What stands in the folder.
fn found(folder: &Path) -> BTreeMap<String, String> {
    let Ok(entries) = std::fs::read_dir(folder.join("default")) else { return BTreeMap::new() };
    let entries = entries.map(|entry| entry.unwrap().path());
    let name = |path: &Path| path.file_name().unwrap().to_str().unwrap().to_owned();
    entries
        .filter(|path| !name(path).starts_with('.'))
        .map(|path| (name(&path), std::fs::read_to_string(&path).unwrap_or_default()))
        .collect()
}

#[test]
fn p2_what_is_applied_becomes_files_whenever_the_program_is_killed() {
    let root = tempfile::tempdir().unwrap();
    let (project, out) = (root.path().join("project"), root.path().join("out"));
    std::fs::create_dir(&project).unwrap();
    let start = || {
        let mut files = command(&program(), root.path());
        files.args([".holdfast", out.to_str().unwrap()]);
        Server::start(files, |line| line.starts_with("keeping the files"))
    };
    let apply = |round: u64| {
        std::fs::write(project.join("holdfast.toml"), manifest(&declared(round))).unwrap();
        // The program may be killed while it answers: asked again, the apply is done or has nothing to do.
        for _ in 0..50 {
            let gone =
                declared(round.saturating_sub(1)).keys().filter(|name| !declared(round).contains_key(*name)).count();
            let mut reconcile = command(&reconcile(), root.path());
            let ran = reconcile.args(["--yes", "--allow-delete", &gone.to_string()]).output().unwrap();
            if ran.status.success() {
                return;
            }
            let mut plain = command(&self::reconcile(), root.path());
            if plain.arg("--yes").output().unwrap().status.success() {
                return;
            }
        }
        panic!("round {round} is never applied");
    };
    apply(0);
    let mut state = 7;
    for round in 1..ROUNDS {
        let server = start();
        let killed = std::thread::scope(|threads| {
            let applied = threads.spawn(|| apply(round));
            std::thread::sleep(Duration::from_millis(random(&mut state, 60)));
            server.kill();
            applied.join()
        });
        killed.unwrap();
    }
    let server = start();
    let deadline = Instant::now() + PATIENCE;
    while found(&out) != declared(ROUNDS - 1) {
        assert!(Instant::now() < deadline, "{:?} is not {:?}", found(&out), declared(ROUNDS - 1));
        std::thread::sleep(Duration::from_millis(5));
    }
    // Nobody may change them for long.
    let (name, content) = declared(ROUNDS - 1).pop_first().unwrap();
    std::fs::write(out.join("default").join(&name), "meddled").unwrap();
    while found(&out).get(&name) != Some(&content) {
        assert!(Instant::now() < deadline, "{name} is not mended");
        std::thread::sleep(Duration::from_millis(5));
    }
    let ran = command(&reconcile(), root.path()).args(["wait", "--revision", "r1"]).output().unwrap();
    assert!(ran.status.success(), "{}", String::from_utf8_lossy(&ran.stderr));
    server.kill();
}
