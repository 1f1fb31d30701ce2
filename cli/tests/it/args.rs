//! The command line itself: help, mistakes, and what they exit with.

use crate::support::{Project, TRIAGE, check, check_run};

#[test]
fn help_is_data_and_exits_with_0() {
    let project = Project::empty();
    let ended = check_run("cli@help", &project, &["--help"]);
    assert_eq!((ended.code, ended.stderr.as_str()), (Some(0), ""));
    assert_eq!(project.run(&["session", "--help"]).code, Some(0));
    assert!(project.run(&["--version"]).stdout.starts_with("reconcile "));
}

#[test]
fn a_command_line_that_makes_no_sense_exits_with_64_and_says_what_to_do() {
    let project = Project::with(TRIAGE);
    let mistakes: [&[&str]; 17] = [
        &["sesion"],
        &["sesion", "triage"],
        &["zzz"],
        &["no/such/dir"],
        &["--frobnicate"],
        &["--yes", "status"],
        &["status", "--format", "markdown"],
        &["check", "--format", "markdown"],
        &["--yes", "--format", "github"],
        &["history", "--at", "r1"],
        &["--dry-run", "--at", "r1"],
        &["show", "r-1"],
        &["--dry-run", "--yes"],
        &["--exit-code"],
        &["--dry-run", "--only", "nonsense"],
        &["get", "settings"],
        &["-C", "nowhere", "status"],
    ];
    let mut shown = String::new();
    for arguments in mistakes {
        let ended = project.run(arguments);
        assert_eq!(ended.code, Some(64), "{arguments:?}: {}", ended.stderr);
        assert_eq!(ended.stdout, "", "{arguments:?}");
        shown.push_str(&ended.shown(arguments));
        shown.push('\n');
    }
    check("cli@usage", &shown);
}

#[test]
fn a_mistake_is_one_json_document_too() {
    let project = Project::empty();
    for arguments in [["sesion", "--format=json"].as_slice(), &["--frobnicate", "--format", "json"]] {
        let ended = project.run(arguments);
        assert_eq!(ended.code, Some(64));
        let document: serde_json::Value = serde_json::from_str(&ended.stdout).unwrap();
        assert_eq!(document["error"]["code"], "E_USAGE");
    }
}

#[test]
fn completions_and_the_manual_know_every_verb() {
    let project = Project::empty();
    for arguments in [["completions", "bash"].as_slice(), &["man"]] {
        let ended = project.run(arguments);
        assert_eq!((ended.code, ended.stderr.as_str()), (Some(0), ""));
        for verb in ["session", "history", "verify", "serve"] {
            assert!(ended.stdout.contains(verb), "{arguments:?} {verb}");
        }
    }
}

#[test]
fn colours_follow_the_choice_and_never_go_to_a_pipe_by_themselves() {
    let project = Project::with("[agents.a]\nname = \"A\"\ndir = \"agents/triage\"\n");
    let coloured = |arguments: &[&str]| project.run(arguments).stdout.contains('\u{1b}');
    assert!(!coloured(&["--dry-run"]));
    assert!(coloured(&["--dry-run", "--color", "always"]));
    assert!(!coloured(&["--dry-run", "--color", "never"]));
}

#[test]
fn a_reader_that_goes_away_is_no_error() {
    let project = Project::with("[agents.a]\nname = \"A\"\ndir = \"agents/triage\"\n");
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    let output = project.command(&["--yes"]).stdout(writer).output().unwrap();
    assert_eq!((output.status.code(), String::from_utf8_lossy(&output.stderr).as_ref()), (Some(0), ""));
    assert_eq!(project.run(&["history"]).stdout.lines().count(), 1, "what was to be done is done");
}
