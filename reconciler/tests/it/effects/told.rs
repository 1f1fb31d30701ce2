//! What is told of effects: conditions and the observed revision, per organisation, without secrets; what a wait waits for.

use std::collections::BTreeMap;
use std::sync::Arc;

use holdfast_engine::{Revision, Txn};
use holdfast_reconciler::actuator::{Actuator, ActuatorError, Errand, Observed, Wanted};
use holdfast_reconciler::plane::{ConditionState, ControlPlane, OriginQuery, not_yet, reason};
use holdfast_reconciler::resource::{KindName, OrgId};
use serde_json::json;

use super::recorder::{Ends, Recorder};
use super::{act, address, commit, condition, file, idle, key, kind, patient, put, record, status, until};
use crate::own_kinds::applied;
use crate::planes::world;

#[test]
fn observed_is_what_is_real_and_never_ahead_of_it() {
    let (world, recorder) = (world(), Recorder::new());
    let engine = world.plane.engine();
    let told = status(&world.plane);
    assert_eq!(told.observed, Some(Revision::ZERO), "nothing has an actuator, so all is real");
    let first = put(engine, "a", "1");
    recorder.ends("a", Some(Ends::Waits));
    let actuation = act(&world.plane, recorder.shared(), patient());
    let told = condition(&world.plane);
    assert!([ConditionState::Unknown, ConditionState::Reconciling].contains(&told.state), "{told:?}");
    assert_eq!((told.wanted, told.observed, status(&world.plane).observed), (Some(first), None, None));
    recorder.ends("a", None);
    idle(&actuation);
    let told = status(&world.plane);
    assert_eq!((told.observed, told.conditions_ready, told.actuators), (Some(first), 1, vec![kind()]));

    // Right after a commit it is told as not real, before anybody can have looked at it.
    for number in 0..50 {
        recorder.ends("a", Some(Ends::Waits));
        let newest = put(engine, "a", &format!("x{number}"));
        let told = status(&world.plane);
        assert!(told.observed.is_none_or(|observed| observed < newest), "{told:?}");
        assert_eq!(told.conditions.len(), 1);
        assert!(!not_yet(&told, newest).is_empty());
        recorder.ends("a", None);
        until("it", || status(&world.plane).observed == Some(newest));
        assert!(not_yet(&status(&world.plane), newest).is_empty());
    }
    // One that cannot be made keeps the number where it was, whatever else becomes real.
    let before = engine.head().revision;
    recorder.ends("b", Some(Ends::Stalled));
    let second = commit(engine, &[("b", Some(file("1", &[]))), ("a", Some(file("2", &[])))]);
    put(engine, "a", "3");
    idle(&actuation);
    let told = status(&world.plane);
    assert_eq!((told.observed, told.conditions_ready), (Some(before), 1));
    assert_eq!(not_yet(&told, before), Vec::<String>::new());
    assert_eq!(not_yet(&told, second), ["`file/b` is stalled: may not"]);
    assert_eq!(not_yet(&told, told.head.revision.next()), [format!("the head is {}", told.head.revision)]);
}

#[test]
fn p12_conditions_are_those_of_ones_own_organisation() {
    let (world, recorder) = (world(), Recorder::new());
    let engine = world.plane.engine();
    let txn = Txn::new().put(key("acme", "ours"), record(json!({"content": "1"})));
    engine.commit(txn.put(key("other", "theirs"), record(json!({"content": "1"})))).unwrap();
    recorder.ends("ours", Some(Ends::Stalled));
    recorder.ends("theirs", Some(Ends::Stalled));
    let actuation = act(&world.plane, recorder.shared(), patient());
    idle(&actuation);
    for (org, own, foreign) in [("acme", "ours", "theirs"), ("other", "theirs", "ours")] {
        let told = world.plane.status(Some(&OrgId::new(org).unwrap())).unwrap();
        let text = serde_json::to_string(&told).unwrap();
        assert!(text.contains(own) && !text.contains(foreign), "{text}");
    }
    let told = world.plane.status(Some(&OrgId::default())).unwrap();
    assert_eq!((told.conditions.len(), told.observed), (0, Some(engine.head().revision)), "nothing of it is outside");
}

