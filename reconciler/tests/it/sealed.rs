//! Sealed plans beside a store that is another by then, or seen with another key, at another time, in another store.

use std::collections::{BTreeMap, BTreeSet};

use holdfast_engine::{Keep, Revision, Timestamp};
use holdfast_reconciler::Plane;
use holdfast_reconciler::desired::SecretText;
use holdfast_reconciler::error::{Problem, ProblemKind};
use holdfast_reconciler::plan::PlanRequest;
use holdfast_reconciler::plane::{ApplyRequest, ControlPlane, SecretWrite, WriteOutcome, WriteReceipt};
use holdfast_reconciler::seal::{Seal, Sealed, SealedPlan};

use crate::planes::{World, agent, apply, declared, desired, request, secret, world};

const KEY: &str = "secret/provider:z-ai:apiKey";

/// The agent with this model, and the key of its provider.
fn team(model: &str, key: Option<&str>) -> PlanRequest {
    let mut resources = agent("triage", "z-ai", model);
    resources.push(secret(KEY, "Z_KEY", key));
    request(desired("team", resources))
}

fn asked(request: &PlanRequest, sealed: &Sealed) -> ApplyRequest {
    ApplyRequest {
        plan: request.clone(),
        plan_id: sealed.plan.plan_id.clone(),
        confirmed_deletes: 0,
        author: "tester".to_owned(),
        message: String::new(),
        sealed: Some(sealed.seal.clone()),
        request_id: None,
    }
}

fn apply_sealed(plane: &Plane, request: &PlanRequest, sealed: &Sealed) -> Result<WriteReceipt, Problem> {
    plane.apply(&asked(request, sealed))
}

fn roll_back(world: &World, to: u64) -> Revision {
    let mut back = team("any", None);
    back.options.rollback = Some(Revision::new(to));
    apply(&world.plane, &back).unwrap().1.revision
}

/// As a file of a build that did not write what it knows by now, read again.
fn of_an_earlier_build(sealed: &Sealed) -> Sealed {
    let mut sealed = sealed.clone();
    (sealed.seal.commit, sealed.seal.store, sealed.seal.key, sealed.seal.foreseen) = (None, None, None, None);
    sealed
}

#[test]
fn a_credential_that_expired_meanwhile_is_told_and_no_state_that_changed() {
    let world = world();
    let request_of = |name: &str| {
        let mut resources = agent("triage", "z-ai", "glm-4.6");
        resources[0] = declared("agent/triage", serde_json::json!({ "name": name }));
        request(desired("team", resources))
    };
    apply(&world.plane, &request_of("A")).unwrap();
    let write = SecretWrite {
        org: None,
        name: "provider:z-ai:apiKey".to_owned(),
        value: Some(SecretText::new("canary-key".to_owned())),
        expires: Some(Timestamp::from_millis(5_000)),
        author: "tester".to_owned(),
        allow_break: BTreeSet::new(),
    };
    world.plane.write_secret(&write).unwrap();
    let later = request_of("B");
    let sealed = world.plane.seal(&later).unwrap();
    assert_eq!(sealed.seal.foreseen, Some(BTreeMap::new()), "it was foreseen that no session changes");
    world.clock.set(6_000);
    let refused = apply_sealed(&world.plane, &later, &sealed).unwrap_err();
    assert_eq!((refused.kind, refused.code.as_str()), (ProblemKind::Stale, "E_STALE"));
    assert!(refused.message.ends_with("on r2 an apply would do something else"), "{refused}");
    let [sessions, state] = refused.causes.as_slice() else { panic!("{:?}", refused.causes) };
    assert!(
        sessions.starts_with("sessions of `triage`: the plan foresaw no change, here it is `failing, "),
        "{sessions}"
    );
    assert!(state.starts_with("the store is as it was"), "{state}");
    // One that does not say what it foresaw says nothing of it.
    let refused = apply_sealed(&world.plane, &later, &of_an_earlier_build(&sealed)).unwrap_err();
    assert_eq!(&refused.causes, std::slice::from_ref(state));
    world.clock.set(4_000);
    apply_sealed(&world.plane, &later, &sealed).unwrap();
}

