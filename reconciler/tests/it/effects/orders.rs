//! One resource after the other, and one call at a time: order by need, single flight, waiting after failures.

use holdfast_reconciler::plane::{ConditionState, reason};

use super::recorder::{Did, Ends, Recorder};
use super::{act, commit, condition, eager, file, idle, patient, put, status, until};
use crate::planes::world;

fn names(did: &[Did]) -> Vec<String> {
    let name = |did: &Did| match did {
        Did::Made(name, _) => name.clone(),
        Did::Removed(name) => format!("-{name}"),
    };
    did.iter().map(name).collect()
}

#[test]
fn a_resource_is_made_changed_and_removed_and_no_commit_comes_of_it() {
    let (world, recorder) = (world(), Recorder::new());
    let engine = world.plane.engine();
    put(engine, "a", "one");
    let actuation = act(&world.plane, recorder.shared(), patient());
    idle(&actuation);
    let changed = put(engine, "a", "two");
    idle(&actuation);
    assert_eq!(recorder.there()["a"], "two");
    let gone = commit(engine, &[("a", None)]);
    idle(&actuation);
    assert_eq!(names(&recorder.did()), ["a", "a", "-a"]);
    assert_eq!(recorder.did()[1], Did::Made("a".to_owned(), changed));
    assert_eq!((engine.head().revision, engine.snapshot().len()), (gone, 0), "effects are no commits");
    assert!(engine.reminders("").unwrap().is_empty(), "nothing is outside any more");
}

#[test]
fn what_is_needed_is_made_before_and_removed_after() {
    let (world, recorder) = (world(), Recorder::new());
    let engine = world.plane.engine();
    let actuation = act(&world.plane, recorder.shared(), patient());
    // Their names are in the order in which they would be handed out.
    let chain = [("a", Some(file("1", &["b", "c"]))), ("b", Some(file("1", &["d"]))), ("c", Some(file("1", &["d"])))];
    commit(engine, &chain);
    commit(engine, &[("d", Some(file("1", &[])))]);
    idle(&actuation);
    let made = names(&recorder.did());
    let at = |name: &str| made.iter().position(|made| made == name).unwrap();
    assert!(
        made.len() == 4 && at("d") < at("b") && at("d") < at("c") && at("b") < at("a") && at("c") < at("a"),
        "{made:?}"
    );

    commit(engine, &[("a", None), ("b", None), ("c", None), ("d", None)]);
    idle(&actuation);
    let removed = names(&recorder.did()).split_off(4);
    let at = |name: &str| removed.iter().position(|removed| removed == name).unwrap();
    assert!(removed.len() == 4 && at("-a") < at("-b") && at("-a") < at("-c") && at("-b") < at("-d"), "{removed:?}");
    assert!(at("-c") < at("-d"), "{removed:?}");
    assert_eq!(status(&world.plane).conditions, []);
}

#[test]
fn what_is_no_longer_needed_is_removed_after_what_needed_it_was_changed() {
    let (world, recorder) = (world(), Recorder::new());
    let engine = world.plane.engine();
    commit(engine, &[("a", Some(file("1", &["b"]))), ("b", Some(file("1", &[])))]);
    let actuation = act(&world.plane, recorder.shared(), patient());
    idle(&actuation);
    recorder.ends("a", Some(Ends::Transient));
    commit(engine, &[("a", Some(file("2", &[]))), ("b", None)]);
    until("the failure", || recorder.calls("a") == 2);
    idle(&actuation);
    assert_eq!(recorder.calls("b"), 1, "what stands of `a` still needs it");
    let told = status(&world.plane).conditions;
    assert_eq!((told[1].address.to_string().as_str(), told[1].reason.as_str()), ("file/b", reason::WAITS));
    recorder.ends("a", None);
    commit(engine, &[("a", Some(file("3", &[])))]);
    idle(&actuation);
    assert_eq!(names(&recorder.did()), ["b", "a", "a", "-b"]);
}

#[test]
fn a_missing_reference_and_a_cycle_are_conditions_and_end_when_they_are_mended() {
    let (world, recorder) = (world(), Recorder::new());
    let engine = world.plane.engine();
    let actuation = act(&world.plane, recorder.shared(), patient());
    commit(engine, &[("a", Some(file("1", &["b"])))]);
    idle(&actuation);
    let told = condition(&world.plane);
    assert_eq!((told.state, told.reason.as_str()), (ConditionState::Stalled, reason::MISSING_REFERENCE));
    assert!(told.message.contains("file/b") && told.attempts == 1, "{told:?}");

    commit(engine, &[("b", Some(file("1", &["c"]))), ("c", Some(file("1", &["a"])))]);
    idle(&actuation);
    let told = status(&world.plane).conditions;
    assert!(told.iter().all(|told| told.state == ConditionState::Stalled && told.reason == reason::CYCLE), "{told:?}");
    assert_eq!((told.len(), recorder.did().len()), (3, 0));
    commit(engine, &[("d", Some(file("1", &["d"])))]);
    idle(&actuation);
    assert_eq!(status(&world.plane).conditions[3].reason, reason::CYCLE, "it needs itself");

    commit(engine, &[("c", Some(file("2", &[]))), ("d", None)]);
    idle(&actuation);
    assert_eq!(names(&recorder.did()), ["c", "b", "a"]);
    assert_eq!(status(&world.plane).conditions, []);
}

