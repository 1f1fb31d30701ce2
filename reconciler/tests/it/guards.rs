//! Each guard at each verb that could get round it: nothing is changed, the reason has its code, and the way out that is named works.

use std::collections::{BTreeMap, BTreeSet};

use holdfast_engine::Revision;
use holdfast_reconciler::agents::profile::ProfileType;
use holdfast_reconciler::desired::{Declared, Lifecycle, SecretText};
use holdfast_reconciler::error::Problem;
use holdfast_reconciler::plan::PlanRequest;
use holdfast_reconciler::plane::{
    ControlPlane, Edit, EditRequest, ProfileChange, ProfileCredential, ProfileWrite, SecretWrite,
};
use serde_json::{Value, json};

use crate::planes::{World, agent, apply, apply_planned, declared, desired, request, secret, world};

const KEY: &str = "secret/provider:z-ai:apiKey";

/// What the caller allows.
#[derive(Clone, Default)]
struct Allowed {
    breaks: BTreeSet<String>,
    deletes: Option<u64>,
}

fn breaks(agent: &str) -> Allowed {
    Allowed { breaks: BTreeSet::from([agent.to_owned()]), ..Allowed::default() }
}

fn deletes(count: u64) -> Allowed {
    Allowed { deletes: Some(count), ..Allowed::default() }
}

/// Two agents on one key, one of which must not be deleted, and a connection with a field that keeps its value.
fn resources() -> Vec<Declared> {
    let mut all = [agent("triage", "z-ai", "glm-4.6"), agent("billing", "z-ai", "glm-4.6")].concat();
    all.push(secret(KEY, "Z_KEY", Some("value")));
    all.push(declared("connection/news", json!({"connector": "hackernews", "name": "News"})));
    all
}

fn without(all: Vec<Declared>, gone: &[&str]) -> Vec<Declared> {
    all.into_iter().filter(|one| !gone.contains(&one.address.to_string().as_str())).collect()
}

fn with(mut all: Vec<Declared>, address: &str, fields: Value) -> Vec<Declared> {
    let other = declared(address, fields);
    all.retain(|one| one.address != other.address);
    all.push(other);
    all
}

fn planned(resources: Vec<Declared>, protect: &[&str], allowed: &Allowed) -> PlanRequest {
    let mut asked = request(desired("team", resources));
    asked.desired.protect = protect.iter().map(|pattern| (*pattern).to_owned()).collect();
    asked.options.allow_break = allowed.breaks.clone();
    asked.options.allow_delete = allowed.deletes;
    asked
}

fn back(to: u64, protect: &[&str], allowed: &Allowed) -> PlanRequest {
    let mut asked = planned(Vec::new(), protect, allowed);
    asked.options.rollback = Some(Revision::new(to));
    asked
}

fn set(world: &World, address: &str, fields: Value, allowed: &Allowed) -> Result<(), Problem> {
    let Value::Object(fields) = fields else { panic!("fields are an object") };
    edit(world, address, Edit::Merge(fields.into_iter().collect()), allowed)
}

fn edit(world: &World, address: &str, edit: Edit, allowed: &Allowed) -> Result<(), Problem> {
    let request = EditRequest {
        org: None,
        address: address.parse().unwrap(),
        edit,
        if_modified: None,
        allow_delete: allowed.deletes,
        allow_break: allowed.breaks.clone(),
        author: "ui:maria".to_owned(),
        message: String::new(),
        request_id: None,
    };
    world.plane.edit(&request).map(drop)
}

fn remove_secret(world: &World, name: &str, allowed: &Allowed) -> Result<(), Problem> {
    let (name, author, allow_break) = (name.to_owned(), "ui:maria".to_owned(), allowed.breaks.clone());
    world
        .plane
        .write_secret(&SecretWrite { org: None, name, value: None, expires: None, author, allow_break })
        .map(drop)
}

fn profile(world: &World, change: ProfileChange, allowed: &Allowed) -> Result<(), Problem> {
    let write = ProfileWrite {
        org: None,
        user: "maria".to_owned(),
        provider: "z-ai".to_owned(),
        model: None,
        change,
        author: "ui:maria".to_owned(),
        allow_break: allowed.breaks.clone(),
    };
    world.plane.write_profile(&write).map(drop)
}

fn run(world: &World, request: &PlanRequest) -> Result<(), Problem> {
    apply(&world.plane, request).map(drop)
}