#[test]
fn what_a_rollback_took_back_is_not_told_to_be_done() {
    let world = world();
    apply(&world.plane, &team("glm-4.6", Some("canary-key"))).unwrap();
    let later = team("glm-4.5", Some("canary-key"));
    let sealed = world.plane.seal(&later).unwrap();
    let first = apply_sealed(&world.plane, &later, &sealed).unwrap();
    assert_eq!((first.outcome, first.revision), (WriteOutcome::Committed, Revision::new(2)));
    let again = |revision: u64| {
        let receipt = apply_sealed(&world.plane, &later, &sealed).unwrap();
        assert_eq!((receipt.outcome, receipt.revision), (WriteOutcome::Replayed, Revision::new(revision)));
    };
    again(2);
    assert_eq!(roll_back(&world, 1), Revision::new(3));
    let refused = apply_sealed(&world.plane, &later, &sealed).unwrap_err();
    assert_eq!(refused.kind, ProblemKind::Stale);
    assert_eq!(refused.message, "already applied as r2, and taken back by the rollback r3 to r1");
    // A rollback to what it was puts it in force again, and the same change planned anew is another apply.
    assert_eq!(roll_back(&world, 2), Revision::new(4));
    again(2);
    assert_eq!(roll_back(&world, 3), Revision::new(5));
    let anew = world.plane.seal(&later).unwrap();
    assert_eq!(anew.plan.plan_id, sealed.plan.plan_id);
    assert_eq!(apply_sealed(&world.plane, &later, &anew).unwrap().revision, Revision::new(6));
    again(6);
    // Later manifests are no rollback: the plan was carried out, and then came another.
    apply(&world.plane, &team("glm-5", Some("canary-key"))).unwrap();
    again(6);
}

#[test]
fn a_rollback_of_another_source_takes_nothing_back() {
    let world = world();
    let other = |model: &str| request(desired("other", agent("helper", "z-ai", model)));
    apply(&world.plane, &other("glm-4.6")).unwrap();
    let mine = team("glm-4.6", Some("canary-key"));
    let sealed = world.plane.seal(&mine).unwrap();
    apply_sealed(&world.plane, &mine, &sealed).unwrap();
    let mut back = other("any");
    back.options.rollback = Some(Revision::new(1));
    apply(&world.plane, &other("glm-4.5")).unwrap();
    apply(&world.plane, &back).unwrap();
    assert_eq!(apply_sealed(&world.plane, &mine, &sealed).unwrap().outcome, WriteOutcome::Replayed);
}

#[test]
fn a_plan_of_another_store_is_refused_though_the_revisions_are_equal() {
    let (here, there) = (world(), world());
    there.clock.set(1);
    for world in [&here, &there] {
        apply(&world.plane, &request(desired("team", agent("triage", "z-ai", "glm-4.6")))).unwrap();
    }
    let later = request(desired("team", agent("triage", "z-ai", "glm-4.5")));
    let sealed = here.plane.seal(&later).unwrap();
    let refused = apply_sealed(&there.plane, &later, &sealed).unwrap_err();
    assert_eq!((refused.kind, refused.code.as_str()), (ProblemKind::Failed, "E_OTHER_STORE"));
    assert_eq!(there.plane.engine().head().revision, Revision::new(1));
    // What an earlier build sealed names the commit only, and a store that is behind has not got it.
    let commit = Some(sealed.plan.base.commit.clone());
    let earlier = Sealed { seal: Seal { commit, ..of_an_earlier_build(&sealed).seal }, ..sealed.clone() };
    let refused = apply_sealed(&there.plane, &later, &earlier).unwrap_err();
    assert_eq!(refused.code, "E_OTHER_STORE");
    assert!(refused.causes[0].starts_with("its r1 is the commit "), "{:?}", refused.causes);
    let refused = apply_sealed(&world().plane, &later, &earlier).unwrap_err();
    assert_eq!(refused.causes, ["it was made on r1, and this store is at r0"]);
    // A plan that is applied there already is no plan of there either.
    apply(&there.plane, &later).unwrap();
    assert_eq!(apply_sealed(&there.plane, &later, &sealed).unwrap_err().code, "E_OTHER_STORE");
    assert_eq!(apply_sealed(&here.plane, &later, &earlier).unwrap().outcome, WriteOutcome::Committed);
}

