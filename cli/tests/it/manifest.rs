//! Manifests that cannot be used: every finding in one run, as text, JSON and annotations, and nothing made.

use crate::support::{Project, TRIAGE, absent, check, check_run};

const BROKEN: &str = "\
[agents.triage]
nme = \"Triage\"

[[agents.triage.providers]]
model = \"glm-4.6\"

[agents.-x]
name = \"X\"
";

#[test]
fn all_mistakes_come_in_one_run_and_exit_with_1() {
    let project = Project::with(BROKEN);
    let ended = check_run("cli-manifest@broken", &project, &["--dry-run"]);
    assert_eq!((ended.code, ended.stdout.as_str()), (Some(1), ""));
    let ended = check_run("cli-manifest@broken-json", &project, &["--dry-run", "--format", "json"]);
    let document: serde_json::Value = serde_json::from_str(&ended.stdout).unwrap();
    assert!(document["diagnostics"].as_array().unwrap().len() >= 2);
    let annotations = project.run(&["--dry-run", "--format", "github"]).stdout;
    assert!(annotations.lines().count() >= 3 && annotations.contains("title=E_MANIFEST::"), "{annotations}");
    let comment = project.run(&["--dry-run", "--format", "markdown"]).stdout;
    assert!(comment.contains("**No plan**: `E_MANIFEST`"), "{comment}");
    assert!(absent(&project.store()));
}

#[test]
fn check_reports_without_a_store() {
    let project = Project::with(BROKEN);
    assert_eq!(check_run("cli-manifest@check-broken", &project, &["check"]).code, Some(1));
    let arguments = ["check", "--format", "github"];
    let ended = project.run(&arguments);
    assert!(ended.stdout.lines().all(|line| line.starts_with("::error file=lobu.toml,line=")), "{}", ended.stdout);
    let document: serde_json::Value =
        serde_json::from_str(&project.run(&["check", "--format", "json"]).stdout).unwrap();
    assert_eq!(document["valid"], false);
    project.write("lobu.toml", TRIAGE);
    assert_eq!(check_run("cli-manifest@check-valid", &project, &["check"]).code, Some(0));
    assert!(absent(&project.store()));
}

#[test]
fn no_manifest_broken_toml_and_control_characters_are_told_with_their_place() {
    let project = Project::empty();
    let mut shown = String::new();
    for text in [None, Some("[agents.a\n"), Some("[agents.\"a\\u001b[2J\"]\nname = \"A\"\n"), Some("a = \u{1b}[2J")] {
        if let Some(text) = text {
            project.write("lobu.toml", text);
        }
        let ended = project.run(&["check"]);
        assert_eq!(ended.code, Some(1), "{text:?}");
        assert!(!ended.stderr.contains('\u{1b}'), "{text:?}");
        shown.push_str(&ended.shown(&["check"]));
        shown.push('\n');
    }
    check("cli-manifest@bad", &shown);
}
