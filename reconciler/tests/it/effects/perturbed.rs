//! The perturbations of Sieve (OSDI 2022): a stale view, lost and merged events, being down at the wrong time; and what somebody
//! changes outside. The crash between any two steps is in `crash.rs`.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};

use holdfast_engine::{Engine, Revision, Snapshot};
use holdfast_reconciler::actuation::{ActuateOptions, EngineSight, OutsideDrift, Sight, Stop, Wake, Wakes};
use holdfast_reconciler::plane::{ConditionState, reason};

use super::recorder::{Did, Ends, Recorder};
use super::{act, commit, condition, eager, file, idle, patient, put, status, until};
use crate::planes::world;

/// Sees the store as it was, when told to, and hears nothing, or late and together, of what changes.
struct Dim {
    engine: Engine,
    /// What is seen next; the newest state once these are gone.
    views: Mutex<VecDeque<Snapshot>>,
    hears: Hears,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Hears {
    All,
    Nothing,
    /// Every seventh, and then only that something happened.
    Merged,
}

impl Dim {
    fn new(engine: &Engine, hears: Hears) -> Arc<Self> {
        Arc::new(Self { engine: engine.clone(), views: Mutex::default(), hears })
    }
}

impl Sight for Dim {
    fn snapshot(&self) -> Snapshot {
        self.views.lock().unwrap().pop_front().unwrap_or_else(|| self.engine.snapshot())
    }

