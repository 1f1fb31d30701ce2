//! Waiting for the followers that a store knows: also after a restart of the server, which then has heard of none, and until one that
//! is gone for good is taken off. Applied means effective (P4): nothing is called observed while a follower may still run what was before.

use std::io::{BufRead as _, BufReader, Read as _};
use std::process::Stdio;
use std::time::Instant;

use super::bench::{PATIENCE, Project, Ran, Server, reconcile};

fn follower(project: &Project, name: &str) -> Server {
    let mut command = project.command(&reconcile());
    command.args(["serve", "--follow", ".holdfast", "--name", name, "--store"]).arg(format!(".{name}"));
    Server::start(command, |line| line.contains("following ") && line.contains("pid"))
}

fn wait(project: &Project, seconds: &str) -> Ran {
    project.run(&["wait", "--observed", "--timeout", seconds])
}

/// The state of each follower that is known, by name.
fn known(project: &Project) -> Vec<(String, String)> {
    let list = project.run(&["follower", "list", "--format", "json"]).exits(0).json();
    let text = |value: &serde_json::Value| value.as_str().unwrap().to_owned();
    let followers = list["followers"].as_array().unwrap().iter();
    followers.map(|follower| (text(&follower["name"]), text(&follower["state"]))).collect()
}

/// Waits until a follower stands so.
fn until(project: &Project, name: &str, state: &str) {
    let deadline = Instant::now() + PATIENCE;
    while !known(project).contains(&(name.to_owned(), state.to_owned())) {
        assert!(Instant::now() < deadline, "`{name}` is not {state}: {:?}", known(project));
    }
}

/// A served project whose only follower, `gateway-1`, was killed.
fn with_a_dead_follower() -> (Project, Server) {
    let project = Project::hotreload();
    project.run(&["--yes"]).exits(0);
    let server = project.serve();
    let one = follower(&project, "gateway-1");
    until(&project, "gateway-1", "following");
    one.kill();
    (project, server)
}

#[test]
fn p4_after_a_restart_of_the_server_nothing_is_observed_before_the_followers_that_it_knew_tell_where_they_are() {
    let project = Project::hotreload();
    project.run(&["--yes"]).exits(0);
    let server = project.serve();
    let (one, other) = (follower(&project, "gateway-1"), follower(&project, "gateway-2"));
    until(&project, "gateway-1", "following");
    until(&project, "gateway-2", "following");
    wait(&project, "30").exits(0);
    // All die at once, and the server comes back alone: it must not say that everybody runs what it has.
    server.kill();
    one.kill();
    other.kill();
    let server = project.serve();
    let late = wait(&project, "0").exits(5).complains("E_TIMEOUT").complains("gateway-1").complains("gateway-2");
    late.complains("was not heard of since").complains("reconcile follower remove");
    let awaited = |name: &str| (name.to_owned(), "awaited".to_owned());
    assert_eq!(known(&project), [awaited("gateway-1"), awaited("gateway-2")]);
    project.run(&["status"]).exits(0).says("awaited").says("not heard of yet");
    // Without a server too: a command alone knows no better.
    assert!(server.stop().success());
    wait(&project, "0").exits(5).complains("gateway-1");
    let server = project.serve();
    let one = follower(&project, "gateway-1");
    until(&project, "gateway-1", "following");
    let late = wait(&project, "1").exits(5).complains("gateway-2");
    assert!(!late.err.contains("gateway-1"), "{}", late.err);
    // The other one will not come back, and somebody says so.
    project.run(&["follower", "remove", "gateway-2"]).exits(0).says("gateway-2");
    wait(&project, "30").exits(0).says("everywhere");
    project.run(&["follower", "remove", "gateway-2"]).exits(1).complains("E_NOT_FOUND").complains("follower list");
    assert!(one.stop().success());
    assert!(server.stop().success());
    assert_eq!(known(&project), [], "it said that it goes, and the store does not remember it");
    wait(&project, "0").exits(0);
}

