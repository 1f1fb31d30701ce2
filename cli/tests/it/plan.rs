//! Plans: what a dry run shows in each form, that it makes nothing, and its exit codes.

use crate::support::{CANARY, Project, TRIAGE, absent, check, check_run};

#[test]
fn a_dry_run_makes_no_store_and_no_key_and_changes_no_file() {
    let project = Project::with(TRIAGE);
    let before = project.files();
    for arguments in [["--dry-run"].as_slice(), &["plan"], &["check"], &["--dry-run", "--against", "state.json"]] {
        project.run_with(arguments, &[("Z_KEY", CANARY)], "");
        assert_eq!(project.files(), before, "{arguments:?}");
        assert!(absent(&project.store()));
    }
}

#[test]
fn a_plan_that_lacks_values_is_shown_and_exits_with_0() {
    let project = Project::with(TRIAGE);
    let ended = check_run("cli-plan@lacking-value", &project, &["--dry-run"]);
    assert_eq!(ended.code, Some(0));
    assert!(ended.stdout.contains("Not applyable") && ended.stdout.contains("$Z_KEY"));
    let json = project.run(&["--dry-run", "--format", "json"]);
    let document: serde_json::Value = serde_json::from_str(&json.stdout).unwrap();
    assert_eq!(document["applyable"], false);
    assert_eq!(document["format_version"], "1.0");
}

#[test]
fn equal_inputs_give_equal_bytes() {
    let project = Project::applied();
    project.edit("glm-4.6", "glm-4.5");
    for format in ["text", "json", "markdown", "github"] {
        let arguments = ["--dry-run", "--format", format];
        let (first, second) = (project.run(&arguments), project.run(&arguments));
        assert_eq!((first.stdout, first.stderr), (second.stdout, second.stderr), "{format}");
    }
}

#[test]
fn a_change_is_shown_with_what_sessions_will_see() {
    let project = Project::applied();
    project.edit("glm-4.6", "glm-4.5");
    let ended = check_run("cli-plan@change", &project, &["--dry-run"]);
    assert_eq!(ended.code, Some(0));
    let arguments = ["--dry-run", "--format", "markdown"];
    check("cli-plan@change-markdown", &project.run(&arguments).shown(&arguments));
    let arguments = ["--dry-run", "--format", "github"];
    check("cli-plan@change-github", &project.run(&arguments).shown(&arguments));
    assert_eq!(project.run(&["--dry-run", "--exit-code"]).code, Some(2));
    assert!(!project.run(&["--dry-run", "--exit-code"]).stderr.contains("error"));
    assert!(project.run(&["--dry-run", "--all"]).stdout.contains("  = agent triage"));
    assert!(!project.run(&["--dry-run", "--compact"]).stdout.contains("\"glm-4.6\""));
    project.edit("glm-4.5", "glm-4.6");
    assert_eq!(project.run(&["--dry-run", "--exit-code"]).code, Some(0));
}

#[test]
fn a_session_that_would_break_blocks_the_plan_until_it_is_named_p13() {
    let project = Project::applied();
    project.edit("key = \"$Z_KEY\"\n", "");
    let ended = check_run("cli-plan@breaks", &project, &["--dry-run"]);
    assert_eq!(ended.code, Some(3));
    assert_eq!(project.run(&["--dry-run", "--allow-break", "triage"]).code, Some(0));
}

#[test]
fn a_plan_against_a_state_needs_no_store() {
    let project = Project::with(TRIAGE);
    let state = r#"{"format": "holdfast/state", "version": 1, "revision": 41, "resources": [
        {"kind": "agent", "name": "triage", "fields": {"name": "Old"}, "owner": "team"},
        {"kind": "agent", "name": "gone", "fields": {"name": "Gone"}, "owner": "team"},
        {"kind": "zebra", "name": "z", "fields": {"a": 1}}]}"#;
    project.write("state.json", state);
    let ended = check_run("cli-plan@against", &project, &["--dry-run", "--against", "state.json"]);
    assert_eq!(ended.code, Some(0));
    assert!(absent(&project.store()));
}

#[test]
fn a_state_that_is_none_is_refused() {
    let project = Project::with(TRIAGE);
    project.write("broken.json", "{\"format\": \"holdfast/state\", ");
    project.write("later.json", "{\"format\": \"holdfast/state\", \"version\": 9, \"resources\": []}");
    let mut shown = String::new();
    for file in ["missing.json", "broken.json", "later.json"] {
        let arguments = ["--dry-run", "--against", file];
        let ended = project.run(&arguments);
        assert_eq!(ended.code, Some(1), "{file}");
        shown.push_str(&ended.shown(&arguments));
        shown.push('\n');
    }
    check("cli-plan@bad-state", &shown);
}
