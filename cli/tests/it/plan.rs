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

const FLAGS: &str = r#"
[project]
name = "flags"

[kinds.flag]
fields.rollout = { type = "integer", min = 0, max = 100 }
fields.token = { type = "string", sensitive = true }

[kinds.unused]
fields.x = { type = "string" }

[resources.flag.f]
rollout = 20
"#;

#[test]
fn an_export_carries_the_kinds_that_it_needs_p1() {
    let project = Project::with(FLAGS);
    assert_eq!(project.run(&["--yes"]).code, Some(0));
    let export = project.run(&["export"]).stdout;
    project.write("s.json", &export);
    let against = ["--dry-run", "--against", "s.json", "--exit-code"];
    let clean = project.run(&against);
    assert_eq!(clean.code, Some(0), "{}", clean.stdout);

    // One of an earlier build has no kinds; it still loads, and they count as new.
    let mut state: serde_json::Value = serde_json::from_str(&export).unwrap();
    assert_eq!(state["kinds"][0]["definition"]["name"], "flag");
    state.as_object_mut().unwrap().remove("kinds");
    project.write("s.json", &state.to_string());
    let old = project.run(&against);
    assert_eq!(old.code, Some(2));
    assert!(old.stdout.contains("a new kind"), "{}", old.stdout);

    // An import makes the kinds with the resources, in one commit.
    let other = Project::with(FLAGS);
    other.write("s.json", &export);
    let imported = other.run(&["import", "s.json"]);
    assert_eq!(imported.code, Some(0), "{}", imported.stderr);
    let planned = other.run(&["--dry-run", "--exit-code"]);
    assert_eq!(planned.code, Some(0), "{}", planned.stdout);
    let again = other.run(&["import", "s.json", "--format", "json"]).stdout;
    let again: serde_json::Value = serde_json::from_str(&again).unwrap();
    assert_eq!(again["receipt"]["outcome"], "unchanged", "{again}");
}

