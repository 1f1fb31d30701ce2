//! Kinds of a project's own, from their manifest to live and back: diffed, sealed, guarded, known to the store.

use holdfast_reconciler::against::{self, State, plan_against};
use holdfast_reconciler::agents::kinds::kinds;
use holdfast_reconciler::plan::{Action, Plan, PlanRequest};
use holdfast_reconciler::plane::{ControlPlane, Edit, EditRequest};
use holdfast_reconciler::resource::{Address, OrgId};
use serde_json::json;

use crate::planes::{World, apply, request, world};
use crate::support::manifest::{load_files_with, text};

const CANARY: &str = "flag-canary-4711";
const HEAD: &str = "[project]\nname = \"flags\"\n";
const KIND: &str = "\
[kinds.feature-flag]
fields.rollout = { type = \"integer\", min = 0, max = 100 }
fields.token = { type = \"string\", sensitive = true }
fields.owner = { type = \"string\" }
fields.limits = { type = \"table\", fields = { depth = { type = \"integer\" }, secret = { type = \"string\", sensitive = true } } }
fields.rules = { type = \"list\", key = \"id\", items = { type = \"table\", fields = { id = { type = \"string\" }, weight = { type = \"integer\" } } } }
immutable = [\"owner\"]
effect = \"immediate\"
";

pub(crate) fn asked(manifest: &str) -> PlanRequest {
    let loaded = load_files_with(&[("holdfast.toml", &format!("{HEAD}{manifest}"))], &[("TOKEN", CANARY)]);
    request(loaded.desired.unwrap_or_else(|| panic!("{}", text(&loaded.diagnostics))))
}

/// Applies a manifest; planning again must then show nothing (P1).
pub(crate) fn applied(world: &World, manifest: &str) -> Plan {
    let mut asked = asked(manifest);
    let deletes = world.plane.plan(&asked).unwrap().summary.delete;
    asked.options.allow_delete = (deletes > 0).then_some(deletes);
    let (plan, _) = apply(&world.plane, &asked).unwrap_or_else(|problem| panic!("{problem:?}"));
    asked.options.allow_delete = None;
    let again = world.plane.plan(&asked).unwrap();
    assert!(!again.has_changes() && !again.is_blocked(), "{again:?}");
    plan
}

pub(crate) fn edit(org: Option<OrgId>, address: Address, edit: Edit, author: &str) -> EditRequest {
    let (author, message, allow_break) = (author.to_owned(), String::new(), Default::default());
    EditRequest {
        org,
        address,
        edit,
        if_modified: None,
        allow_delete: None,
        allow_break,
        author,
        message,
        request_id: None,
    }
}

fn flag(body: &str) -> String {
    format!("{KIND}\n[resources.feature-flag.new-ui]\n{body}")
}

/// The changed fields of a plan's only row.
fn fields(plan: &Plan) -> Vec<String> {
    assert_eq!(plan.changes.len(), 1, "{plan:?}");
    plan.changes[0].fields.iter().map(|field| field.path.to_string()).collect()
}

fn live(world: &World, address: &str) -> serde_json::Value {
    let info = world.plane.resource(None, &address.parse().unwrap(), None).unwrap();
    serde_json::to_value(info).unwrap()
}

#[test]
fn p1_a_resource_of_an_own_kind_is_made_changed_and_deleted() {
    let world = world();
    let first = applied(
        &world,
        &flag("rollout = 20\nowner = \"maria\"\nrules = [{ id = \"a\", weight = 1 }, { id = \"b\" }]\n"),
    );
    assert_eq!((first.summary.create, first.kinds.len(), first.kinds[0].action), (1, 1, Action::Create));
    assert_eq!(first.changes[0].effect, "immediate");
    assert_eq!(live(&world, "feature-flag/new-ui")["fields"]["rollout"], 20);

    let body = "rollout = 30\nowner = \"maria\"\nrules = [{ id = \"b\", weight = 2 }]\n";
    let second = applied(&world, &flag(body));
    assert_eq!(fields(&second), ["rollout", "rules[0]", "rules[0].weight"], "the list differs by its key");
    assert!(second.kinds.is_empty());

    // The kind stays declared, its last resource goes.
    let third = applied(&world, KIND);
    assert_eq!((third.summary.delete, third.kinds.len()), (1, 0));
    assert_eq!(third.changes[0].effect, "immediate");
    let last = applied(&world, "");
    assert_eq!((last.summary.changes(), last.kinds[0].action), (0, Action::Delete));
}

#[test]
fn a_kind_and_its_last_resource_go_together_with_what_the_store_knows_of_the_kind() {
    let world = world();
    applied(&world, &flag("rollout = 20\n"));
    let gone = applied(&world, "");
    assert_eq!((gone.summary.delete, gone.kinds[0].action), (1, Action::Delete));
    assert_eq!(gone.changes[0].effect, "immediate", "the store knows the kind that the manifest no longer declares");
    assert_eq!(world.plane.engine().snapshot().prefix("org/default/kind/").count(), 0);
}

#[test]
fn p8_a_sensitive_field_is_sealed_and_differs_by_its_tag() {
    let world = world();
    let first = applied(
        &world,
        &flag("token = \"$TOKEN\"\n[resources.feature-flag.new-ui.limits]\ndepth = 3\nsecret = \"$TOKEN\"\n"),
    );
    assert_eq!(fields(&first), ["limits", "limits.secret", "token"]);
    assert!(first.changes[0].fields[1].sensitive && first.changes[0].fields[2].sensitive);
    let record = live(&world, "feature-flag/new-ui");
    assert_eq!(record["fields"], json!({"limits": {"depth": 3}}));
    assert_eq!(record["tags"].as_object().unwrap().len(), 2);
    let clear = |key: &&str| key.contains(CANARY);
    let stored: Vec<String> = world
        .plane
        .engine()
        .snapshot()
        .prefix("")
        .map(|(_, entry)| String::from_utf8_lossy(entry.value()).into_owned())
        .collect();
    assert!(!stored.iter().map(String::as_str).any(|value| clear(&value)), "{stored:?}");
    let removed = applied(&world, &flag("limits = { depth = 3 }\n"));
    assert_eq!(fields(&removed), ["limits.secret", "token"]);
}

#[test]
fn p8_a_field_that_becomes_a_secret_leaves_the_store_in_clear() {
    let world = world();
    let was = "[kinds.feature-flag]\nfields.token = { type = \"string\" }\nfields.limits = { type = \"table\" }\n";
    let body = format!(
        "\n[resources.feature-flag.new-ui]\ntoken = \"{CANARY}\"\nlimits = {{ depth = 3, secret = \"{CANARY}\" }}\n"
    );
    applied(&world, &format!("{was}{body}"));
    let plan = applied(&world, &flag("token = \"$TOKEN\"\nlimits = { depth = 3, secret = \"$TOKEN\" }\n"));
    assert!(!format!("{plan:?}").contains(CANARY), "{plan:?}");
    assert!(!serde_json::to_string(&plan).unwrap().contains(CANARY));
    assert_eq!(live(&world, "feature-flag/new-ui")["fields"], json!({"limits": {"depth": 3}}));
    assert_eq!(plan.kinds[0].action, Action::Update);
}

#[test]
fn an_immutable_field_blocks_when_it_changes_or_goes() {
    let world = world();
    applied(&world, &flag("rollout = 1\nowner = \"maria\"\n"));
    for body in ["rollout = 1\nowner = \"nora\"\n", "rollout = 1\n"] {
        let plan = world.plane.plan(&asked(&flag(body))).unwrap();
        assert_eq!((plan.blocked.len(), plan.blocked[0].code.as_str()), (1, "E_IMMUTABLE"), "{body}: {plan:?}");
        assert!(plan.blocked[0].message.contains("`owner` of `feature-flag/new-ui`"), "{plan:?}");
    }
}

#[test]
fn lifecycle_holds_for_own_kinds() {
    let world = world();
    applied(&world, &flag("rollout = 1\nlifecycle = { prevent_delete = true }\n"));
    let plan = world.plane.plan(&asked(KIND)).unwrap();
    assert_eq!(plan.blocked[0].code, "E_PROTECTED", "{plan:?}");
    applied(&world, &flag("rollout = 1\nlifecycle = { ignore = [\"rollout\"] }\n"));
    let patch = serde_json::from_value(json!({"rollout": 7})).unwrap();
    let address = "feature-flag/new-ui".parse().unwrap();
    let edit = edit(None, address, Edit::Merge(patch), "maria");
    world.plane.edit(&edit).unwrap();
    let plan = world.plane.plan(&asked(&flag("rollout = 1\nlifecycle = { ignore = [\"rollout\"] }\n"))).unwrap();
    assert!(!plan.has_changes() && !plan.is_blocked(), "{plan:?}");
}

#[test]
fn p8_a_live_edit_is_held_to_the_kind_and_takes_no_secret() {
    let world = world();
    applied(&world, &flag("rollout = 1\nowner = \"maria\"\n"));
    let refused = |patch: serde_json::Value| {
        let (address, patch) = ("feature-flag/new-ui".parse().unwrap(), serde_json::from_value(patch).unwrap());
        world.plane.edit(&edit(None, address, Edit::Merge(patch), "maria")).unwrap_err()
    };
    for (patch, code, words) in [
        (json!({"rollout": 101}), "E_FIELD", "at most 100"),
        (json!({"rollout": "x"}), "E_FIELD", "an integer"),
        (json!({"rolout": 1}), "E_FIELD", "did you mean `rollout`?"),
        (json!({"limits": {"depht": 1}}), "E_FIELD", "`limits.depht`"),
        (json!({"token": "x"}), "E_SENSITIVE", "`token`"),
        (json!({"limits": {"secret": "x"}}), "E_SENSITIVE", "`limits.secret`"),
        (json!({"owner": "nora"}), "E_IMMUTABLE", "`owner`"),
    ] {
        let problem = refused(patch.clone());
        assert_eq!(problem.code, code, "{patch}: {problem:?}");
        assert!(problem.message.contains(words), "{patch}: {}", problem.message);
    }
}

#[test]
fn two_sources_declare_one_kind_alike_or_the_second_is_blocked() {
    let world = world();
    applied(&world, &flag("rollout = 1\n"));
    let other = |kind: &str| {
        let mut asked = asked(&format!("{kind}\n[resources.feature-flag.other]\n"));
        asked.desired.source.name = Some("second".parse().unwrap());
        asked
    };
    let plan = world.plane.plan(&other("[kinds.feature-flag]\nfields.rollout = { type = \"string\" }\n")).unwrap();
    assert_eq!(
        (plan.blocked[0].code.as_str(), plan.blocked[0].address.as_str()),
        ("E_OTHER_SOURCE", "kind/feature-flag")
    );
    assert_eq!(plan.summary.blocked, 1);
    apply(&world.plane, &other(KIND)).unwrap();
    // The first one leaves; the kind stays for the second.
    applied(&world, "");
    assert_eq!(world.plane.engine().snapshot().prefix("org/default/kind/").count(), 1);
}

#[test]
fn p12_an_organisation_knows_its_own_kinds_only() {
    let world = world();
    applied(&world, &flag("rollout = 1\n"));
    let patch = serde_json::from_value(json!({"rollout": 7})).unwrap();
    let (address, org) = ("feature-flag/x".parse().unwrap(), Some(OrgId::new("acme").unwrap()));
    let edit = edit(org, address, Edit::Create(patch), "m");
    assert_eq!(world.plane.edit(&edit).unwrap_err().code, "E_UNKNOWN_KIND");
}

#[test]
fn against_an_exported_state_the_same_rows_come_out() {
    let world = world();
    applied(&world, &flag("rollout = 1\nowner = \"maria\"\n"));
    let state: State = against::export(&world.plane, None, None).unwrap();
    let clock: holdfast_engine::Clock = std::sync::Arc::new(|| holdfast_engine::Timestamp::from_millis(0));
    let planned = |manifest: &str| plan_against(state.clone(), &asked(manifest), &kinds(), None, &clock).unwrap();
    assert_eq!(planned(&flag("rollout = 1\nowner = \"maria\"\n")).summary.changes(), 0);
    assert_eq!(fields(&planned(&flag("rollout = 2\nowner = \"maria\"\n"))), ["rollout"]);
    assert_eq!(planned("").summary.delete, 1);
    let mut twice = state.clone();
    twice.resources.push(state.resources[0].clone());
    let refused = plan_against(twice, &asked(KIND), &kinds(), None, &clock).unwrap_err();
    assert_eq!(refused.code, "E_STATE");
    assert!(refused.message.contains("`feature-flag/new-ui`"), "{}", refused.message);
}
