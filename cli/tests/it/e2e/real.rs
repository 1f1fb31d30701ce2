//! `--wait`: an apply is followed until what it holds is real outside the store, in a program that makes it so.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use holdfast_engine::{Engine, MemoryStore, Options, Timestamp};
use holdfast_reconciler::actuation::ActuateOptions;
use holdfast_reconciler::actuator::{Actuator, ActuatorError, Errand, Observed, Wanted};
use holdfast_reconciler::agents::resolver::SystemEnvironment;
use holdfast_reconciler::backoff::Backoff;
use holdfast_reconciler::desired::SecretText;
use holdfast_reconciler::keyfile::KeySource;
use holdfast_reconciler::resource::KindName;
use holdfast_reconciler::{Plane, PlaneOptions};
use holdfast_server::{ServeOptions, mount};
use serde_json::Value;

use crate::support::Project;

const MANIFEST: &str = "[project]\nname = \"team\"\n\n[kinds.file]\nfields.content = { type = \"string\" }\n\n\
                        [resources.file.motd]\ncontent = \"one\"\n";

/// Makes nothing until somebody opens it.
struct Gate {
    kind: KindName,
    open: Arc<AtomicBool>,
}

impl Actuator for Gate {
    fn kind(&self) -> &KindName {
        &self.kind
    }

    fn observe(&self, _: &Errand) -> Result<Observed, ActuatorError> {
        Ok(Observed::Unknown)
    }

    fn make(&self, _: &Errand, _: &Wanted) -> Result<(), ActuatorError> {
        match self.open.load(Ordering::SeqCst) {
            true => Ok(()),
            false => Err(ActuatorError::transient("the disk of the host is full")),
        }
    }

    fn remove(&self, _: &Errand) -> Result<(), ActuatorError> {
        Ok(())
    }
}

fn plane() -> Plane {
    let clock: holdfast_engine::Clock = Arc::new(|| Timestamp::from_millis(1_000));
    let engine = Engine::open(Box::new(MemoryStore::new()), Options { clock: Arc::clone(&clock) }).unwrap();
    let keys = KeySource::Text(SecretText::new("ab".repeat(32)));
    Plane::new(
        engine,
        PlaneOptions {
            keys,
            system: SystemEnvironment::NotKnown,
            clock,
            elapsed: Arc::new(|| std::time::Duration::ZERO),
            holder: None,
        },
    )
}

#[test]
fn p5_an_apply_waits_until_it_is_real_outside_and_says_what_is_not() {
    let project = Project::bare();
    project.write("holdfast.toml", MANIFEST);
    std::fs::create_dir_all(project.store()).unwrap();
    let (plane, open) = (plane(), Arc::new(AtomicBool::new(false)));
    let gate = Gate { kind: KindName::new("file").unwrap(), open: Arc::clone(&open) };
    let soon = Duration::from_millis(1);
    let options = ActuateOptions { backoff: Backoff { first: soon, most: soon }, ..ActuateOptions::default() };
    let actuation = plane.actuate(vec![Arc::new(gate)], options).unwrap();
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    let server = runtime.block_on(mount(Arc::new(plane), &project.store(), ServeOptions::default())).unwrap();

    let late = project.run(&["--yes", "--wait", "--timeout", "2"]);
    assert_eq!(late.code, Some(5), "{}", late.stderr);
    assert!(late.stdout.ends_with("\nApplied as r1 (1 create)\n"), "{}", late.stdout);
    let told = "error[E_TIMEOUT]: r1 is applied; it took longer than 2 s: `file/motd` is reconciling";
    assert!(late.stderr.contains(told) && late.stderr.contains("waiting; `file/motd`"), "{}", late.stderr);

    project.write("holdfast.toml", &MANIFEST.replace("one", "two"));
    let late = project.run(&["--yes", "--wait", "--timeout", "0", "--format", "json"]);
    let document: Value = serde_json::from_str(&late.stdout).unwrap();
    assert_eq!((late.code, &document["applied"]["revision"]), (Some(5), &Value::from(2)), "{document}");
    assert_eq!(document["error"]["code"], "E_TIMEOUT", "{document}");

    // Nothing is left to apply, and what is in force becomes real.
    open.store(true, Ordering::SeqCst);
    let done = project.run(&["--yes", "--wait"]);
    assert_eq!(done.code, Some(0), "{}", done.stderr);
    assert!(done.stderr.contains("r2 is real outside the store too"), "{}", done.stderr);
    project.write("holdfast.toml", &MANIFEST.replace("one", "three"));
    let sealed = project.run(&["--dry-run", "--out", "plan.json"]);
    assert_eq!(sealed.code, Some(0), "{}", sealed.stderr);
    let done = project.run(&["apply", "plan.json", "--yes", "--wait"]);
    assert_eq!(done.code, Some(0), "{}", done.stderr);
    assert!(done.stderr.contains("r3 is real outside the store too"), "{}", done.stderr);
    let done = project.run(&["rollback", "r1", "--yes", "--wait", "--timeout", "60"]);
    assert_eq!(done.code, Some(0), "{}", done.stderr);
    assert!(done.stderr.contains("r4 is real outside the store too"), "{}", done.stderr);

    drop(actuation);
    runtime.block_on(server.shutdown());
}

#[test]
fn there_is_nothing_to_wait_for_without_an_apply_or_without_a_program_that_makes_things() {
    let project = Project::bare();
    project.write("holdfast.toml", MANIFEST);
    for words in [&["--dry-run", "--wait"][..], &["plan", "--wait"], &["--yes", "--timeout", "3"]] {
        assert_eq!(project.run(words).code, Some(64), "{words:?}");
    }
    let done = project.run(&["--yes", "--wait"]);
    assert_eq!(done.code, Some(0), "{}", done.stderr);
    let told = "r1 is in force; nothing outside the store depends on it, as far as is known";
    assert!(done.stderr.contains(told), "{}", done.stderr);
}