    fn wakes(&self, after: Revision) -> Box<dyn Wakes> {
        Box::new(DimWakes { wakes: EngineSight(self.engine.clone()).wakes(after), hears: self.hears, heard: 0 })
    }
}

struct DimWakes {
    wakes: Box<dyn Wakes>,
    hears: Hears,
    heard: u64,
}

impl Wakes for DimWakes {
    fn next(&mut self, stop: &Stop) -> Option<Wake> {
        loop {
            let wake = self.wakes.next(stop)?;
            self.heard += 1;
            match self.hears {
                Hears::All => return Some(wake),
                Hears::Merged if self.heard.is_multiple_of(7) => return Some(Wake::Everything),
                Hears::Nothing | Hears::Merged => {}
            }
        }
    }
}

fn seeing(sight: &Arc<Dim>, options: ActuateOptions) -> ActuateOptions {
    ActuateOptions { sight: Some(Arc::clone(sight) as Arc<dyn Sight>), ..options }
}

#[test]
fn a_stale_view_makes_nothing_older_and_removes_nothing_newer() {
    let (world, recorder) = (world(), Recorder::new());
    let engine = world.plane.engine();
    let empty = engine.snapshot();
    put(engine, "a", "old");
    let old = engine.snapshot();
    put(engine, "a", "new");
    let sight = Dim::new(engine, Hears::All);
    let actuation = act(&world.plane, recorder.shared(), seeing(&sight, eager()));
    idle(&actuation);
    assert_eq!(recorder.there()["a"], "new");
    for stale in [&old, &empty] {
        let before = recorder.calls("a");
        sight.views.lock().unwrap().extend(vec![stale.clone(); 4]);
        // The listing sees the old state, and so do the turns after it.
        actuation.resync();
        until("the old views", || sight.views.lock().unwrap().is_empty());
        until("rest", || actuation.is_idle() && status(&world.plane).conditions.is_empty());
        assert_eq!((recorder.there()["a"].as_str(), recorder.calls("a")), ("new", before));
    }
    drop(actuation);

    // A program that starts with a view from before it was ever made: what is remembered is newer than the view.
    for stale in [&empty, &old] {
        sight.views.lock().unwrap().extend(vec![stale.clone(); 3]);
        let actuation = act(&world.plane, recorder.shared(), seeing(&sight, eager()));
        until("the old views", || sight.views.lock().unwrap().is_empty());
        actuation.resync();
        until("rest", || actuation.is_idle() && status(&world.plane).conditions.is_empty());
        assert_eq!(recorder.there()["a"], "new");
        assert!(!recorder.did().iter().any(|did| matches!(did, Did::Removed(_))), "{:?}", recorder.did());
    }
    assert_eq!(recorder.broken(), Vec::<String>::new());
}

#[test]
fn lost_and_merged_hints_delay_and_lose_nothing() {
    for hears in [Hears::Nothing, Hears::Merged] {
        let (world, recorder) = (world(), Recorder::new());
        let engine = world.plane.engine();
        put(engine, "gone", "1");
        let sight = Dim::new(engine, hears);
        let actuation = act(&world.plane, recorder.shared(), seeing(&sight, patient()));
        for number in 0..40 {
            put(engine, &format!("f{}", number % 5), &number.to_string());
        }
        commit(engine, &[("gone", None), ("late", Some(file("1", &["later"])))]);
        put(engine, "later", "1");
        let told = status(&world.plane);
        assert!(
            told.observed.is_none_or(|observed| observed < told.head.revision),
            "it does not claim what it did not hear"
        );
        actuation.resync();
        until("the rest of it", || actuation.is_idle() && status(&world.plane).conditions.is_empty());
        let there = recorder.there();
        assert_eq!(there.len(), 7, "{there:?}");
        assert!((0..5).all(|file| there[&format!("f{file}")] == (35 + file).to_string()), "{there:?}");
        assert_eq!(status(&world.plane).observed, Some(engine.head().revision));
        assert_eq!(recorder.broken(), Vec::<String>::new());
    }
}

#[test]
fn what_was_deleted_while_nobody_looked_is_removed() {
    let (world, recorder) = (world(), Recorder::new());
    let engine = world.plane.engine();
    commit(engine, &[("a", Some(file("1", &["b"]))), ("b", Some(file("1", &[]))), ("c", Some(file("1", &[])))]);
    let actuation = act(&world.plane, recorder.shared(), patient());
    idle(&actuation);
    drop(actuation);
    commit(engine, &[("a", None), ("b", None)]);
    let told = status(&world.plane);
    assert_eq!((told.observed, told.actuators.len()), (None, 0), "nobody here knows what is real");
    let actuation = act(&world.plane, recorder.shared(), patient());
    idle(&actuation);
    assert_eq!(recorder.there().keys().collect::<Vec<_>>(), ["c"]);
    let removed: Vec<_> = recorder.did().into_iter().filter(|did| matches!(did, Did::Removed(_))).collect();
    assert_eq!(
        removed,
        [Did::Removed("a".to_owned()), Did::Removed("b".to_owned())],
        "in order, from what is remembered"
    );
    assert_eq!(recorder.calls("c"), 1, "what is there as declared is not made again");
    assert_eq!(status(&world.plane).observed, Some(engine.head().revision));
}

#[test]
fn what_a_removal_failed_at_is_tried_after_a_restart_and_not_if_it_is_declared_again() {
    let (world, recorder) = (world(), Recorder::new());
    let engine = world.plane.engine();
    put(engine, "a", "1");
    put(engine, "b", "1");
    let actuation = act(&world.plane, recorder.shared(), patient());
    idle(&actuation);
    recorder.ends("a", Some(Ends::Transient));
    recorder.ends("b", Some(Ends::Transient));
    commit(engine, &[("a", None), ("b", None)]);
    until("the failures", || recorder.calls("a") + recorder.calls("b") == 4);
    drop(actuation);
    recorder.ends("a", None);
    recorder.ends("b", None);
    put(engine, "b", "2");
    let actuation = act(&world.plane, recorder.shared(), patient());
    idle(&actuation);
    assert_eq!(recorder.there().into_iter().collect::<Vec<_>>(), [("b".to_owned(), "2".to_owned())]);
}

#[test]
fn drift_outside_is_repaired_or_told() {
    for on_drift in [OutsideDrift::Repair, OutsideDrift::Tell] {
        let (world, recorder) = (world(), Recorder::new());
        let engine = world.plane.engine();
        put(engine, "a", "1");
        put(engine, "b", "1");
        let options = || ActuateOptions { on_drift, ..patient() };
        let actuation = act(&world.plane, recorder.shared(), options());
        idle(&actuation);
        recorder.meddle("a", Some("other"));
        recorder.meddle("b", None);
        actuation.resync();
        idle(&actuation);
        let told = status(&world.plane);
        if on_drift == OutsideDrift::Repair {
            assert!(recorder.there().values().all(|content| content == "1") && told.conditions.is_empty(), "{told:?}");
            assert_eq!(told.observed, Some(told.head.revision));
            continue;
        }
        assert_eq!(recorder.there().into_iter().collect::<Vec<_>>(), [("a".to_owned(), "other".to_owned())]);
        assert_eq!((told.conditions.len(), told.observed), (2, None));
        let drifted = &told.conditions[0];
        assert_eq!((drifted.state, drifted.reason.as_str()), (ConditionState::Stalled, reason::DRIFTED));
        assert!(drifted.message.contains("`content`") && drifted.observed.is_none(), "{drifted:?}");
        drop(actuation);
        // After a restart it is still drift, and a change of the resource is made all the same.
        let actuation = act(&world.plane, recorder.shared(), options());
        idle(&actuation);
        assert_eq!(status(&world.plane).conditions.len(), 2);
        put(engine, "a", "2");
        idle(&actuation);
        assert_eq!((recorder.there()["a"].as_str(), condition(&world.plane).address.name.as_str()), ("2", "b"));
    }
}
