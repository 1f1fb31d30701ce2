//! `serve --watch` and `serve --git`: what the manifests say gets into force by itself, as far as the project allows; a wrong one hurts
//! nobody; who rolls back or applies by hand is not undone.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use serde_json::Value;

use super::bench::{PATIENCE, Project, Server, reconcile};

const AUTO: &str = "[project]\nname = \"team\"\nloop = { apply = \"auto\", deletes = 1 }\n";

impl Project {
    fn serve_with(&self, arguments: &[&str]) -> Server {
        let mut command = self.command(&reconcile());
        command.arg("serve").args(arguments).args(["--interval", "1"]);
        Server::start(command, |line| line.contains("serving ") && line.contains("pid"))
    }

    fn status(&self) -> Value {
        self.run(&["status", "--format", "json"]).exits(0).json()
    }

    /// Waits until the loop stands as it should.
    #[track_caller]
    fn await_loop(&self, what: &str, is: impl Fn(&Value) -> bool) -> Value {
        let deadline = Instant::now() + PATIENCE;
        loop {
            self.http("POST", "/v1/poke", "");
            let status = self.status();
            if is(&status["loops"][0]) {
                return status;
            }
            assert!(Instant::now() < deadline, "the loop never was {what}: {status:#}");
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    #[track_caller]
    fn await_state(&self, state: &str) -> Value {
        self.await_loop(state, |found| found["state"] == state)
    }

    #[track_caller]
    fn await_model(&self, model: &str) {
        let deadline = Instant::now() + PATIENCE;
        while self.model() != model {
            assert!(Instant::now() < deadline, "sessions never got {model}: {:#}", self.status());
            self.http("POST", "/v1/poke", "");
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    fn model(&self) -> String {
        let ran = self.run(&["session", "hotreload-test", "--format", "json"]);
        if ran.status.success() { ran.json()["model"]["id"].as_str().unwrap().to_owned() } else { String::new() }
    }

    fn write_all(&self, head: &str, model: &str) {
        let text = self.manifest();
        let rest = &text[text.find("[agents.").unwrap()..];
        self.write_manifest(&format!("{head}\n{rest}"));
        self.set_model(model);
    }
}

#[test]
fn p6_a_folder_gets_into_force_by_itself_and_a_wrong_manifest_leaves_the_last_good_one() {
    let project = Project::hotreload();
    project.write_all(AUTO, "glm-4.6");
    let server = project.serve_with(&["--watch"]);
    let status = project.await_state("in_force");
    assert_eq!((&status["head"]["revision"], &status["loops"][0]["source"]), (&1.into(), &"team".into()));

    // Renamed over, as editors do.
    project.set_model("glm-4.5");
    project.await_model("glm-4.5");

    // Broken, then gone: what is in force stays, and status says why.
    let good = project.manifest();
    project.write_manifest(&format!("{good}\nnonsense = [\n"));
    let status = project.await_state("broken");
    assert!(status["loops"][0]["message"].as_str().unwrap().contains("TOML"), "{status:#}");
    assert_eq!(status["loops"][0]["diagnostics"][0]["severity"], "error");
    project.run(&["status"]).exits(0).says("the last good revision stays in force");
    assert_eq!(project.model(), "glm-4.5");
    std::fs::remove_file(project.path().join("lobu.toml")).unwrap();
    project.await_loop("without a manifest", |found| found["message"].as_str().unwrap().contains("no manifest"));
    assert_eq!(project.model(), "glm-4.5");
    assert!(server.stop().success());

    // It starts with a wrong manifest, and takes the next good one without a restart.
    project.write_manifest("nonsense = [\n");
    let server = project.serve_with(&["--watch"]);
    project.await_state("broken");
    assert_eq!(project.model(), "glm-4.5");
    project.write_manifest(&good);
    project.await_state("in_force");
    project.set_model("glm-5");
    project.await_model("glm-5");
    assert_eq!(project.status()["head"]["revision"], 3);
    assert!(server.stop().success());
}

/// Waits for a model that nobody asks the loop for.
#[track_caller]
fn await_unasked(project: &Project, agent: &[&str], model: &str) {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let ran = project.run(&[&["session", "hotreload-test", "--format", "json"], agent].concat());
        if ran.status.success() && ran.json()["model"]["id"] == model {
            return;
        }
        assert!(Instant::now() < deadline, "nobody saw {model}: {}{}", ran.out, ran.err);
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// The timer does not look within a test: only what the operating system tells wakes the loop.
const SELDOM: [&str; 3] = ["--watch", "--interval", "86400"];

#[test]
fn p4_a_change_of_the_folder_is_seen_without_waiting_for_the_timer() {
    let project = Project::hotreload();
    project.write_all(AUTO, "glm-4.6");
    git(&project.path(), &["init", "--quiet"]);
    git(&project.path(), &["add", "lobu.toml", "agents"]);
    git(&project.path(), &["commit", "--quiet", "-m", "first"]);
    let commit = git(&project.path(), &["rev-parse", "HEAD"]);
    let server = project.serving(&SELDOM);
    await_unasked(&project, &[], "glm-4.6");
    let state = |revision: u64| {
        let ran = project.run(&["history", "--format", "json"]).exits(0).json();
        let commits = ran["commits"].as_array().unwrap().clone();
        commits.into_iter().find(|commit| commit["revision"] == revision).unwrap()["git"].clone()
    };
    assert_eq!(state(1), serde_json::json!({"commit": commit.trim(), "dirty": false}));

    // Renamed over; written in place; moved aside and written anew, with a backup beside: as editors do.
    project.set_model("glm-4.5");
    await_unasked(&project, &[], "glm-4.5");
    assert_eq!(state(2), serde_json::json!({"commit": commit.trim(), "dirty": true}), "what is not committed is told");
    let manifest = project.path().join("lobu.toml");
    std::fs::write(&manifest, project.manifest().replace("glm-4.5", "glm-4.7")).unwrap();
    await_unasked(&project, &[], "glm-4.7");
    let text = project.manifest();
    std::fs::rename(&manifest, project.path().join("lobu.toml~")).unwrap();
    std::fs::write(project.path().join("4913"), "").unwrap();
    std::fs::remove_file(project.path().join("4913")).unwrap();
    std::fs::write(&manifest, text.replace("glm-4.7", "glm-4.8")).unwrap();
    await_unasked(&project, &[], "glm-4.8");

    // As Kubernetes mounts a ConfigMap: a link to a link, of which the second is swapped.
    for (version, model) in [("..v1", "glm-5"), ("..v2", "glm-5.1")] {
        let folder = project.path().join(version);
        std::fs::create_dir(&folder).unwrap();
        std::fs::write(folder.join("lobu.toml"), text.replace("glm-4.7", model)).unwrap();
        std::os::unix::fs::symlink(version, project.path().join("..data_tmp")).unwrap();
        std::fs::rename(project.path().join("..data_tmp"), project.path().join("..data")).unwrap();
        if version == "..v1" {
            std::os::unix::fs::symlink("..data/lobu.toml", project.path().join("new")).unwrap();
            std::fs::rename(project.path().join("new"), &manifest).unwrap();
        }
        await_unasked(&project, &[], model);
    }
    // A look that finds nothing new commits nothing, and no look was a wake of its own.
    let status = project.status();
    assert_eq!(status["head"]["revision"], 6, "{status:#}");
    assert!(server.stop().success());
}

#[test]
fn p4_a_link_that_names_the_project_may_be_pointed_at_the_next_release() {
    let project = Project::hotreload();
    project.write_all(AUTO, "glm-4.6");
    let (root, link) = (project.root().to_owned(), project.root().join("current"));
    let other = root.join("next");
    std::fs::create_dir_all(other.join("agents/hotreload-test")).unwrap();
    std::fs::write(other.join("lobu.toml"), project.manifest().replace("glm-4.6", "glm-5")).unwrap();
    std::os::unix::fs::symlink(project.path(), &link).unwrap();
    let store = root.join("store");
    let at = ["--store", store.to_str().unwrap()];
    let server = project.serving(&[&SELDOM[..], &at, &[link.to_str().unwrap()]].concat());
    await_unasked(&project, &at, "glm-4.6");
    std::os::unix::fs::symlink(&other, root.join("new")).unwrap();
    std::fs::rename(root.join("new"), &link).unwrap();
    await_unasked(&project, &at, "glm-5");
    // And from there on what happens there is seen.
    std::fs::write(other.join("lobu.toml"), project.manifest().replace("glm-4.6", "glm-5.1")).unwrap();
    await_unasked(&project, &at, "glm-5.1");
    assert!(server.stop().success());
}

#[test]
fn a_rollback_holds_the_loop_until_other_manifests_come_or_somebody_resumes() {
    let project = Project::hotreload();
    project.write_all(AUTO, "glm-4.6");
    let server = project.serve_with(&["--watch"]);
    project.await_model("glm-4.6");
    project.set_model("glm-4.5");
    project.await_model("glm-4.5");
    project.run(&["rollback", "r1", "--yes"]).exits(0).says("Applied as r3");
    project.await_state("held");
    assert_eq!(project.model(), "glm-4.6");
    drop(server);

    // The hold outlives the process.
    let server = project.serve_with(&["--watch"]);
    project.await_state("held");
    project.run(&["resume"]).exits(0);
    project.await_model("glm-4.5");
    project.await_state("in_force");

    project.run(&["rollback", "r1", "--yes"]).exits(0);
    project.await_state("held");
    project.set_model("glm-5");
    project.await_model("glm-5");
    assert_eq!(project.status()["sources"][0].get("held"), None);

    // By hand only with --hold; the loop then waits too.
    project.write_all(AUTO, "glm-4.5");
    project.await_model("glm-4.5");
    project.run(&["set", "settings/hotreload-test", "soulMd=kind", "--author", "ui:maria"]).exits(0);
    let by_hand = tempfile::tempdir().unwrap();
    let other = by_hand.path().join("lobu.toml");
    std::fs::write(other, project.manifest().replace("glm-4.5", "glm-4.7")).unwrap();
    std::fs::create_dir_all(by_hand.path().join("agents/hotreload-test")).unwrap();
    let (folder, store) = (by_hand.path().to_str().unwrap().to_owned(), project.store());
    let by_hand = |more: &[&str]| {
        let flags = [&["-C", &folder, "--store", store.to_str().unwrap(), "--yes"], more].concat();
        project.run(&flags)
    };
    by_hand(&[]).exits(3).complains("E_DRIVEN").complains("would undo").complains("--hold");
    by_hand(&["--hold"]).exits(0);
    project.await_state("held");
    assert_eq!(project.model(), "glm-4.7");
    assert!(server.stop().success());
}

#[test]
fn p7_what_somebody_deleted_live_is_not_brought_back_by_a_loop_that_nobody_asked() {
    let project = Project::hotreload();
    project.write_all(AUTO, "glm-4.6");
    let server = project.serve_with(&["--watch"]);
    project.await_state("in_force");
    let remove = ["secret", "remove", "provider:z-ai:apiKey", "--allow-break", "hotreload-test"];
    project.run(&remove).exits(0);
    let status = project.await_state("waiting");
    let told = status["loops"][0]["message"].as_str().unwrap();
    assert!(told.contains("`secret/provider:z-ai:apiKey` was deleted live"), "{status:#}");
    project.run(&["get", "secret/provider:z-ai:apiKey"]).exits(1).complains("E_NOT_FOUND");
    project.run(&["approve", &status["loops"][0]["plan"].as_str().unwrap()[..8]]).exits(0);
    project.await_state("in_force");
    project.run(&["get", "secret/provider:z-ai:apiKey"]).exits(0);
    assert!(server.stop().success());
}

#[test]
fn a_plan_that_the_policy_leaves_to_somebody_waits_and_is_approved() {
    let project = Project::hotreload();
    project.write_all("[project]\nname = \"team\"\n", "glm-4.6");
    let server = project.serve_with(&["--watch"]);
    let status = project.await_state("waiting");
    let plan = status["loops"][0]["plan"].as_str().unwrap().to_owned();
    assert_eq!(status["loops"][0]["summary"]["create"], 3);
    assert_eq!(status["head"]["revision"], 0);
    project.run(&["status"]).exits(0).says(&format!("reconcile approve {}", &plan[..8]));
    project.run(&["approve", "00000000"]).exits(1).complains("E_NOT_FOUND");
    let by_hand = project.run(&["--yes"]).exits(3);
    by_hand
        .complains("E_DRIVEN")
        .complains("waits for somebody's approval")
        .complains(&format!("`reconcile approve {}` applies what the loop planned, or add `--hold`", &plan[..8]));
    project.run(&["approve", &plan[..8], "-m", "looked at"]).exits(0).says("Applied as r1");
    project.await_state("in_force");
    assert_eq!(project.model(), "glm-4.6");
    project.run(&["approve", &plan[..8]]).exits(1).complains("E_NOT_FOUND");

    // More deletes than the policy lets the loop make.
    project.write_manifest("[project]\nname = \"team\"\nloop = { apply = \"auto\", deletes = 1 }\n");
    let status = project.await_state("waiting");
    assert_eq!(project.model(), "glm-4.6");
    assert_ne!(status["loops"][0]["message"], "");
    assert!(server.stop().success());
}

/// A bare repository and a clone that pushes to it.
struct Remote {
    folder: tempfile::TempDir,
}

impl Remote {
    fn new(project: &Project) -> Self {
        let remote = Self { folder: tempfile::tempdir().unwrap() };
        git(remote.folder.path(), &["init", "--quiet", "--bare", "--initial-branch=main", "bare.git"]);
        git(remote.folder.path(), &["clone", "--quiet", "bare.git", "work"]);
        git(&remote.work(), &["checkout", "--quiet", "-B", "main"]);
        std::fs::create_dir_all(remote.work().join("agents/hotreload-test")).unwrap();
        std::fs::write(remote.work().join("agents/hotreload-test/SOUL.md"), "kind\n").unwrap();
        project.write_all(AUTO, "glm-4.6");
        remote.push(&project.manifest(), "first");
        remote
    }

    fn bare(&self) -> PathBuf {
        self.folder.path().join("bare.git")
    }

    fn work(&self) -> PathBuf {
        self.folder.path().join("work")
    }

    fn commit(&self, manifest: &str, message: &str) {
        std::fs::write(self.work().join("lobu.toml"), manifest).unwrap();
        git(&self.work(), &["add", "--all"]);
        git(&self.work(), &["commit", "--quiet", "--allow-empty", "-m", message]);
    }

    fn push(&self, manifest: &str, message: &str) -> String {
        self.commit(manifest, message);
        git(&self.work(), &["push", "--quiet", "--force", "origin", "main"]);
        git(&self.work(), &["rev-parse", "HEAD"]).trim().to_owned()
    }
}

#[test]
fn what_is_applied_by_hand_shows_at_the_loop_without_waiting_for_the_timer() {
    let project = Project::hotreload();
    project.write_all(AUTO, "glm-4.6");
    let mut command = project.command(&reconcile());
    command.args(["serve", "--watch", "--interval", "86400"]);
    let server = Server::start(command, |line| line.contains("serving ") && line.contains("pid"));
    project.await_model("glm-4.6");
    project.set_model("glm-4.5");
    project.await_model("glm-4.5");
    project.run(&["rollback", "r1", "--yes"]).exits(0).says("Applied as r3");
    // Nobody pokes it here.
    let deadline = Instant::now() + PATIENCE;
    while project.status()["loops"][0]["state"] != "held" {
        assert!(Instant::now() < deadline, "the loop still says {:#}", project.status()["loops"][0]);
        std::thread::sleep(Duration::from_millis(20));
    }
    assert!(server.stop().success());
}

fn git(folder: &Path, arguments: &[&str]) -> String {
    let who = ["-c", "user.name=Maria", "-c", "user.email=maria@example.com", "-c", "protocol.file.allow=always"];
    let ran = Command::new("git").args(who).args(arguments).current_dir(folder).output().unwrap();
    assert!(ran.status.success(), "git {arguments:?}: {}", String::from_utf8_lossy(&ran.stderr));
    String::from_utf8(ran.stdout).unwrap()
}

#[test]
fn p4_p6_what_is_pushed_reaches_sessions_and_nothing_that_goes_wrong_with_git_hurts() {
    let project = Project::hotreload();
    let remote = Remote::new(&project);
    let with_model = |model: &str| project.manifest().replace("glm-4.6", model);
    let url = remote.bare().to_str().unwrap().to_owned();
    let server = project.serve_with(&["--git", &url, "--branch", "main"]);
    project.await_model("glm-4.6");

    // A push, with its author, message and commit in the history.
    let commit = remote.push(&with_model("glm-4.5"), "a faster model");
    project.run(&["wait", "--git", &commit[..10], "--source", "team"]).exits(0).says("r2 is in force");
    project.await_model("glm-4.5");
    // One that changes no resource makes no revision, and is in force all the same once it was looked at.
    let text = std::fs::read_to_string(remote.work().join("lobu.toml")).unwrap();
    let remark = remote.push(&format!("# a remark\n{text}"), "a remark");
    project.run(&["wait", "--git", &remark, "--source", "other", "--timeout", "0"]).exits(5);
    project.run(&["wait", "--git", &remark, "--source", "team"]).exits(0).says("r2 is in force");
    project.run(&["wait", "--revision", "r2", "--format", "json"]).exits(0).says("\"revision\": 2");
    project.run(&["wait", "--revision", "r9", "--timeout", "1"]).exits(5).complains("E_TIMEOUT");
    project.run(&["wait", "--git", "0000000000", "--timeout", "0"]).exits(5).complains("the head is r2");
    project.run(&["wait"]).exits(64);
    let newest = project.run(&["history", "--format", "json"]).exits(0).json()["commits"][0].clone();
    assert_eq!((&newest["git"]["commit"], &newest["author"]), (&commit.as_str().into(), &"Maria".into()));
    assert_eq!((&newest["message"], &newest["git"]["dirty"]), (&"a faster model".into(), &false.into()));

    // Broken, then good.
    let broken = remote.push("nonsense = [", "broken");
    project.await_state("broken");
    let waited = project.run(&["wait", "--git", &broken, "--source", "team", "--timeout", "0"]).exits(5);
    waited.complains("the loop of `team` is broken: broken TOML");
    assert_eq!(project.model(), "glm-4.5");
    remote.push(&with_model("glm-4.7"), "good again");
    project.await_model("glm-4.7");

    // A rollback holds this commit; another one goes on, also one that rewrites the branch.
    let before = project.status()["head"]["revision"].as_u64().unwrap();
    project.run(&["rollback", &format!("r{}", before - 1), "--yes"]).exits(0);
    project.await_state("held");
    assert_eq!(project.model(), "glm-4.5");
    git(&remote.work(), &["reset", "--quiet", "--hard", "HEAD~2"]);
    remote.push(&with_model("glm-5"), "rewritten");
    project.await_model("glm-5");

    // The branch is deleted, the repository is gone, and both come back.
    git(&remote.work(), &["push", "--quiet", "origin", "main:refs/heads/kept"]);
    git(&remote.bare(), &["update-ref", "-d", "refs/heads/main"]);
    project.await_state("away");
    assert_eq!(project.model(), "glm-5");
    git(&remote.work(), &["push", "--quiet", "origin", "main"]);
    project.await_state("in_force");
    let aside = remote.folder.path().join("aside.git");
    std::fs::rename(remote.bare(), &aside).unwrap();
    project.await_state("away");
    std::fs::rename(&aside, remote.bare()).unwrap();
    project.await_state("in_force");

    // A burst ends at its last commit, with no more applies than there were turns that saw something new.
    let before = project.status()["head"]["revision"].as_u64().unwrap();
    for number in 0..100 {
        remote.commit(&with_model(&format!("glm-burst-{number}")), "burst");
    }
    git(&remote.work(), &["push", "--quiet", "origin", "main"]);
    project.await_model("glm-burst-99");
    assert_eq!(project.status()["head"]["revision"].as_u64().unwrap(), before + 1, "the burst was one push");

    // A hundred pushes, one after the other, with a poke after each as the host's webhook makes it: none is applied twice or after a newer
    // one, and the last one is in force.
    let pushed: Vec<String> = (0..100)
        .map(|number| {
            let commit = remote.push(&with_model(&format!("glm-push-{number}")), "pushed");
            project.http("POST", "/v1/poke", "");
            commit
        })
        .collect();
    project.await_model("glm-push-99");
    project.await_state("in_force");
    let history = project.run(&["history", "--format", "json", "--limit", "500"]).exits(0).json();
    let newest_first = history["commits"].as_array().unwrap().iter();
    let applied: Vec<usize> = newest_first
        .map_while(|commit| pushed.iter().position(|pushed| commit["git"]["commit"] == pushed.as_str()))
        .collect();
    assert!(applied.is_sorted_by(|newer, older| newer > older), "{applied:?}");
    assert_eq!(applied[0], 99);
    assert_eq!(project.status()["head"]["revision"].as_u64().unwrap(), before + 1 + applied.len() as u64);
    println!("100 pushes were {} applies", applied.len());
    assert!(server.stop().success());
}

#[test]
fn p6_what_lies_in_a_submodule_is_not_taken_for_empty() {
    let project = Project::hotreload();
    let remote = Remote::new(&project);
    let url = remote.bare().to_str().unwrap().to_owned();
    let server = project.serve_with(&["--git", &url, "--branch", "refs/heads/main"]);
    project.await_model("glm-4.6");

    // The agent's folder becomes a submodule: in the tree that is written out it is empty.
    let work = remote.work();
    let manifest = std::fs::read_to_string(work.join("lobu.toml")).unwrap();
    let head = git(&work, &["rev-parse", "HEAD"]);
    let moved = manifest.replace("\ndir = \"./agents/hotreload-test\"", "\ndir = \"./shared/texts\"");
    assert_ne!(moved, manifest);
    std::fs::write(work.join("lobu.toml"), &moved).unwrap();
    let named = "[submodule \"texts\"]\n\tpath = shared/texts\n\turl = https://example.com/texts.git\n";
    std::fs::write(work.join(".gitmodules"), named).unwrap();
    git(&work, &["add", "lobu.toml", ".gitmodules"]);
    git(&work, &["update-index", "--add", "--cacheinfo", &format!("160000,{},shared/texts", head.trim())]);
    git(&work, &["commit", "--quiet", "-m", "texts elsewhere"]);
    git(&work, &["push", "--quiet", "origin", "main"]);
    let status = project.await_state("broken");
    let message = status["loops"][0]["message"].as_str().unwrap();
    assert!(message.contains("`shared/texts` is a submodule, and submodules are not fetched"), "{message}");
    project.run(&["status"]).exits(0).says("submodules are not fetched").says("lobu.toml:");
    assert_eq!(status["head"]["revision"], 1, "nothing was taken out of the store");

    // A submodule that no manifest looks into is nobody's concern.
    std::fs::write(work.join("lobu.toml"), manifest.replace("glm-4.6", "glm-4.5")).unwrap();
    git(&work, &["commit", "--quiet", "-a", "-m", "texts here"]);
    git(&work, &["push", "--quiet", "origin", "main"]);
    project.await_model("glm-4.5");
    assert!(server.stop().success());
}
