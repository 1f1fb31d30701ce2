//! Reading a project: 5,000 agents in one manifest, and in 5,000 manifests that one includes, each with a folder and two texts.
//!
//! `cargo bench -p holdfast-reconciler --bench load`. Medians of loads in this process, from a folder in the file system's cache to
//! the desired state, which is freed after the time is taken; with the allocator of the command. The bare parse of the same text by the
//! crate `toml` stands beside them.

#![allow(clippy::unwrap_used, clippy::print_stdout, missing_docs, reason = "a benchmark prints and may stop")]

use std::path::Path;
use std::time::{Duration, Instant};

use holdfast_reconciler::desired::Desired;
use holdfast_reconciler::manifest::{Environment, Folder, load};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const AGENTS: usize = 5_000;
const ROUNDS: usize = 15;

fn main() {
    println!("{:<52} {:>10} {:>10}", "what", "median", "fastest");
    let text: String = (0..AGENTS).map(|number| agent(number, &format!("./agents/{number}"))).collect();
    measure("the bare TOML of 5,000 agents", || {
        let (table, errors) = toml::de::DeTable::parse_recoverable(&text);
        assert!(errors.is_empty());
        table
    });
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("lobu.toml"), &text).unwrap();
    measure("5,000 agents in one file, without folders", || desired(folder.path()));
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("lobu.toml"), "[project]\ninclude = [\"teams/*/agent.toml\"]\n").unwrap();
    for number in 0..AGENTS {
        let team = folder.path().join(format!("teams/{number}"));
        std::fs::create_dir_all(&team).unwrap();
        std::fs::write(team.join("agent.toml"), agent(number, ".")).unwrap();
        std::fs::write(team.join("SOUL.md"), "Be brief.\n").unwrap();
        std::fs::write(team.join("USER.md"), format!("You talk to team {number}.\n")).unwrap();
    }
    measure("5,000 agents in 5,000 files, 10,000 texts beside", || desired(folder.path()));
}

fn agent(number: usize, dir: &str) -> String {
    format!(
        "[agents.agent-{number}]\nname = \"Agent {number}\"\ndescription = \"Answers questions of team {number}\"\n\
         dir = \"{dir}\"\n[[agents.agent-{number}.providers]]\nid = \"z-ai\"\nmodel = \"glm-4.6\"\n\
         [agents.agent-{number}.network]\nallowed = [\"api.z.ai\", \"github.com\"]\n\n"
    )
}

fn desired(project: &Path) -> Desired {
    let loaded = load(&Folder::open(project).unwrap(), "project", &Environment::default());
    assert!(loaded.diagnostics.is_empty());
    let desired = loaded.desired.unwrap();
    assert_eq!(desired.resources.len(), 2 * AGENTS);
    desired
}

fn measure<T>(what: &str, load: impl Fn() -> T) {
    let time = || {
        let start = Instant::now();
        let loaded = load();
        let took = start.elapsed();
        drop(loaded);
        took
    };
    let mut times: Vec<Duration> = (0..ROUNDS).map(|_| time()).collect();
    times.sort_unstable();
    let millis = |time: Duration| format!("{:.1} ms", time.as_secs_f64() * 1e3);
    println!("{what:<52} {:>10} {:>10}", millis(times[ROUNDS / 2]), millis(times[0]));
}