/// A world in which `steps` were applied, one commit each.
fn grown(steps: Vec<Vec<Declared>>, protect: &[&str]) -> World {
    let world = world();
    for resources in steps {
        run(&world, &planned(resources, protect, &deletes(0))).unwrap_or_else(|problem| {
            assert_eq!(problem.code, "E_BLOCKED", "{problem:?}");
            panic!("{problem:?}")
        });
    }
    world
}

/// The codes of a refusal.
fn codes(result: &Result<(), Problem>) -> String {
    match result {
        Ok(()) => "done".to_owned(),
        Err(problem) if problem.blocked.is_empty() => problem.code.clone(),
        Err(problem) => {
            let codes: BTreeSet<&str> = problem.blocked.iter().map(|blocked| blocked.code.as_str()).collect();
            codes.into_iter().collect::<Vec<_>>().join(", ")
        }
    }
}

type Act<'a> = &'a dyn Fn(&World, &Allowed) -> Result<(), Problem>;

/// One guard at one verb: the world, the act, its refusal, and what allows it; nothing allows what is protected or fixed.
struct Case<'a> {
    what: &'a str,
    world: World,
    act: Act<'a>,
    code: &'a str,
    way_out: Option<Allowed>,
}

impl Case<'_> {
    fn check(self) {
        let Self { what, world, act, code, way_out } = self;
        let state = || {
            let snapshot = world.plane.engine().snapshot();
            let entries = snapshot.prefix("org/").map(|(key, entry)| (key.to_string(), entry.value().to_vec()));
            (world.plane.head().unwrap().revision, entries.collect::<BTreeMap<_, _>>())
        };
        let before = state();
        for wrong in [Allowed::default(), breaks("nobody")] {
            let refused = act(&world, &wrong);
            assert_eq!(codes(&refused), code, "{what}: {refused:?}");
            assert!(state() == before, "{what}: a refusal changed something");
            let problem = refused.unwrap_err();
            let helps = problem.help.is_some() || problem.blocked.iter().all(|blocked| !blocked.remedies.is_empty());
            assert!(helps, "{what}: no way out is named: {problem:?}");
        }
        if let Some(allowed) = way_out {
            act(&world, &allowed).unwrap_or_else(|problem| panic!("{what}: the way out is closed: {problem:?}"));
            assert!(state().0 > before.0, "{what}");
        }
    }
}