#[test]
fn the_state_decides_where_the_plans_revision_is_compacted() {
    let world = world();
    apply(&world.plane, &request(desired("team", agent("triage", "z-ai", "glm-4.6")))).unwrap();
    let later = request(desired("team", agent("triage", "z-ai", "glm-4.5")));
    let sealed = world.plane.seal(&later).unwrap();
    let write = |value: &str| {
        let kv = holdfast_engine::Txn::new().put(holdfast_engine::Key::new("kv/x").unwrap(), value.as_bytes().to_vec());
        world.plane.engine().commit(kv).unwrap();
    };
    ["1", "2", "3"].into_iter().for_each(write);
    world.plane.engine().compact(Keep::From(Revision::new(3))).unwrap();
    assert!(world.plane.engine().head_at(Revision::new(1)).is_err());
    assert_eq!(apply_sealed(&world.plane, &later, &sealed).unwrap().outcome, WriteOutcome::Committed);
}

#[test]
fn p8_values_are_compared_under_the_key_that_the_plan_was_made_with() {
    let world = world();
    // A key, and nothing sealed: any key is right as far as the store knows.
    let (_, text) = holdfast_reconciler::secret::KeyRing::generate().unwrap();
    std::fs::write(world.folder.path().join("master.key"), text.as_bytes()).unwrap();
    let mode = std::os::unix::fs::PermissionsExt::from_mode(0o600);
    std::fs::set_permissions(world.folder.path().join("master.key"), mode).unwrap();
    let first = team("glm-4.6", Some("canary-key"));
    let sealed = world.plane.seal(&first).unwrap();
    assert!(sealed.seal.key.is_some() && sealed.plan.diagnostics.is_empty());
    let refused = |plane: &Plane, request: &PlanRequest, sealed: &Sealed| {
        let problem = apply_sealed(plane, request, sealed).unwrap_err();
        (problem.code, problem.message)
    };
    let (code, message) = refused(&world.with_another_key(), &first, &sealed);
    assert_eq!(code, "E_MASTER_KEY");
    assert!(message.contains("and the one at hand is"), "{message}");
    let (code, message) = refused(&world.without_key(), &first, &sealed);
    assert_eq!((code.as_str(), message.ends_with("and there is none here")), ("E_MASTER_KEY", true), "{message}");
    let other = team("glm-4.6", Some("another-key"));
    let (code, message) = refused(&world.plane, &other, &sealed);
    assert_eq!(code, "E_STALE");
    assert_eq!(message, format!("`value` of `{KEY}` has another value than when it was planned"));
    // One of an earlier build does not say which key it was.
    let earlier = of_an_earlier_build(&sealed);
    let (_, message) = refused(&world.with_another_key(), &first, &earlier);
    assert!(message.ends_with("or was planned under another master key"), "{message}");
    assert_eq!(refused(&world.without_key(), &first, &earlier).0, "E_MASTER_KEY");
    apply_sealed(&world.plane, &first, &earlier).unwrap();

    // After a rotation the old key still tells that the value is the same; what is stale is what the rotation touched.
    let later = team("glm-4.5", Some("canary-key"));
    let sealed = world.plane.seal(&later).unwrap();
    world.plane.rotate_secrets("maria").unwrap();
    let problem = apply_sealed(&world.plane, &later, &sealed).unwrap_err();
    assert!(problem.message.ends_with("what it depends on is not as it was"), "{problem}");
    assert!(problem.causes[0].contains("cli:maria"), "{:?}", problem.causes);
}

