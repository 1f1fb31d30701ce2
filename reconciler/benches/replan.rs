//! A plan in a process that holds the project already: 100,000 agents in 1,000 files of which one is changed.
//!
//! `cargo bench -p holdfast-reconciler --bench replan`. Medians of `plane.plan()` in this process, of what is declared after the
//! change as a loop gives it; the plan is freed after the time is taken. With the allocator of the command.

#![allow(clippy::unwrap_used, clippy::print_stdout, missing_docs, reason = "a benchmark prints and may stop")]

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use holdfast_engine::{Clock, Engine, MemoryStore, Options, Timestamp};
use holdfast_reconciler::agents::resolver::SystemEnvironment;
use holdfast_reconciler::desired::{Desired, SecretText};
use holdfast_reconciler::keyfile::KeySource;
use holdfast_reconciler::manifest::{Environment, Folder, load};
use holdfast_reconciler::plan::{Plan, PlanOptions, PlanRequest};
use holdfast_reconciler::plane::{ApplyRequest, ControlPlane, Holder};
use holdfast_reconciler::{Plane, PlaneOptions};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const FILES: usize = 1_000;
const AGENTS_OF_A_FILE: usize = 100;
/// A commit holds 100,000 changes, and a new agent with its settings is four.
const FILES_OF_AN_APPLY: usize = 200;
const ROUNDS: usize = 15;

fn main() {
    let folder = tempfile::tempdir().unwrap();
    let plane = planes();
    for files in (FILES_OF_AN_APPLY..=FILES).step_by(FILES_OF_AN_APPLY) {
        write(folder.path(), files);
        apply(&plane.0, &request(desired(folder.path())));
    }
    let before = desired(folder.path());
    println!("{} resources in {FILES} files", before.resources.len());
    println!("{:<60} {:>10} {:>10}", "what", "median", "fastest");
    let change = |text: &str| {
        std::fs::write(folder.path().join("teams/500.toml"), text).unwrap();
        let mut after = desired(folder.path());
        after.share(&before);
        request(after)
    };
    let same = request(before.clone());
    let one = change(&file(500, "").replacen("glm-4.6", "glm-4.5", 1));
    let shifted = change(&format!("# Team 500.\n{}", file(500, "")).replacen("glm-4.6", "glm-4.5", 1));
    let all = change(&file(500, "").replace("glm-4.6", "glm-4.5"));
    let gone = change(&(1..AGENTS_OF_A_FILE).map(|number| agent(500, number)).collect::<String>());
    measure(&plane.1, "everything is looked at, one agent differs", &one);
    for (what, request) in [
        ("nothing differs", &same),
        ("one agent differs", &one),
        ("one agent differs, and all lines of its file move", &shifted),
        ("all 100 agents of a file differ", &all),
        ("one agent is gone", &gone),
    ] {
        measure(&plane.0, what, request);
    }
    apply(&plane.0, &one);
    measure(&plane.0, "the 99 others of the file differ, after a commit", &all);
}

/// Two planes over one store: one that stays, as a server does, and one that looks at everything.
fn planes() -> (Plane, Plane) {
    let clock: Clock = Arc::new(|| Timestamp::from_millis(1_000));
    let engine = Engine::open(Box::new(MemoryStore::new()), Options { clock: Arc::clone(&clock) }).unwrap();
    let plane = |holder| {
        let keys = KeySource::Text(SecretText::new("ab".repeat(32)));
        let system = SystemEnvironment::Known(BTreeMap::from([("Z_AI_API_KEY".to_owned(), "host".to_owned())]));
        Plane::new(
            engine.clone(),
            PlaneOptions {
                keys,
                system,
                clock: Arc::clone(&clock),
                elapsed: Arc::new(|| std::time::Duration::ZERO),
                holder,
            },
        )
    };
    (plane(Some(Holder { pid: std::process::id(), version: "bench".to_owned() })), plane(None))
}

fn write(project: &Path, files: usize) {
    std::fs::create_dir_all(project.join("teams")).unwrap();
    std::fs::write(project.join("lobu.toml"), "[project]\nname = \"team\"\ninclude = [\"teams/*.toml\"]\n").unwrap();
    for number in 0..files {
        std::fs::write(project.join(format!("teams/{number}.toml")), file(number, "")).unwrap();
    }
}

fn file(number: usize, head: &str) -> String {
    std::iter::once(head.to_owned())
        .chain((0..AGENTS_OF_A_FILE).map(|agent_number| agent(number, agent_number)))
        .collect()
}

fn agent(team: usize, number: usize) -> String {
    format!(
        "[agents.agent-{team}-{number}]\nname = \"Agent {number}\"\ndescription = \"Answers questions of team {team}\"\n\
         dir = \"./agents/{team}/{number}\"\n[[agents.agent-{team}-{number}.providers]]\nid = \"z-ai\"\nmodel = \"glm-4.6\"\n\
         [agents.agent-{team}-{number}.network]\nallowed = [\"api.z.ai\", \"github.com\"]\n\n"
    )
}

fn desired(project: &Path) -> Desired {
    load(&Folder::open(project).unwrap(), "project", &Environment::default()).desired.unwrap()
}

fn request(desired: Desired) -> PlanRequest {
    PlanRequest { org: None, fallback_org: None, desired, options: PlanOptions::default() }
}

fn apply(plane: &Plane, request: &PlanRequest) {
    let Plan { plan_id, summary, .. } = plane.plan(request).unwrap();
    plane
        .apply(&ApplyRequest {
            plan: request.clone(),
            plan_id,
            confirmed_deletes: summary.delete,
            author: "bench".to_owned(),
            message: String::new(),
            sealed: None,
            request_id: None,
        })
        .unwrap();
}

fn measure(plane: &Plane, what: &str, request: &PlanRequest) {
    let mut times: Vec<Duration> = (0..ROUNDS)
        .map(|_| {
            let begin = Instant::now();
            let plan = plane.plan(request).unwrap();
            let time = begin.elapsed();
            drop(plan);
            time
        })
        .collect();
    times.sort_unstable();
    let milliseconds = |time: Duration| format!("{:.2} ms", time.as_secs_f64() * 1e3);
    println!("{what:<60} {:>10} {:>10}", milliseconds(times[ROUNDS / 2]), milliseconds(times[0]));
}