#[test]
fn what_is_asked_in_the_folder_of_a_follower_that_does_not_run_says_so_also_after_an_apply_through_it() {
    let (project, server) = with_a_dead_follower();
    let silent = project.run(&["--store", ".gateway-1", "status"]).exits(1);
    silent
        .complains("E_NOT_A_STORE")
        .complains("the folder of a follower that does not run")
        .complains("serve --follow");
    let follower = follower(&project, "gateway-1");
    until(&project, "gateway-1", "following");
    let other = self::follower(&project, "gateway-2");
    until(&project, "gateway-2", "following");
    other.kill();
    project.set_model("glm-4.5");
    // It waits for the one that is dead, through the one that dies.
    let mut command = project.command(&reconcile());
    command
        .args(["--store", ".gateway-1", "--yes", "--wait", "--timeout", "5"])
        .stderr(Stdio::piped())
        .stdout(Stdio::null());
    let mut waits = command.spawn().unwrap();
    let mut said = BufReader::new(waits.stderr.take().unwrap());
    let mut line = String::new();
    while !line.starts_with("waiting; ") {
        line.clear();
        assert_ne!(said.read_line(&mut line).unwrap(), 0, "it waits");
    }
    follower.kill();
    let mut rest = String::new();
    said.read_to_string(&mut rest).unwrap();
    assert_eq!(waits.wait().unwrap().code(), Some(5), "{rest}");
    for part in ["E_TIMEOUT", "r2 is applied", "the folder of a follower that does not run"] {
        assert!(rest.contains(part), "{part}: {rest}");
    }
    assert!(server.stop().success());
}

#[test]
fn p4_after_a_restore_over_the_store_its_followers_are_waited_for() {
    let (project, server) = with_a_dead_follower();
    project.run(&["backup", "before.backup"]).exits(0);
    assert!(server.stop().success());
    project.run(&["restore", "before.backup", "--replace"]).exits(0).complains("1 follower of the store before");
    wait(&project, "0").exits(5).complains("gateway-1").complains("reconcile follower remove");
    // Nobody can tell who followed a store that cannot be read.
    std::fs::write(project.path().join(".holdfast/db"), vec![0xa5; 1 << 16]).unwrap();
    let made = project.run(&["restore", "before.backup", "--replace"]).exits(0);
    made.complains("which followers the store before had is not known").complains("is damaged");
    wait(&project, "0").exits(0);
    // Elsewhere nobody follows it.
    project.run(&["--store", "elsewhere", "restore", "before.backup", "--replace"]).exits(0);
    project.run(&["--store", "elsewhere", "wait", "--observed", "--timeout", "0"]).exits(0);
}

#[test]
fn a_follower_does_not_follow_itself() {
    let project = Project::hotreload();
    for (follow, store) in [(".one", ".one"), (".one/server.sock", "./.one/"), ("two", "two")] {
        let refused = project.run(&["serve", "--follow", follow, "--store", store]).exits(1);
        refused.complains("E_FOLLOW_FOLDER").complains("would follow itself").complains("`--store` a folder");
    }
}

#[test]
fn an_apply_that_waits_says_at_once_for_which_dead_follower_and_how_to_go_on_without_it() {
    let (project, server) = with_a_dead_follower();
    server.kill();
    let server = project.serve();
    project.set_model("glm-4.5");
    let late = project.run(&["--yes", "--wait", "--timeout", "1"]).exits(5);
    let said: Vec<_> =
        late.err.lines().filter(|line| line.contains("will not come back: `reconcile follower remove ")).collect();
    assert_eq!(said.len(), 2, "once at once, once in the end: {}", late.err);
    let id = said[0].split("reconcile follower remove ").nth(1).unwrap().split('`').next().unwrap();
    // The line can be pasted.
    project.run(&["follower", "remove", id]).exits(0);
    project.run(&["session", "hotreload-test"]).exits(0).says("glm-4.5");
    wait(&project, "0").exits(0);
    // One that still follows is known again by its next word.
    let one = follower(&project, "gateway-1");
    until(&project, "gateway-1", "following");
    project.run(&["follower", "remove", "gateway-1"]).exits(0);
    until(&project, "gateway-1", "following");
    assert!(one.stop().success());
    assert!(server.stop().success());
}

#[test]
fn p4_a_follower_whose_folder_was_copied_is_waited_for_as_one_of_its_own() {
    let (project, server) = with_a_dead_follower();
    let (folder, copy) = (project.path().join(".gateway-1"), project.path().join(".gateway-2"));
    std::fs::create_dir(&copy).unwrap();
    for name in ["follower.id", "follower.scope"] {
        std::fs::copy(folder.join(name), copy.join(name)).unwrap();
    }
    let (one, other) = (follower(&project, "gateway-1"), follower(&project, "gateway-2"));
    until(&project, "gateway-1", "following");
    until(&project, "gateway-2", "following");
    assert_eq!(known(&project).len(), 2);
    let id = |folder: &std::path::Path| std::fs::read_to_string(folder.join("follower.id")).unwrap();
    assert_ne!(id(&folder), id(&copy));
    assert!(one.stop().success());
    assert!(other.stop().success());
    assert_eq!(known(&project), []);
    assert!(server.stop().success());
}
