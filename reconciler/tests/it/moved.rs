//! `[[moved]]`: a resource keeps its values, owners and secrets under another address, and what belongs to it goes along.

use holdfast_reconciler::plan::{Action, Plan, Reason};
use holdfast_reconciler::plane::{ControlPlane, Edit, SessionRequest};
use serde_json::json;

use crate::own_kinds::{applied, asked, edit};
use crate::planes::{World, world};
use crate::support::manifest::{load_files, text};

fn agent(id: &str) -> String {
    format!(
        "[agents.{id}]\nname = \"Bot\"\ndir = \"./x\"\n\
         [[agents.{id}.providers]]\nid = \"z-ai\"\nmodel = \"glm-4.6\"\nkey = \"$TOKEN\"\n\
         [[agents.{id}.platforms]]\ntype = \"slack\"\nname = \"ops\"\nconfig = {{ botToken = \"$TOKEN\", team = \"a\" }}\n"
    )
}

fn moved(from: &str, to: &str) -> String {
    format!("[[moved]]\nfrom = \"{from}\"\nto = \"{to}\"\n")
}

fn rows(plan: &Plan) -> Vec<String> {
    let row = |change: &holdfast_reconciler::plan::Change| {
        let from = change.from.as_ref().map(|from| format!(" from {from}")).unwrap_or_default();
        let fields: Vec<String> = change.fields.iter().map(|field| field.path.to_string()).collect();
        format!("{:?} {}{from} {}", change.action, change.address, fields.join(",")).trim_end().to_owned()
    };
    plan.changes.iter().map(row).collect()
}

fn addresses(world: &World) -> Vec<String> {
    let snapshot = world.plane.engine().snapshot();
    let live = "org/default/live/";
    snapshot.prefix(live).map(|(key, _)| key.as_str()[live.len()..].to_owned()).collect()
}

#[test]
fn p1_an_agent_moves_with_its_settings_platforms_and_secrets() {
    let world = world();
    applied(&world, &agent("old"));
    let secrets = addresses(&world);
    let manifest = format!("{}{}", agent("new"), moved("agent/old", "agent/new"));
    let plan = applied(&world, &manifest);
    let expected = [
        "Move agent/new from agent/old",
        "Move settings/new from settings/old",
        "Move platform/new/new-slack-ops from platform/old/old-slack-ops",
    ];
    assert_eq!(rows(&plan), expected);
    assert!(plan.changes.iter().all(|change| change.reason == Reason::Moved));
    assert_eq!((plan.summary.moved, plan.summary.create, plan.summary.delete), (3, 0, 0));
    assert_eq!(addresses(&world).len(), secrets.len());
    // The sealed value opens under its new address: a change of another value of the record needs it.
    let edited = manifest.replace("team = \"a\"", "team = \"b\"");
    assert_eq!(rows(&applied(&world, &edited)), ["Update platform/new/new-slack-ops config.team"]);
    // The entry may go at any time.
    applied(&world, &agent("new"));
}

#[test]
fn p13_a_move_tells_whose_sessions_end_and_the_new_name_works_at_once() {
    let world = world();
    applied(&world, &agent("old"));
    let plan = applied(&world, &format!("{}{}", agent("new"), moved("agent/old", "agent/new")));
    let told: Vec<(&str, bool, bool)> = plan
        .sessions
        .iter()
        .map(|session| (session.agent.as_str(), session.before.is_some(), session.after.is_some()))
        .collect();
    assert_eq!(told, [("new", false, true), ("old", true, false)]);
    let look = |agent: &str| world.plane.look(&SessionRequest { agent: agent.to_owned(), ..SessionRequest::default() });
    assert_eq!(look("new").unwrap().model.id, "glm-4.6");
    assert!(look("old").is_err());
}