#[test]
fn an_import_is_held_to_the_kinds_p8() {
    let project = Project::with(FLAGS);
    assert_eq!(project.run(&["--yes"]).code, Some(0));
    let export = project.run(&["export"]).stdout;
    let import = |change: &dyn Fn(&mut serde_json::Value), arguments: &[&str]| {
        let mut state: serde_json::Value = serde_json::from_str(&export).unwrap();
        change(&mut state);
        project.write("s.json", &state.to_string());
        let ended = project.run(&[&["import", "s.json", "--overwrite"], arguments].concat());
        assert!(!ended.stdout.contains(CANARY) && !ended.stderr.contains(CANARY), "{}", ended.stderr);
        (ended.code, ended.stderr)
    };
    let settings = |fields: serde_json::Value| {
        move |state: &mut serde_json::Value| {
            let row = serde_json::json!({"kind": "settings", "name": "a", "fields": fields});
            state["resources"].as_array_mut().unwrap().push(row);
        }
    };
    for (change, code, said) in [
        (settings(serde_json::json!({"networkConfig": {"allowedDomains": 5}})), 1, "is a list, not a number"),
        (settings(serde_json::json!({"installedProviders": [{"provider": "z-ai"}]})), 1, "is required"),
        (settings(serde_json::json!({"model": "z-ai/glm-4.6", "networkConfig": {"proxy": "p"}})), 0, ""),
    ] {
        let (ended, stderr) = import(&change, &["--dry-run"]);
        assert_eq!(ended, Some(code), "{stderr}");
        assert!(stderr.contains(said), "{stderr}");
    }
    let (code, stderr) = import(&|state| state["resources"][0]["fields"]["rollout"] = 400.into(), &[]);
    assert_eq!(code, Some(1));
    assert!(stderr.contains("E_FIELD") && stderr.contains("at most 100"), "{stderr}");
    let (code, stderr) = import(&|state| state["resources"][0]["fields"]["token"] = CANARY.into(), &[]);
    assert_eq!(code, Some(1));
    assert!(stderr.contains("E_SENSITIVE") && stderr.contains("`token` of `flag/f`"), "{stderr}");
    let unseal = |state: &mut serde_json::Value| {
        state["kinds"][0]["definition"]["fields"]["token"]["sensitive"] = false.into();
    };
    let (code, stderr) = import(&unseal, &[]);
    assert_eq!(code, Some(3));
    assert!(stderr.contains("E_UNSEALS"), "{stderr}");
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

#[test]
fn the_project_s_env_file_gives_values_and_the_process_wins() {
    let project = Project::with(TRIAGE);
    project.write(".env", &format!("Z_KEY={CANARY}\n"));
    let applyable = |variables: &[(&str, &str)]| {
        let shown = project.run_with(&["--dry-run", "--format", "json"], variables, "").stdout;
        serde_json::from_str::<serde_json::Value>(&shown).unwrap()["applyable"] == true
    };
    assert!(applyable(&[]));
    assert!(applyable(&[("Z_KEY", "other")]));
}

#[test]
fn the_organisation_comes_from_the_flag_then_the_manifest_then_the_environment() {
    let project = Project::with(TRIAGE);
    let org = |arguments: &[&str], variables: &[(&str, &str)]| {
        let arguments = [&["--dry-run", "--format", "json"], arguments].concat();
        let shown = project.run_with(&arguments, variables, "").stdout;
        serde_json::from_str::<serde_json::Value>(&shown).unwrap()["org"].as_str().unwrap().to_owned()
    };
    assert_eq!(org(&[], &[]), "default");
    assert_eq!(org(&[], &[("HOLDFAST_ORG", "umbrella")]), "umbrella");
    project.write("lobu.toml", &format!("{TRIAGE}\n[memory]\norg = \"acme\"\n"));
    assert_eq!(org(&[], &[("HOLDFAST_ORG", "umbrella")]), "acme");
    assert_eq!(org(&["--org", "initech"], &[("HOLDFAST_ORG", "umbrella")]), "initech");
    assert_eq!(project.run(&["--dry-run", "--org", "Not An Org"]).code, Some(64));
}

#[test]
fn a_command_that_plans_nothing_reads_the_manifest_s_organisation_too() {
    let project = Project::with(&format!("{TRIAGE}\n[memory]\norg = \"acme\"\n"));
    assert_eq!(project.run_with(&["--yes"], &[("Z_KEY", CANARY)], "").code, Some(0));
    let first = |arguments: &[&str]| project.run(arguments).stdout.lines().next().unwrap_or_default().to_owned();
    assert!(first(&["session", "triage"]).ends_with("org acme"));
    assert!(first(&["status"]).ends_with("org acme"));
    assert_eq!(
        project.run(&["get", "other:settings/triage"]).code,
        Some(1),
        "another organisation has no such row (P12)"
    );
    project.edit("name = \"Triage\"", "nme = \"Triage\"");
    assert!(first(&["status"]).ends_with("org acme"), "a mistake elsewhere does not hide the organisation");
    project.edit("[agents.triage]", "[agents.triage");
    let ended = project.run(&["status"]);
    assert!(ended.stderr.starts_with("warning: the manifest cannot be read"), "{}", ended.stderr);
}

#[test]
fn the_git_state_is_in_the_plan() {
    let project = Project::with(TRIAGE);
    let path = std::env::var("PATH").unwrap();
    let git = |arguments: &[&str]| {
        let mut command = std::process::Command::new("git");
        command.args(["-c", "user.name=t", "-c", "user.email=t@example.org"]).args(arguments);
        let status = command.current_dir(project.path()).env("HOME", project.home()).output().unwrap().status;
        assert!(status.success(), "{arguments:?}");
    };
    let state = || {
        let shown = project.run_with(&["--dry-run", "--format", "json"], &[("PATH", &path)], "").stdout;
        serde_json::from_str::<serde_json::Value>(&shown).unwrap()["source"]["git"].clone()
    };
    git(&["init", "-q"]);
    assert_eq!(state(), serde_json::Value::Null, "there is no commit yet");
    git(&["add", "."]);
    git(&["commit", "-q", "-m", "first"]);
    assert_eq!(state()["dirty"], false);
    assert_eq!(state()["commit"].as_str().unwrap().len(), 40);
    project.edit("glm-4.6", "glm-4.5");
    assert_eq!(state()["dirty"], true);
    let shown = project.run_with(&["--dry-run"], &[("PATH", &path)], "").stdout;
    assert!(shown.lines().next().unwrap().contains(" dirty   org default"), "{shown}");
}

#[test]
fn a_state_with_hostile_names_is_refused_without_touching_the_terminal() {
    let project = Project::with(TRIAGE);
    let state = r#"{"format": "holdfast/state", "version": 1, "resources": [
        {"kind": "agent", "name": "a\u001b[2Jb", "fields": {}}]}"#;
    project.write("state.json", state);
    let ended = project.run(&["--dry-run", "--against", "state.json"]);
    assert_eq!(ended.code, Some(1));
    assert!(!ended.stderr.contains('\u{1b}'), "{:?}", ended.stderr);
    let state = r#"{"format": "holdfast/state", "version": 1, "resources": [
        {"kind": "agent", "name": "triage", "fields": {"name": "a\u001b[2J\u009b\u202eb"}}]}"#;
    project.write("state.json", state);
    for format in ["text", "json", "markdown", "github"] {
        let shown = project.run(&["--dry-run", "--against", "state.json", "--format", format]).stdout;
        assert!(shown.contains("\\u009b") || format == "github", "{format}: {shown}");
        assert!(!shown.contains(['\u{1b}', '\u{9b}', '\u{202e}']), "{format}");
    }
}

#[test]
fn the_id_of_a_blocked_plan_covers_what_waits_behind_the_block_p5() {
    let project = Project::applied();
    project.edit("glm-4.6", "glm-4.7");
    let set = ["set", "settings/triage", "providerModelPreferences.z-ai=glm-5", "--author", "ui:maria"];
    assert_eq!(project.run(&set).code, Some(0));
    let planned = || -> serde_json::Value {
        let ended = project.run(&["--dry-run", "--format", "json"]);
        assert_eq!(ended.code, Some(3), "{}", ended.stderr);
        serde_json::from_str(&ended.stdout).unwrap()
    };
    let names_waiting = |plan: &serde_json::Value| plan["diagnostics"].to_string().contains("N_WAITS_BEHIND");
    let before = planned();
    assert!(!names_waiting(&before));
    project.write("agents/triage/SOUL.md", "Be kind.");
    let after = planned();
    assert!(names_waiting(&after), "{after:#}");
    project.write("agents/triage/SOUL.md", "Be quick.");
    let other = planned();
    assert_eq!(before["blocked"], after["blocked"]);
    assert!(before["plan_id"] != after["plan_id"] && after["plan_id"] != other["plan_id"], "{after:#}");
}
