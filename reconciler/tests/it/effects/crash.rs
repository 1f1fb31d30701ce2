//! The crash between any two steps: the store is cut off before or after each single effect, also of the run that makes up for it,
//! and everything is opened again from the disk. What is declared is made in the end, what is deleted is gone, in order, and what
//! was cut off is repeated and never lost.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::sync::{Arc, Mutex};

use holdfast_engine::{Engine, Options, Revision, SledOptions, SledStore, Timestamp};
use holdfast_reconciler::actuation::ActuateOptions;
use holdfast_reconciler::actuator::{Actuator, ActuatorError, Errand, Observed, Wanted};
use holdfast_reconciler::agents::resolver::SystemEnvironment;
use holdfast_reconciler::keyfile::KeySource;
use holdfast_reconciler::resource::{Address, KindName};
use holdfast_reconciler::{Plane, PlaneOptions};
use serde_json::{Value, json};

use super::{act, address, commit, eager, file, kind, until};

/// What is outside: it outlives every crash.
#[derive(Default)]
struct Outside {
    /// What is there: revision and content.
    there: BTreeMap<String, (Revision, String)>,
    /// Each effect: of what, and of which revision; none for a removal.
    effects: Vec<(String, Option<Revision>)>,
    broken: Vec<String>,
}

/// Makes files outside until its program dies, which is when it has taken so many steps; each effect is one before it and one after it.
struct Mortal {
    kind: KindName,
    outside: Arc<Mutex<Outside>>,
    engine: Engine,
    left: AtomicI64,
    dead: AtomicBool,
}

impl Mortal {
    /// A step; an error if the program is dead. Its store takes nothing any more then, so that nothing can be remembered.
    fn step(&self) -> Result<(), ActuatorError> {
        if self.left.fetch_sub(1, Ordering::SeqCst) == 0 {
            self.dead.store(true, Ordering::SeqCst);
            self.engine.close();
        }
        if self.is_dead() { Err(ActuatorError::transient("dead")) } else { Ok(()) }
    }

    fn is_dead(&self) -> bool {
        self.dead.load(Ordering::SeqCst)
    }

    fn effect(&self, errand: &Errand, act: impl FnOnce(&mut Outside, String)) -> Result<(), ActuatorError> {
        self.step()?;
        act(&mut self.outside.lock().unwrap(), errand.address.name.to_string());
        self.step()
    }
}

fn after(fields: &BTreeMap<String, Value>) -> impl Iterator<Item = String> {
    let names = fields.get("after").and_then(Value::as_array).cloned().unwrap_or_default();
    names.into_iter().map(|name| name.as_str().unwrap().to_owned())
}

impl Actuator for Mortal {
    fn kind(&self) -> &KindName {
        &self.kind
    }

    fn needs(&self, wanted: &Wanted) -> Vec<Address> {
        after(&wanted.fields).map(|name| address(&name)).collect()
    }

    fn observe(&self, errand: &Errand) -> Result<Observed, ActuatorError> {
        let outside = self.outside.lock().unwrap();
        let found = outside.there.get(errand.address.name.as_str());
        Ok(found.map_or(Observed::Absent, |(_, content)| {
            Observed::Fields(BTreeMap::from([("content".to_owned(), json!(content))]))
        }))
    }

    fn make(&self, errand: &Errand, wanted: &Wanted) -> Result<(), ActuatorError> {
        let content = wanted.fields["content"].as_str().unwrap().to_owned();
        self.effect(errand, |outside, name| {
            if outside.there.get(&name).is_some_and(|(made, _)| *made > wanted.revision) {
                outside.broken.push(format!("{name} of {} after a newer one", wanted.revision));
            }
            if let Some(missing) = after(&wanted.fields).find(|needed| !outside.there.contains_key(needed)) {
                outside.broken.push(format!("{name} of {} before {missing}", wanted.revision));
            }
            outside.there.insert(name.clone(), (wanted.revision, content));
            outside.effects.push((name, Some(wanted.revision)));
        })
    }

    fn remove(&self, errand: &Errand) -> Result<(), ActuatorError> {
        self.effect(errand, |outside, name| {
            outside.there.remove(&name);
            outside.effects.push((name, None));
        })
    }
}