#[test]
fn p13_a_session_that_worked_is_not_broken_by_any_verb() {
    let works = || grown(vec![resources()], &[]);
    let of_user = || {
        let alone = without(resources(), &[KEY, "agent/billing", "settings/billing"]);
        let world = grown(vec![alone], &[]);
        let credential = ProfileCredential::Value(SecretText::new("hers".to_owned()));
        let change = ProfileChange::Set { kind: ProfileType::ApiKey, credential, expires: None };
        profile(&world, change, &Allowed::default()).unwrap();
        world
    };
    // At first the agent had a provider without a key.
    let was_without = || {
        let first = with(resources(), "settings/triage", json!({"installedProviders": [{"providerId": "openai"}]}));
        grown(vec![first, resources()], &[])
    };
    let both = Allowed { breaks: ["triage", "billing"].map(str::to_owned).into(), deletes: Some(1) };
    let nothing = json!({"installedProviders": null});
    let other = json!({"installedProviders": [{"providerId": "openai"}]});
    let only_billing = with(resources(), "settings/triage", other.clone());
    let cases: [(&str, World, Act<'_>, Allowed); 9] = [
        (
            "apply without the key",
            works(),
            &|world, allowed| run(world, &planned(without(resources(), &[KEY]), &[], allowed)),
            both.clone(),
        ),
        (
            "apply with another provider",
            works(),
            &|world, allowed| run(world, &planned(only_billing.clone(), &[], allowed)),
            breaks("triage"),
        ),
        ("set", works(), &|world, allowed| set(world, "settings/triage", other.clone(), allowed), breaks("triage")),
        (
            "delete of the settings of an agent that stays",
            works(),
            &|world, allowed| edit(world, "settings/triage", Edit::Delete, allowed),
            breaks("triage"),
        ),
        ("unset", works(), &|world, allowed| set(world, "settings/triage", nothing.clone(), allowed), breaks("triage")),
        ("secret remove", works(), &|world, allowed| remove_secret(world, "provider:z-ai:apiKey", allowed), both),
        (
            "profile remove",
            of_user(),
            &|world, allowed| profile(world, ProfileChange::Remove, allowed),
            breaks("triage"),
        ),
        ("rollback", was_without(), &|world, allowed| run(world, &back(1, &[], allowed)), breaks("triage")),
        (
            "set of a profile that has ended",
            of_user(),
            &|world, allowed| {
                let credential = ProfileCredential::SecretRef("NOWHERE".to_owned());
                let change = ProfileChange::Set { kind: ProfileType::ApiKey, credential, expires: None };
                profile(world, change, allowed)
            },
            breaks("triage"),
        ),
    ];
    for (what, world, act, way_out) in cases {
        Case { what, world, act, code: "E_BREAKS", way_out: Some(way_out) }.check();
    }
}

#[test]
fn what_is_protected_is_not_deleted_by_any_verb() {
    let protect = ["agent/billing", "secret/*"];
    let protected = || grown(vec![resources()], &protect);
    let came_later = || {
        let first = without(resources(), &["agent/billing", "settings/billing"]);
        grown(vec![first, resources()], &protect)
    };
    let fewer = || without(resources(), &["agent/billing", "settings/billing"]);
    let keyless = || Allowed { deletes: Some(1), ..breaks("triage") };
    let cases: [(&str, World, Act<'_>); 5] = [
        ("apply", protected(), &|world, _| run(world, &planned(fewer(), &protect, &deletes(2)))),
        ("apply without the key", protected(), &|world, _| {
            let allowed = Allowed { breaks: ["triage", "billing"].map(str::to_owned).into(), ..keyless() };
            run(world, &planned(without(resources(), &[KEY]), &protect, &allowed))
        }),
        ("delete", protected(), &|world, _| edit(world, "agent/billing", Edit::Delete, &deletes(2))),
        ("secret remove", protected(), &|world, _| {
            let allowed = Allowed { breaks: ["triage", "billing"].map(str::to_owned).into(), ..keyless() };
            remove_secret(world, "provider:z-ai:apiKey", &allowed)
        }),
        ("rollback", came_later(), &|world, _| run(world, &back(1, &protect, &deletes(2)))),
    ];
    for (what, world, act) in cases {
        Case { what, world, act, code: "E_PROTECTED", way_out: None }.check();
    }
    // Once the manifest protects it no longer, and that is applied, it may go.
    let world = protected();
    let (plan, _) = apply(&world.plane, &planned(resources(), &[], &Allowed::default())).unwrap();
    assert_eq!((plan.summary.changes(), plan.adopts.len()), (0, 2), "{plan:?}");
    edit(&world, "agent/billing", Edit::Delete, &deletes(2)).unwrap();
    remove_secret(&world, "provider:z-ai:apiKey", &breaks("triage")).unwrap();
}

#[test]
fn what_was_declared_to_stay_is_not_deleted_by_any_verb() {
    let kept = || -> Vec<Declared> {
        let lifecycle = Lifecycle { prevent_delete: true, ignore: Vec::new() };
        let keep = |mut one: Declared| {
            if one.address.to_string() == "agent/billing" {
                one.lifecycle = lifecycle.clone();
            }
            one
        };
        resources().into_iter().map(keep).collect()
    };
    let fewer = || without(kept(), &["agent/billing", "settings/billing"]);
    let stands = || grown(vec![kept()], &[]);
    let cases: [(&str, World, Act<'_>); 3] = [
        ("apply", stands(), &|world, _| run(world, &planned(fewer(), &[], &deletes(2)))),
        ("delete", stands(), &|world, _| edit(world, "agent/billing", Edit::Delete, &deletes(2))),
        ("rollback", grown(vec![fewer(), kept()], &[]), &|world, _| run(world, &back(1, &[], &deletes(2)))),
    ];
    for (what, world, act) in cases {
        Case { what, world, act, code: "E_PROTECTED", way_out: None }.check();
    }
}

#[test]
fn a_field_that_keeps_its_value_is_changed_by_no_verb() {
    let other = || with(resources(), "connection/news", json!({"connector": "reddit", "name": "News"}));
    let stands = || grown(vec![resources()], &[]);
    // The connection went and came back as another: to put the first one back would change it.
    let came_back = || {
        let world = stands();
        run(&world, &planned(without(resources(), &["connection/news"]), &[], &deletes(1))).unwrap();
        run(&world, &planned(other(), &[], &Allowed::default())).unwrap();
        world
    };
    let set_to =
        |world: &World, value: Value| set(world, "connection/news", json!({"connector": value}), &Allowed::default());
    let cases: [(&str, World, Act<'_>); 4] = [
        ("apply", stands(), &|world, allowed| run(world, &planned(other(), &[], allowed))),
        ("set", stands(), &|world, _| set_to(world, json!("reddit"))),
        ("unset", stands(), &|world, _| set_to(world, Value::Null)),
        ("rollback", came_back(), &|world, allowed| run(world, &back(1, &[], allowed))),
    ];
    for (what, world, act) in cases {
        Case { what, world, act, code: "E_IMMUTABLE", way_out: None }.check();
    }
}

#[test]
fn more_is_deleted_than_was_told_by_no_verb() {
    let stands = || grown(vec![resources()], &[]);
    let crowd = |count: usize| -> Vec<Declared> {
        let more = (0..count).map(|number| declared(&format!("agent/more-{number}"), json!({"name": "More"})));
        resources().into_iter().chain(more).collect()
    };
    let cases: [(&str, World, Act<'_>, &str, Allowed); 4] = [
        (
            "emptied",
            stands(),
            &|world, allowed| {
                let allowed = Allowed { breaks: ["triage", "billing"].map(str::to_owned).into(), ..allowed.clone() };
                run(world, &planned(Vec::new(), &[], &allowed))
            },
            "E_DELETES",
            deletes(6),
        ),
        (
            "a large share",
            grown(vec![crowd(3)], &[]),
            &|world, allowed| run(world, &planned(resources(), &[], allowed)),
            "E_DELETES",
            deletes(3),
        ),
        (
            "rollback",
            grown(vec![resources(), crowd(3)], &[]),
            &|world, allowed| run(world, &back(1, &[], allowed)),
            "E_DELETES",
            deletes(3),
        ),
        (
            "delete",
            stands(),
            &|world, allowed| {
                let told = Allowed { deletes: allowed.deletes.or(Some(1)), ..allowed.clone() };
                edit(world, "agent/triage", Edit::Delete, &told)
            },
            "E_DELETES",
            deletes(2),
        ),
    ];
    for (what, world, act, code, way_out) in cases {
        Case { what, world, act, code, way_out: Some(way_out) }.check();
    }
    // Deletes that no guard is about need their number all the same, unless somebody said yes to what was shown.
    let world = stands();
    let request = planned(without(resources(), &["connection/news"]), &[], &Allowed::default());
    let plan = world.plane.plan(&request).unwrap();
    assert!(plan.applyable && plan.summary.delete == 1);
    let told = |confirmed| {
        let confirmed_deletes = confirmed;
        world.plane.apply(&holdfast_reconciler::plane::ApplyRequest {
            plan: request.clone(),
            plan_id: plan.plan_id.clone(),
            confirmed_deletes,
            author: "tester".to_owned(),
            message: String::new(),
            sealed: None,
            request_id: None,
        })
    };
    for wrong in [0, 2] {
        assert_eq!(codes(&told(wrong).map(drop)), "E_DELETES", "{wrong}");
    }
    apply_planned(&world.plane, &request, &plan).unwrap();
}

#[test]
fn p7_a_rollback_takes_over_what_somebody_else_set_only_if_told() {
    let other = with(resources(), "settings/triage", json!({"soulMd": "b"}));
    let world = grown(vec![with(resources(), "settings/triage", json!({"soulMd": "a"})), other], &[]);
    set(&world, "settings/triage", json!({"soulMd": "hers"}), &Allowed::default()).unwrap();
    let mut asked = back(1, &[], &breaks("triage"));
    let plan = world.plane.plan(&asked).unwrap();
    assert_eq!((plan.blocked.len(), plan.blocked[0].code.as_str()), (1, "E_CONFLICT"), "{plan:?}");
    assert_eq!(plan.blocked[0].remedies, ["reconcile rollback r1 --take 'settings/triage soulMd=r3'"]);
    asked.options.take = ["settings/triage soulMd=r2".parse().unwrap()].into();
    assert!(world.plane.plan(&asked).unwrap().is_blocked(), "it was changed since");
    asked.options.take = ["settings/triage soulMd=r3".parse().unwrap()].into();
    run(&world, &asked).unwrap();
    let live = world.plane.resource(None, &"settings/triage".parse().unwrap(), None).unwrap();
    assert_eq!(live.record.fields["soulMd"], "a");
}
