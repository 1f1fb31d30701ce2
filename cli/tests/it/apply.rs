//! Applies: what is refused, what is committed, and what the history says of it.

use crate::support::{CANARY, Project, TRIAGE, absent, check, check_run};

#[test]
fn an_apply_that_lacks_values_is_refused_before_anything_is_written() {
    let project = Project::with(TRIAGE);
    let before = project.files();
    let ended = check_run("cli-apply@lacking-value", &project, &["--yes"]);
    assert_eq!(ended.code, Some(1));
    assert!(ended.stderr.contains("$Z_KEY"));
    assert_eq!(project.files(), before);
}

#[test]
fn nobody_there_to_ask_means_no() {
    let project = Project::with(TRIAGE);
    let ended = project.run_with(&[], &[("Z_KEY", CANARY)], "y\n");
    check("cli-apply@nobody", &ended.shown(&[]));
    assert_eq!(ended.code, Some(1));
    assert!(absent(&project.store()));
}

#[test]
fn what_was_planned_is_applied_and_planning_again_shows_no_change_p1() {
    let project = Project::with(TRIAGE);
    let arguments = ["--yes", "--author", "maria", "-m", "first"];
    let ended = project.run_with(&arguments, &[("Z_KEY", CANARY)], "");
    check("cli-apply@first", &ended.shown(&arguments));
    assert_eq!(ended.code, Some(0));
    assert_eq!(check_run("cli-apply@again", &project, &["--yes"]).code, Some(0));
    check_run("cli-read@history", &project, &["history"]);
    check_run("cli-read@history-json", &project, &["history", "--format", "json"]);
    check_run("cli-read@session", &project, &["session", "triage"]);
    check_run("cli-read@status", &project, &["status"]);
    check_run("cli-read@get", &project, &["get", "settings/triage"]);
    check_run("cli-read@get-near", &project, &["get", "settings/triag"]);
    check_run("cli-read@show", &project, &["show", "r1"]);
    check_run("cli-read@show-missing", &project, &["show", "r7"]);
    check_run("cli-read@verify", &project, &["verify"]);
    check_run("cli-read@session-unknown", &project, &["session", "triag"]);
    let key_leaks = project
        .files()
        .into_iter()
        .find(|(_, bytes)| bytes.windows(CANARY.len()).any(|window| window == CANARY.as_bytes()));
    assert_eq!(key_leaks.map(|(path, _)| path), None, "a secret lies in clear (P8)");
}

#[test]
fn the_document_of_an_apply_is_the_plan_with_its_receipt() {
    let project = Project::with(TRIAGE);
    let ended = project.run_with(&["--yes", "--format", "json"], &[("Z_KEY", CANARY)], "");
    let document: serde_json::Value = serde_json::from_str(&ended.stdout).unwrap();
    assert_eq!(document["applied"]["revision"], 1);
    assert_eq!(document["applied"]["outcome"], "committed");
    assert_eq!(document["summary"]["create"], 3);
    project.edit("key = \"$Z_KEY\"\n", "");
    let ended = project.run(&["--yes", "--format", "json"]);
    assert_eq!(ended.code, Some(3));
    let document: serde_json::Value = serde_json::from_str(&ended.stdout).unwrap();
    assert_eq!(document["applied"], serde_json::Value::Null);
    assert_eq!(document["blocked"][0]["code"], "E_BREAKS");
}

#[test]
fn a_failed_apply_is_one_document_too() {
    let project = Project::with(TRIAGE);
    let ended = project.run(&["--yes", "--format", "json"]);
    assert_eq!(ended.code, Some(1));
    let document: serde_json::Value = serde_json::from_str(&ended.stdout).unwrap();
    assert_eq!(document["error"]["code"], "E_MISSING_VALUE");
    assert_eq!(document["applied"], serde_json::Value::Null);
}

#[test]
fn yes_never_deletes_more_than_it_was_told() {
    let project = Project::applied();
    project.write(
        "lobu.toml",
        "[project]\nname = \"team\"\n\n[agents.other]\nname = \"Other\"\ndir = \"agents/triage\"\n",
    );
    let refused = check_run("cli-apply@deletes", &project, &["--yes"]);
    assert_eq!(refused.code, Some(3));
    assert_eq!(project.run(&["--yes", "--allow-delete", "1"]).code, Some(3));
    let allowed = project.run(&["--yes", "--allow-delete", "3"]);
    assert_eq!(allowed.code, Some(0), "{}", allowed.stderr);
    assert!(allowed.stdout.contains("Applied as r2 (2 create, 3 delete)"), "{}", allowed.stdout);
}

#[test]
fn a_plan_that_is_sealed_before_there_is_a_key_says_that_values_are_not_covered() {
    let project = Project::with(TRIAGE);
    let seal = ["--dry-run", "--out", "plan.json", "--compact"];
    let sealed = project.run_with(&seal, &[("Z_KEY", CANARY)], "");
    check("cli-apply@sealed-without-key", &sealed.shown(&seal));
    assert_eq!(sealed.code, Some(0));
    let apply = ["apply", "plan.json", "--yes"];
    let ended = project.run(&apply);
    assert!(ended.stderr.contains("`$Z_KEY` had a value when the plan was made"), "{}", ended.stderr);
    let key = "0123456789abcdef".repeat(4);
    let ended = project.run_with(&apply, &[("Z_KEY", CANARY), ("HOLDFAST_KEY", &key)], "");
    assert!(ended.stderr.contains("where there was no master key, and here is one"), "{}", ended.stderr);
    let ended = project.run_with(&apply, &[("Z_KEY", CANARY)], "");
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    assert!(ended.stderr.contains("W_UNCOVERED_VALUE"), "it is told who applies it too: {}", ended.stderr);
}