#[test]
fn values_that_no_key_covers_are_told_when_the_plan_is_sealed() {
    let world = world();
    let first = team("glm-4.6", Some("canary-key"));
    let sealed = world.plane.seal(&first).unwrap();
    let [found] = sealed.plan.diagnostics.as_slice() else { panic!("{:?}", sealed.plan.diagnostics) };
    assert_eq!(found.code, "W_UNCOVERED_VALUE");
    assert!(found.message.contains("`$Z_KEY`") && !found.message.contains("canary"), "{found:?}");
    assert_eq!(sealed.plan.plan_id, world.plane.plan(&first).unwrap().plan_id, "a finding changes no plan");
    // That there was a value is known without a key.
    let missing = apply_sealed(&world.plane, &team("glm-4.6", None), &sealed).unwrap_err();
    assert_eq!(missing.code, "E_MISSING_VALUE");
    let refused = apply_sealed(&world.with_another_key(), &first, &sealed).unwrap_err();
    assert_eq!(refused.message, "the plan was made where there was no master key, and here is one");
    let file = SealedPlan::new(sealed.clone(), first.clone()).unwrap().to_json();
    assert_eq!(SealedPlan::parse(&file).unwrap().seal, sealed.seal);
    apply_sealed(&world.plane, &team("glm-4.6", Some("any-other-key")), &sealed).unwrap();
    // Without values there is nothing to cover.
    let bare = request(desired("bare", agent("helper", "z-ai", "glm-4.6")));
    assert!(world.with_another_key().seal(&bare).is_err(), "the store has a key by now");
    assert!(world.plane.seal(&bare).unwrap().plan.diagnostics.is_empty());
}

#[test]
fn a_wrong_number_of_deletes_blocks_the_plan_and_the_one_of_the_apply_counts() {
    let world = world();
    let resources = || [agent("triage", "z-ai", "glm-4.6"), agent("other", "z-ai", "glm-4.6")].concat();
    let mut fewer = resources();
    fewer.push(declared("agent/third", serde_json::json!({ "name": "third" })));
    apply(&world.plane, &request(desired("team", fewer))).unwrap();
    let told = |number: u64| {
        let mut asked = request(desired("team", resources()));
        asked.options.allow_delete = Some(number);
        asked
    };
    let wrong = world.plane.plan(&told(7)).unwrap();
    assert!(!wrong.applyable && wrong.is_blocked());
    assert_eq!(wrong.blocked[0].code, "E_DELETES");
    assert_eq!(wrong.blocked[0].message, "the plan deletes 1 resource, and 7 were confirmed");
    assert_eq!(wrong.blocked[0].remedies, ["--allow-delete 1"]);
    let right = told(1);
    let sealed = world.plane.seal(&right).unwrap();
    let with = |deletes: u64| world.plane.apply(&ApplyRequest { confirmed_deletes: deletes, ..asked(&right, &sealed) });
    let refused = with(2).unwrap_err();
    assert_eq!(refused.message, "the plan deletes 1 resource, and 2 were confirmed");
    with(0).unwrap();
    // Nothing is left to delete: the same command changes nothing, and one that does something else is held to its number.
    let again = world.plane.plan(&right).unwrap();
    assert!(!again.is_blocked() && !again.has_changes());
    let mut more = told(1);
    more.desired.resources.push(std::sync::Arc::new(declared("agent/fourth", serde_json::json!({ "name": "4" }))));
    let blocked = world.plane.plan(&more).unwrap().blocked;
    assert_eq!(blocked[0].message, "the plan deletes nothing, and 1 was confirmed");
}
