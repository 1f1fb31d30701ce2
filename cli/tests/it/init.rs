//! `init` and what editors get: a project that plans cleanly, and nothing overwritten.

use crate::support::{Project, TRIAGE, absent, check};

#[test]
fn a_new_project_is_written_plans_cleanly_and_is_never_overwritten() {
    let project = Project::empty();
    let ended = project.run(&["init", "fresh"]);
    check("cli-init@fresh", &ended.shown(&["init", "fresh"]));
    let manifest = std::fs::read(project.path().join("fresh/lobu.toml")).unwrap();
    assert_eq!(project.run(&["check", "fresh"]).code, Some(0));
    let planned = project.run(&["--dry-run", "fresh"]);
    assert_eq!(planned.code, Some(0), "{}", planned.stderr);
    assert!(planned.stdout.contains("source fresh") && planned.stdout.contains("2 create"), "{}", planned.stdout);
    assert!(!planned.stderr.contains("error") && !planned.stderr.contains("warning"), "{}", planned.stderr);
    let again = project.run(&["init", "fresh"]);
    assert_eq!(again.code, Some(1));
    assert!(again.stderr.contains("is there already; nothing was written"), "{}", again.stderr);
    assert_eq!(std::fs::read(project.path().join("fresh/lobu.toml")).unwrap(), manifest);
    assert!(absent(&project.path().join("fresh/.holdfast")));
}

#[test]
fn a_text_that_is_there_is_left_alone_and_a_manifest_of_the_other_name_counts() {
    let project = Project::empty();
    std::fs::create_dir_all(project.path().join("agents/assistant")).unwrap();
    project.write("agents/assistant/IDENTITY.md", "mine");
    assert_eq!(project.run(&["init"]).code, Some(0));
    assert_eq!(std::fs::read_to_string(project.path().join("agents/assistant/IDENTITY.md")).unwrap(), "mine");
    let other = Project::empty();
    other.write("holdfast.toml", "");
    assert_eq!(other.run(&["init"]).code, Some(1));
    assert!(absent(&other.path().join("lobu.toml")));
}

#[test]
fn the_schema_of_each_grammar_is_printed_without_a_project() {
    let project = Project::empty();
    for (argument, title) in [
        ("--schema", "Holdfast manifest"),
        ("--schema=models", "Holdfast models"),
        ("--schema=connectors", "Holdfast connectors"),
        ("--schema=skill", "Holdfast skill"),
    ] {
        let ended = project.run(&["check", argument]);
        let schema: serde_json::Value = serde_json::from_str(&ended.stdout).unwrap();
        assert_eq!((ended.code, schema["title"].as_str()), (Some(0), Some(title)), "{argument}");
    }
    assert_eq!(project.run(&["check", "--schema=toml"]).code, Some(64));
}

#[test]
fn a_missing_manifest_names_init() {
    let ended = Project::empty().run(&["check"]);
    assert!(ended.stderr.contains("reconcile init"), "{}", ended.stderr);
}

#[test]
fn only_knows_groups_and_the_project_s_own_kinds() {
    let manifest = format!(
        "{TRIAGE}\n[kinds.flag]\nfields.on = {{ type = \"boolean\" }}\n[resources.flag.a]\non = true\n[memory]\n"
    );
    let project = Project::with(&manifest);
    std::fs::create_dir_all(project.path().join("models")).unwrap();
    project.write("models/m.yaml", "version: 2\nentities:\n  - { slug: person, name: Person }\n");
    let rows = |only: &str| -> Vec<String> {
        let ended = project.run(&["--dry-run", "--only", only, "--format", "json"]);
        let plan: serde_json::Value =
            serde_json::from_str(&ended.stdout).unwrap_or_else(|_| panic!("{}", ended.stderr));
        let address = |change: &serde_json::Value| change["address"].as_str().unwrap().to_owned();
        plan["changes"].as_array().unwrap().iter().map(address).collect()
    };
    assert_eq!(rows("agents"), ["agent/triage", "settings/triage", "secret/provider:z-ai:apiKey"]);
    assert_eq!(rows("memory"), ["entity-type/person"]);
    assert_eq!(rows("flag,memory"), ["entity-type/person", "flag/a"]);
    let refused = project.run(&["--dry-run", "--only", "flags"]);
    assert_eq!(refused.code, Some(64));
    assert!(refused.stderr.contains("flag") && refused.stderr.contains("`agents` and `memory`"), "{}", refused.stderr);
}

#[test]
fn a_move_and_a_kind_are_shown_in_words() {
    let project = Project::applied();
    project.edit("triage", "intake");
    let moved = "\n[[moved]]\nfrom = \"agent/triage\"\nto = \"agent/intake\"\n[kinds.flag]\n";
    let text = std::fs::read_to_string(project.path().join("lobu.toml")).unwrap();
    project.write("lobu.toml", &format!("{text}{moved}"));
    crate::support::check_run("cli-plan@moved", &project, &["--dry-run"]);
    assert_eq!(project.run(&["--yes"]).code, Some(0));
    assert_eq!(project.run(&["--dry-run", "--exit-code"]).code, Some(0), "the entry may stay (P1)");
    assert_eq!(project.run(&["session", "intake"]).code, Some(0));
}