#[test]
fn after_a_restart_nothing_is_known_until_it_is_looked_at() {
    let (world, recorder) = (world(), Recorder::new());
    let engine = world.plane.engine();
    put(engine, "a", "1");
    let actuation = act(&world.plane, recorder.shared(), patient());
    idle(&actuation);
    drop(actuation);
    assert_eq!(status(&world.plane).observed, None, "something is outside, and nobody here looks at it");
    // A program that has another actuator says what it does not know.
    struct Other(KindName);
    impl Actuator for Other {
        fn kind(&self) -> &KindName {
            &self.0
        }
        fn observe(&self, _: &Errand) -> Result<Observed, ActuatorError> {
            Ok(Observed::Unknown)
        }
        fn make(&self, _: &Errand, _: &Wanted) -> Result<(), ActuatorError> {
            Ok(())
        }
        fn remove(&self, _: &Errand) -> Result<(), ActuatorError> {
            Ok(())
        }
    }
    let other = act(&world.plane, Arc::new(Other("other".parse().unwrap())), patient());
    idle(&other);
    let told = condition(&world.plane);
    assert_eq!((told.state, told.reason.as_str()), (ConditionState::Unknown, reason::NO_ACTUATOR));
    let refused = world.plane.actuate(vec![recorder.shared()], patient()).unwrap_err();
    assert!(refused.message.contains("already"), "{refused:?}");
    drop(other);
    let twice = world.plane.actuate(vec![recorder.shared(), recorder.shared()], patient()).unwrap_err();
    assert!(twice.message.contains("two actuators for `file`"), "{twice:?}");
    let actuation = act(&world.plane, recorder.shared(), patient());
    idle(&actuation);
    assert_eq!((status(&world.plane).conditions_ready, recorder.calls("a")), (1, 1));
}

#[test]
fn a_resource_with_an_actuator_explains_how_it_stands() {
    let (world, recorder) = (world(), Recorder::new());
    let manifest = "[kinds.file]\nfields.content = { type = \"string\" }\n[resources.file.a]\ncontent = \"1\"\n";
    applied(&world, manifest);
    let query = OriginQuery { org: None, address: address("a"), field: None, at: None, limit: None };
    assert_eq!(world.plane.origins(&query).unwrap().condition, None, "nothing makes it real");
    let actuation = act(&world.plane, recorder.shared(), patient());
    idle(&actuation);
    let told = world.plane.origins(&query).unwrap().condition.unwrap();
    assert_eq!((told.state, told.reason.as_str()), (ConditionState::Ready, reason::MADE));
    assert_eq!((told.wanted, told.observed), (Some(Revision::new(1)), Some(Revision::new(1))));
}

const CANARY: &str = "flag-canary-4711";

/// Says every secret that it was given, in every way that it can.
struct Leaks(KindName);

impl Actuator for Leaks {
    fn kind(&self) -> &KindName {
        &self.0
    }

    fn observe(&self, _: &Errand) -> Result<Observed, ActuatorError> {
        Ok(Observed::Unknown)
    }

    fn make(&self, errand: &Errand, wanted: &Wanted) -> Result<(), ActuatorError> {
        let given: BTreeMap<_, _> =
            wanted.secrets.iter().map(|(path, value)| (path.as_str(), value.expose())).collect();
        assert!(!format!("{wanted:?}").contains(CANARY));
        match errand.address.name.as_str() {
            "panics" => panic!("with {}", given["token"]),
            "stalls" => Err(ActuatorError::stalled(given["token"], format!("at {}", given["token"]))),
            _ => Err(ActuatorError::transient(format!("no {}", given["token"]))),
        }
    }

    fn remove(&self, _: &Errand) -> Result<(), ActuatorError> {
        Ok(())
    }
}

#[test]
fn p8_an_actuator_is_given_the_secrets_of_its_resource_and_no_condition_shows_them() {
    let world = world();
    let mut manifest = "[kinds.account]\nfields.token = { type = \"string\", sensitive = true }\n".to_owned();
    for name in ["fails", "panics", "stalls"] {
        manifest.push_str(&format!("[resources.account.{name}]\ntoken = \"$TOKEN\"\n"));
    }
    applied(&world, &manifest);
    let actuation = act(&world.plane, Arc::new(Leaks("account".parse().unwrap())), patient());
    until("all three", || actuation.is_idle() && status(&world.plane).conditions.iter().all(|told| told.attempts == 1));
    let told = status(&world.plane);
    let text = serde_json::to_string(&told).unwrap();
    assert!(told.conditions.len() == 3 && text.contains("***") && !text.contains(CANARY), "{text}");
    let remembered = world.plane.engine().reminders("").unwrap();
    assert_eq!(remembered.len(), 3);
    assert!(remembered.iter().all(|reminder| !String::from_utf8_lossy(&reminder.bytes).contains(CANARY)));
}
