//! Shared secrets on the command line: where values come from, and that they go nowhere else.

use std::io::Write as _;
use std::process::{Command, Stdio};

use crate::support::{CANARY, Project, TRIAGE, absent, check, check_run};

#[test]
fn a_value_comes_from_standard_input_a_file_or_a_variable() {
    let project = Project::applied();
    let set = ["secret", "set", "provider:gemini:apiKey"];
    let ended = project.run_with(&set, &[], &format!("{CANARY}\n"));
    check("cli-secret@set", &ended.shown(&set));
    project.write("value.txt", CANARY);
    let same = project.run(&["secret", "set", "from-file", "--from-file", "value.txt"]);
    assert_eq!(same.code, Some(0), "{}", same.stderr);
    let same = project.run_with(&["secret", "set", "from-env", "--from-env", "VALUE"], &[("VALUE", CANARY)], "");
    assert_eq!(same.code, Some(0), "{}", same.stderr);
    check_run("cli-secret@list", &project, &["secret", "list"]);
    let document: serde_json::Value =
        serde_json::from_str(&project.run(&["secret", "list", "--format", "json"]).stdout).unwrap();
    assert_eq!(document["secrets"].as_array().unwrap().len(), 4);
    check_run("cli-secret@remove", &project, &["secret", "remove", "from-file"]);
    check_run("cli-secret@remove-again", &project, &["secret", "remove", "from-file"]);
}

#[test]
fn a_removal_that_would_break_a_session_is_blocked_until_it_is_named_p13() {
    let project = Project::applied();
    let remove = ["secret", "remove", "provider:z-ai:apiKey"];
    assert_eq!(check_run("cli-secret@breaks", &project, &remove).code, Some(3));
    let allowed = [&remove[..], &["--allow-break", "triage"]].concat();
    assert_eq!(project.run(&allowed).code, Some(0));
    let ended = check_run("cli-secret@session-without", &project, &["session", "triage"]);
    assert_eq!((ended.code, ended.stdout.as_str()), (Some(1), ""));
    let ended = project.run(&["session", "triage", "--format", "json"]);
    let document: serde_json::Value = serde_json::from_str(&ended.stdout).unwrap();
    assert!(document["error"]["message"].as_str().unwrap().starts_with("No provider specified"));
    assert!(!document["evidence"].as_array().unwrap().is_empty());
}

#[test]
fn values_that_are_none_are_refused() {
    let project = Project::applied();
    let cases: [&[&str]; 4] = [
        &["secret", "set", "x", "--from-env", "UNSET"],
        &["secret", "set", "x", "--from-file", "missing.txt"],
        &["secret", "set", "x"],
        &["secret", "set", "x", "value"],
    ];
    let mut shown = String::new();
    for arguments in cases {
        let ended = project.run(arguments);
        assert!(matches!(ended.code, Some(1 | 64)), "{arguments:?}");
        shown.push_str(&ended.shown(arguments));
        shown.push('\n');
    }
    check("cli-secret@refused", &shown);
}

/// What a help says to run is run by a shell as it is, and does that and nothing else, whatever a name holds.
#[test]
fn a_help_with_a_strange_name_is_pasted_as_it_is() {
    let strange = TRIAGE.replace("z-ai", "my 'p; touch x").replace("key = \"$Z_KEY\"\n", "");
    let project = Project::with(&strange);
    let ended = project.run(&["--yes"]);
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    let table = ended.stderr.split_once("add `[").and_then(|(_, rest)| rest.split_once("]`")).unwrap().0;
    let declared = format!("{strange}\n[{table}]\nenv = \"MY_KEY\"\ndefault_model = \"m\"\n");
    project.write("lobu.toml", &declared);
    let ended = project.run(&["check"]);
    assert!(ended.code == Some(0) && !ended.stderr.contains("W_UNKNOWN_PROVIDER"), "{}", ended.stderr);
    project.write("lobu.toml", &strange);
    let ended = project.run(&["session", "triage"]);
    let help = ended.stderr.split_once("set the key with `").and_then(|(_, rest)| rest.split_once("`\n")).unwrap().0;
    let as_given = project.command(&[]);
    let mut shell = Command::new("/bin/sh");
    shell.arg("-c").arg(format!("reconcile() {{ \"{}\" \"$@\"; }}\n{help}", env!("CARGO_BIN_EXE_reconcile")));
    shell.current_dir(project.path()).env_clear();
    shell.envs(as_given.get_envs().filter_map(|(name, value)| Some((name, value?))));
    let mut child = shell.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(CANARY.as_bytes()).unwrap();
    let ended = project.ended(child.wait_with_output().unwrap());
    assert_eq!(ended.code, Some(0), "{help}: {}", ended.stderr);
    assert!(absent(&project.path().join("x")));
    assert!(project.run(&["secret", "list"]).stdout.contains("provider:my 'p; touch x:apiKey"));
    let ended = project.run(&["session", "triage"]);
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
}