/// The commits, one after the other: files with content and needs; none is a delete.
type Commit = Vec<(&'static str, Option<Value>)>;

fn commits() -> [Commit; 5] {
    [
        vec![("a", Some(file("1", &[]))), ("b", Some(file("1", &["a"]))), ("c", Some(file("1", &["b"])))],
        vec![("b", Some(file("2", &["a"]))), ("d", Some(file("2", &[])))],
        vec![("c", None), ("a", Some(file("3", &[])))],
        vec![("a", None), ("b", None)],
        vec![("a", Some(file("5", &["d"]))), ("d", Some(file("5", &[])))],
    ]
}

fn open(folder: &Path) -> Plane {
    let store = SledStore::open(folder, SledOptions::default()).unwrap();
    let clock: holdfast_engine::Clock = Arc::new(|| Timestamp::from_millis(0));
    let engine = Engine::open(Box::new(store), Options { clock: Arc::clone(&clock) }).unwrap();
    let (keys, system) = (KeySource::None("none".to_owned()), SystemEnvironment::NotKnown);
    Plane::new(
        engine,
        PlaneOptions { keys, system, clock, elapsed: Arc::new(|| std::time::Duration::ZERO), holder: None },
    )
}

/// What there is in the end.
struct Ended {
    effects: Vec<(String, Option<Revision>)>,
    deaths: usize,
}

/// Runs all commits through, each until it is real. The program dies after so many steps, once for each number.
fn run(deaths: &[i64], workers: usize) -> Ended {
    let folder = tempfile::tempdir().unwrap();
    let outside = Arc::new(Mutex::new(Outside::default()));
    let mut lives = deaths.iter().copied().chain([i64::MAX]);
    let mut died = 0;
    let mut live = || {
        let plane = open(folder.path());
        let engine = plane.engine().clone();
        let left = AtomicI64::new(lives.next().unwrap_or(i64::MAX));
        let outside = Arc::clone(&outside);
        let mortal = Arc::new(Mortal { kind: kind(), outside, engine, left, dead: AtomicBool::new(false) });
        let actuation = act(&plane, mortal.clone(), ActuateOptions { workers, ..eager() });
        (plane, mortal, actuation)
    };
    let mut program = live();
    for changes in commits() {
        let mut written = false;
        loop {
            let (plane, mortal, actuation) = &program;
            // A death by a step that was still under way when the last commit was real.
            if !written && !mortal.is_dead() {
                commit(plane.engine(), &changes);
                written = true;
            }
            until("rest or death", || mortal.is_dead() || actuation.is_idle());
            if written && !mortal.is_dead() {
                break;
            }
            died += 1;
            drop(program.2);
            program.0.engine().close();
            program = live();
        }
    }
    drop(program.2);
    program.0.engine().close();
    let outside = std::mem::take(&mut *outside.lock().unwrap());
    let there: BTreeMap<_, _> = outside
        .there
        .iter()
        .map(|(name, (revision, content))| (name.as_str(), (revision.get(), content.as_str())))
        .collect();
    let wanted = BTreeMap::from([("a", (5, "5")), ("d", (5, "5"))]);
    assert_eq!(there, wanted, "deaths after {deaths:?}: {:?}", outside.effects);
    assert!(outside.broken.is_empty(), "deaths after {deaths:?}: {:?}", outside.broken);
    // Every commit was waited for, so each of its effects is there, in the order of the commits for each file.
    for name in ["a", "b", "c", "d"] {
        let mut of: Vec<_> =
            outside.effects.iter().filter(|(of, _)| of == name).map(|(_, revision)| *revision).collect();
        of.dedup();
        let all: Vec<_> = commits()
            .iter()
            .zip(1..)
            .flat_map(|(changes, revision)| changes.iter().map(move |change| (change, revision)))
            .filter(|((of, _), _)| *of == name)
            .map(|((_, fields), revision)| fields.as_ref().map(|_| Revision::new(revision)))
            .collect();
        assert_eq!(of, all, "{name}, deaths after {deaths:?}: {:?}", outside.effects);
    }
    Ended { effects: outside.effects, deaths: died }
}

#[test]
fn a_crash_before_or_after_any_effect_loses_nothing() {
    let whole = run(&[], 1);
    assert_eq!(whole.deaths, 0);
    let steps = 2 * i64::try_from(whole.effects.len()).unwrap();
    assert_eq!(steps, 22, "{:?}", whole.effects);
    let (mut runs, mut deaths, mut repeated) = (0, 0, 0);
    for first in 0..steps {
        for second in [None, Some(0), Some(1), Some(2)] {
            let lives: Vec<i64> = std::iter::once(first).chain(second).collect();
            let ended = run(&lives, if second.is_none() { 1 } else { 3 });
            runs += 1;
            deaths += ended.deaths;
            repeated += ended.effects.len() - whole.effects.len();
            assert!(ended.effects.len() <= whole.effects.len() + 4 * ended.deaths, "{:?}", ended.effects);
        }
    }
    println!("{runs} runs with {deaths} crashes, {repeated} effects repeated");
    assert!(deaths > 120, "only {deaths} crashes");
    assert!(repeated > 20, "no crash hit the time between an effect and what is remembered of it: {repeated}");
}
