//! `export` and `import`: what was exported plans as empty for its source, comes back into another store with its owners, and
//! overwrites nothing unless told.

use serde_json::{Value, json};

use super::bench::Project;
use super::history::both_ways;

fn applied() -> Project {
    let project = Project::hotreload();
    project.run(&["--yes"]).exits(0);
    project
}

#[test]
fn p7_an_export_is_the_same_both_ways_has_no_secret_and_plans_as_empty_for_its_source() {
    let project = applied();
    project.set_model("glm-4.5");
    project.run(&["--yes"]).exits(0);
    let ran = both_ways(
        &project,
        &[&["export"], &["export", "--format", "json"], &["export", "--at", "r1"], &["export", "--at", "r9"]],
    );
    let [text, json, past, future] = ran.try_into().unwrap();
    let json = json.exits(0);
    assert_eq!(text.exits(0).out, json.out);
    future.exits(1).complains("E_FUTURE");
    assert!(!json.out.contains("canary"), "{}", json.out);
    let state = json.json();
    assert_eq!(
        (&state["format"], &state["version"], &state["revision"]),
        (&json!("holdfast/state"), &json!(1), &json!(2))
    );
    let secret = state["resources"].as_array().unwrap().iter().find(|row| row["kind"] == "secret").unwrap();
    assert!(secret["tags"]["value"].is_string() && secret["owner"].is_string(), "{secret}");

    std::fs::write(project.path().join("state.json"), &json.out).unwrap();
    let plan = project.run(&["--against", "state.json", "--exit-code", "--dry-run"]).exits(0);
    plan.says("base r2").says("0 create, 0 update, 0 delete, 0 blocked, 0 unmanaged, 3 unchanged");
    std::fs::write(project.path().join("state.json"), &past.exits(0).out).unwrap();
    project.run(&["--against", "state.json", "--exit-code", "--dry-run"]).exits(2).says("\"glm-4.6\" -> \"glm-4.5\"");
}

/// Imports an export into a new store, embedded or through a server; gives what each step printed.
fn imported(server: bool) -> Vec<String> {
    let state = applied().run(&["export"]).exits(0).out;
    let mut project = Project::hotreload();
    std::fs::write(project.path().join("state.json"), state).unwrap();
    let _server = server.then(|| project.serve());
    let mut said = Vec::new();

    let dry = project.run(&["import", "state.json", "--dry-run"]).exits(0).says("Would import").says("2 create");
    assert!(server || !project.store().exists(), "a dry run makes no store");
    said.push(dry.out);
    let done = project.run(&["import", "state.json", "-m", "moved house"]).exits(0).says("Imported as r1");
    let done = done.says("1 secret value to set").says("reconcile secret set provider:z-ai:apiKey");
    said.push(done.out);
    let owner = |address: &str| project.run(&["get", address, "--format", "json"]).exits(0).json()["owner"].clone();
    assert_eq!(owner("settings/hotreload-test"), json!("hotreload"), "owners are kept");
    let commit = project.run(&["show", "r1", "--format", "json"]).exits(0).json();
    assert_eq!((&commit["author"], &commit["message"]), (&json!("cli:tester"), &json!("moved house")));
    said.push(project.run(&["import", "state.json"]).exits(0).says("Nothing to import, r1 stays").out);

    // The source goes on as if it had applied here: only the secret is new.
    let plan = project.run(&["--dry-run"]).exits(0).says("  + secret provider:z-ai:apiKey");
    plan.says("Summary: 1 create, 0 update, 0 delete, 0 blocked, 0 unmanaged, 2 unchanged");
    project.run(&["--yes"]).exits(0).says("Applied as r2");

    project.set_model("glm-4.5");
    project.run(&["--yes"]).exits(0).says("Applied as r3");
    let refused = project.run(&["import", "state.json"]).exits(3).complains("`settings/hotreload-test`");
    said.push(refused.complains("--overwrite").err);
    let blocked = project.run(&["import", "state.json", "--format", "json"]).exits(3).json();
    assert_eq!(blocked["blocked"][0]["code"], json!("E_DIFFERS"));
    let over = project.run(&["import", "state.json", "--overwrite"]).exits(0).says("Imported as r4");
    said.push(over.says("  ~ settings hotreload-test").out);
    assert!(project.run(&["get", "settings/hotreload-test"]).exits(0).out.contains("glm-4.6"));
    // The value that was sealed here is still there: an import takes no secret away.
    project.unset("Z_AI_API_KEY");
    project.run(&["session", "hotreload-test"]).exits(0).says("org-secret");
    said
}

#[test]
fn p7_an_import_keeps_owners_tells_the_secrets_to_set_and_overwrites_only_when_told_both_ways() {
    assert_eq!(imported(true), imported(false));
}

#[test]
fn a_file_that_is_no_state_of_this_store_is_refused_and_nothing_is_made() {
    let state = applied().run(&["export"]).exits(0).json();
    let project = Project::hotreload();
    let with = |change: &dyn Fn(&mut Value)| {
        let mut changed = state.clone();
        change(&mut changed);
        std::fs::write(project.path().join("state.json"), changed.to_string()).unwrap();
        project.run(&["import", "state.json"])
    };
    project.run(&["import", "nowhere.json"]).exits(1).complains("E_STATE").complains("nowhere.json");
    with(&|state| state["version"] = json!(2)).exits(1).complains("version 2");
    with(&|state| state["format"] = json!("terraform")).exits(1).complains("terraform");
    with(&|state| state["resources"] = json!(7)).exits(1).complains("E_STATE");
    std::fs::write(project.path().join("state.json"), &state.to_string()[..200]).unwrap();
    project.run(&["import", "state.json"]).exits(1).complains("E_STATE");
    assert!(!project.store().exists(), "nothing was made");
    let twice = |state: &mut Value| {
        let row = state["resources"][0].clone();
        state["resources"].as_array_mut().unwrap().push(row);
    };
    with(&twice).exits(1).complains("twice");
    with(&|state| state["resources"][0]["kind"] = json!("A b")).exits(1).complains("invalid kind");
    with(&|state| state["resources"][0]["org"] = json!("other")).exits(1).complains("E_ORG");
    assert_eq!(project.run(&["status", "--format", "json"]).json()["head"]["revision"], json!(0));
}