#[test]
fn p7_a_move_keeps_what_somebody_else_owns() {
    let world = world();
    applied(&world, &agent("old"));
    let patch = serde_json::from_value(json!({"soulMd": "kind"})).unwrap();
    let address = "settings/old".parse().unwrap();
    let edit = edit(None, address, Edit::Merge(patch), "ui:maria");
    world.plane.edit(&edit).unwrap();
    applied(&world, &format!("{}{}", agent("new"), moved("agent/old", "agent/new")));
    let settings = world.plane.resource(None, &"settings/new".parse().unwrap(), None).unwrap();
    assert_eq!(
        (&settings.record.fields["soulMd"], settings.record.owners["soulMd"].as_str()),
        (&json!("kind"), "ui:maria")
    );
}

#[test]
fn a_move_may_change_fields_and_a_chain_is_followed_from_any_of_its_links() {
    for start in ["a", "b"] {
        let world = world();
        applied(&world, &agent(start));
        let entries = format!("{}{}", moved("agent/a", "agent/b"), moved("agent/b", "agent/c"));
        let manifest = format!("{}{entries}", agent("c").replace("\"Bot\"", "\"Better bot\""));
        let plan = applied(&world, &manifest);
        assert_eq!(rows(&plan)[0], format!("Move agent/c from agent/{start} name"));
        assert_eq!((plan.changes[0].action, plan.summary.moved), (Action::Move, 3));
    }
    // Nothing of the chain is live: the end is made.
    let fresh = world();
    let plan = applied(&fresh, &format!("{}{}", agent("c"), moved("agent/a", "agent/c")));
    assert_eq!((plan.summary.moved, plan.changes[0].action), (0, Action::Create));
}

#[test]
fn a_move_onto_a_live_resource_is_blocked_and_one_of_a_stranger_is_nobody_s_business() {
    let world = world();
    applied(&world, &format!("{}{}", agent("old"), agent("new")));
    let plan = world.plane.plan(&asked(&format!("{}{}", agent("new"), moved("agent/old", "agent/new")))).unwrap();
    assert_eq!(plan.blocked[0].code, "E_MOVED", "{plan:?}");
    assert!(!plan.applyable);
}

#[test]
fn an_own_resource_moves_and_a_protected_one_too() {
    let world = world();
    let kind = "[kinds.flag]\nfields.token = { type = \"string\", sensitive = true }\nfields.stage = { type = \"string\" }\nimmutable = [\"stage\"]\n";
    let body = "token = \"$TOKEN\"\nstage = \"live\"\nlifecycle = { prevent_delete = true }\n";
    applied(&world, &format!("{kind}[resources.flag.a]\n{body}"));
    let plan = applied(&world, &format!("{kind}[resources.flag.b]\n{body}{}", moved("flag/a", "flag/b")));
    assert_eq!(rows(&plan), ["Move flag/b from flag/a"]);
    assert_eq!(addresses(&world), ["flag/b"]);
}

#[test]
fn circles_and_crossings_are_told_with_their_places() {
    let flags = |entries: &str| {
        let kind = "[kinds.flag]\n[resources.flag.end]\n";
        let loaded = load_files(&[("holdfast.toml", &format!("{kind}{entries}"))]);
        assert!(loaded.desired.is_none(), "{entries}");
        text(&loaded.diagnostics)
    };
    let circle = format!("{}{}", moved("flag/a", "flag/b"), moved("flag/b", "flag/a"));
    let told = flags(&circle);
    assert!(
        told.contains("the moves of `flag/a` lead in a circle") && told.contains(" ::: holdfast.toml:6:1"),
        "{told}"
    );
    assert_eq!(told.matches("circle").count(), 1, "{told}");
    let crossing = format!("{}{}", moved("flag/a", "flag/end"), moved("flag/b", "flag/end"));
    assert!(flags(&crossing).contains("both `flag/a` and `flag/b` are moved to `flag/end`"));
    let nowhere = format!("{}{}", moved("flag/a", "flag/b"), moved("flag/b", "flag/c"));
    assert!(flags(&nowhere).contains("`flag/a` was moved to `flag/c`, which is declared nowhere"));
}
