//! Rotation of the master key with the real binary: killed at instants of a sweep, it leaves every value readable, and no store
//! file, key or output ever holds a value.

use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use serde_json::json;

use super::bench::{Project, reconcile};

const SECRETS: usize = 40;
const KILLS: u64 = 24;
const CANARY: &str = "canary-of-the-rotation";

/// Every file below a folder.
fn files(folder: &Path, found: &mut Vec<(std::path::PathBuf, Vec<u8>)>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            files(&path, found);
        } else if path.is_file() {
            found.push((path.clone(), std::fs::read(&path).unwrap()));
        }
    }
}

fn no_file_holds(folder: &Path, what: &str) {
    let mut found = Vec::new();
    files(folder, &mut found);
    assert!(!found.is_empty());
    for (path, bytes) in found {
        let holds = bytes.windows(what.len()).any(|window| window == what.as_bytes());
        assert!(!holds, "{} holds `{what}`", path.display());
    }
}

fn whole(project: &Project) {
    project.run(&["session", "hotreload-test"]).exits(0).says("org-secret");
    project.run(&["--dry-run", "--exit-code"]).exits(0).says("0 update");
}

#[test]
fn p8_a_rotation_killed_at_any_instant_leaves_every_value_readable_and_is_gone_on_with() {
    let project = Project::hotreload();
    project.run(&["--yes"]).exits(0);
    for number in 0..SECRETS {
        project.run_with_input(&["secret", "set", &format!("own-{number}")], Some(CANARY)).exits(0);
    }
    let mut ended = 0;
    for kill in 0..KILLS {
        let mut command = project.command(&reconcile());
        command.args(["secret", "rotate"]).stdout(Stdio::null()).stderr(Stdio::null());
        let mut child = command.spawn().unwrap();
        std::thread::sleep(Duration::from_millis(3 * kill));
        ended += usize::from(child.try_wait().unwrap().is_some());
        child.kill().unwrap();
        child.wait().unwrap();
        whole(&project);
    }
    assert!(ended < KILLS as usize, "none was cut off");
    let rotated = project.run(&["secret", "rotate", "--format", "json"]).exits(0).json();
    assert!(rotated["key"].is_string(), "{rotated}");
    whole(&project);
    project.run(&["verify"]).exits(0).says("sound");
    no_file_holds(&project.store(), CANARY);
    no_file_holds(&project.store(), "canary-z-ai-key");
}

#[test]
fn p8_values_are_in_no_store_file_after_they_are_put_overwritten_rotated_and_removed() {
    for server in [false, true] {
        let project = Project::hotreload();
        project.run(&["--yes"]).exits(0);
        let holder = server.then(|| project.serve());
        let mut said = String::new();
        let set = |name: &str, value: &str| project.run_with_input(&["secret", "set", name], Some(value)).exits(0).out;
        said += &set("own", CANARY);
        said += &set("own", &format!("{CANARY}-2"));
        said += &project.run_with_input(&["profile", "set", "maria", "z-ai"], Some(CANARY)).exits(0).out;
        let rotate = project.run(&["secret", "rotate", "-v"]).exits(0).says("Rotated: made key ");
        said = said + &rotate.says("default: 3 records sealed anew in r5").out;
        let again = project.run(&["secret", "rotate", "--format", "json"]).exits(0).json();
        assert_eq!((&again["resumed"], &again["organisations"][0]["records"]), (&json!(false), &json!(3)));
        project.run(&["secret", "remove", "own"]).exits(0);
        project.run(&["profile", "remove", "maria", "z-ai"]).exits(0);
        assert!(holder.is_none_or(|holder| holder.stop().success()));
        for canary in [CANARY, "canary-z-ai-key"] {
            assert!(!said.contains(canary), "{said}");
            no_file_holds(&project.store(), canary);
        }
        whole(&project);
    }
}