#[test]
fn one_call_at_a_time_and_then_the_newest() {
    let (world, recorder) = (world(), Recorder::new());
    let engine = world.plane.engine();
    let actuation = act(&world.plane, recorder.shared(), patient());
    recorder.ends("a", Some(Ends::Waits));
    let first = put(engine, "a", "1");
    until("the call", || recorder.runs("a"));
    let newest = (2..40).fold(first, |_, number| put(engine, "a", &number.to_string()));
    // Others do not wait for it.
    put(engine, "b", "1");
    until("the other one", || recorder.there().contains_key("b"));
    assert_eq!(recorder.calls("a"), 1);
    recorder.ends("a", None);
    idle(&actuation);
    let did = recorder.did();
    let of_a: Vec<_> = did.iter().filter(|did| matches!(did, Did::Made(name, _) if name == "a")).collect();
    assert_eq!(
        of_a,
        [&Did::Made("a".to_owned(), first), &Did::Made("a".to_owned(), newest)],
        "what came between is skipped"
    );
    assert_eq!(recorder.broken(), Vec::<String>::new());
}

#[test]
fn a_failing_actuator_is_left_alone_for_a_while_and_others_go_on() {
    let (world, recorder) = (world(), Recorder::new());
    let engine = world.plane.engine();
    recorder.ends("bad", Some(Ends::Transient));
    let actuation = act(&world.plane, recorder.shared(), patient());
    put(engine, "bad", "1");
    until("the failure", || recorder.calls("bad") == 1);
    for number in 0..50 {
        put(engine, "good", &number.to_string());
    }
    actuation.resync();
    idle(&actuation);
    assert_eq!(
        (recorder.there()["good"].as_str(), recorder.calls("bad")),
        ("49", 1),
        "no hammering, not by a resync either"
    );
    let told = condition(&world.plane);
    assert_eq!((told.state, told.reason.as_str(), told.attempts), (ConditionState::Reconciling, reason::FAILED, 1));
    assert!(told.next_try.is_some() && told.message == "no answer", "{told:?}");
    // A change of it is looked at now.
    recorder.ends("bad", None);
    put(engine, "bad", "2");
    idle(&actuation);
    assert_eq!((recorder.calls("bad"), status(&world.plane).conditions.len()), (2, 0));
}

#[test]
fn what_failed_is_tried_again_until_it_holds() {
    let (world, recorder) = (world(), Recorder::new());
    recorder.ends("a", Some(Ends::Transient));
    let _actuation = act(&world.plane, recorder.shared(), eager());
    put(world.plane.engine(), "a", "1");
    until("several tries", || recorder.calls("a") >= 5);
    assert!(condition(&world.plane).attempts >= 4);
    recorder.ends("a", None);
    until("success", || recorder.there().contains_key("a") && status(&world.plane).conditions.is_empty());
    commit(world.plane.engine(), &[("a", None)]);
    recorder.ends("a", Some(Ends::Transient));
    until("the removal", || recorder.there().is_empty() || recorder.calls("a") >= 12);
    recorder.ends("a", None);
    until("the removal", || recorder.there().is_empty() && status(&world.plane).conditions.is_empty());
}

#[test]
fn a_stalled_one_and_one_that_panics_are_shown_and_tried_again_at_a_resync() {
    let (world, recorder) = (world(), Recorder::new());
    let engine = world.plane.engine();
    recorder.ends("stalls", Some(Ends::Stalled));
    recorder.ends("panics", Some(Ends::Panics));
    let actuation = act(&world.plane, recorder.shared(), patient());
    put(engine, "stalls", "1");
    put(engine, "panics", "1");
    put(engine, "works", "1");
    idle(&actuation);
    let told = status(&world.plane);
    let shown: Vec<_> = told.conditions.iter().map(|told| (told.reason.as_str(), told.message.as_str())).collect();
    assert_eq!(shown, [(reason::PANICKED, "the actuator panicked: a bug in panics"), ("denied", "may not")]);
    assert!(told.conditions.iter().all(|told| told.state == ConditionState::Stalled && told.next_try.is_some()));
    assert_eq!((told.conditions_ready, recorder.calls("stalls")), (1, 1));
    recorder.ends("stalls", None);
    recorder.ends("panics", None);
    actuation.resync();
    idle(&actuation);
    assert_eq!((status(&world.plane).conditions_ready, recorder.there().len()), (3, 3));
}
