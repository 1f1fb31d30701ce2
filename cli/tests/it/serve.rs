//! `serve`: ready when it says so, the same answers through the socket, and a calm end.

use std::io::{BufRead as _, BufReader, Read as _};
use std::process::Child;
use std::thread::JoinHandle;

use rustix::process::{Pid, Signal, kill_process};

use crate::support::{CANARY, Project, TRIAGE};

pub(crate) struct Server {
    child: Child,
    /// Takes what the server says: a pipe that nobody empties would stop it once it is full.
    log: JoinHandle<String>,
}

impl Server {
    /// Starts a server and waits until it says that it is ready.
    pub(crate) fn start(project: &Project) -> Self {
        Self::start_with(project, &[])
    }

    /// The same with variables of its own.
    fn start_with(project: &Project, variables: &[(&str, &str)]) -> Self {
        let mut child = project.command(&["serve"]).envs(variables.iter().copied()).spawn().unwrap();
        let mut rest = BufReader::new(child.stderr.take().unwrap());
        let mut line = String::new();
        while !line.starts_with("serving ") {
            line.clear();
            assert_ne!(rest.read_line(&mut line).unwrap(), 0, "the server ended before it was ready");
        }
        assert!(line.ends_with(&format!(", pid {}\n", child.id())), "{line}");
        let log = std::thread::spawn(move || {
            let mut log = String::new();
            rest.read_to_string(&mut log).unwrap();
            log
        });
        Self { child, log }
    }

    fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.child), signal).unwrap();
    }

    pub(crate) fn stop(mut self, signal: Signal) {
        self.signal(signal);
        let status = self.child.wait().unwrap();
        let log = self.log.join().unwrap();
        assert_eq!(status.code(), Some(0), "{log}");
        assert!(!log.contains(CANARY));
    }
}

#[test]
fn a_sealed_plan_that_the_servers_environment_makes_stale_says_whose_sessions_differ() {
    let project = Project::with(
        &TRIAGE.replace("id = \"z-ai\"", "id = \"openai\"\n\n[[agents.triage.providers]]\nid = \"z-ai\""),
    );
    let key = [("Z_KEY", CANARY)];
    assert_eq!(project.run_with(&["--yes"], &key, "").code, Some(0));
    project.edit("glm-4.6", "glm-4.5");
    assert_eq!(project.run_with(&["--dry-run", "--out", "p.json"], &key, "").code, Some(0));
    let server = Server::start_with(&project, &[("OPENAI_API_KEY", "x")]);
    let refused = project.run_with(&["apply", "p.json", "--yes"], &key, "");
    server.stop(Signal::TERM);
    assert_eq!(refused.code, Some(4), "{}", refused.stderr);
    for part in [
        "an apply would do something else",
        "sessions of `triage`: the plan foresaw `z-ai/glm-4.5`, here they do not change",
        "the store is as it was",
    ] {
        assert!(refused.stderr.contains(part), "{}", refused.stderr);
    }
    assert_eq!(project.run_with(&["apply", "p.json", "--yes"], &key, "").code, Some(0), "nothing was changed");
}

#[test]
fn commands_give_the_same_bytes_embedded_and_served_p4() {
    let (embedded, served) = (Project::with(TRIAGE), Project::with(TRIAGE));
    // One key, so that tags are equal.
    let key = embedded.home().join("key");
    assert_eq!(embedded.run_with(&["--yes"], &[("Z_KEY", CANARY)], "").code, Some(0));
    std::fs::copy(embedded.home().join(".config/holdfast/master.key"), &key).unwrap();
    let server = {
        std::fs::create_dir_all(served.home().join(".config/holdfast")).unwrap();
        std::fs::copy(&key, served.home().join(".config/holdfast/master.key")).unwrap();
        Server::start(&served)
    };
    assert_eq!(served.run_with(&["--yes"], &[("Z_KEY", CANARY)], "").code, Some(0));
    for project in [&embedded, &served] {
        project.edit("glm-4.6", "glm-4.5");
    }
    let commands: [&[&str]; 6] = [
        &["--dry-run"],
        &["--yes"],
        &["--dry-run", "--all"],
        &["get", "settings/triage"],
        &["get", "settings/triag"],
        &["secret", "list"],
    ];
    for arguments in commands {
        let (here, there) = (embedded.run(arguments), served.run(arguments));
        assert_eq!(here.shown(arguments), there.shown(arguments));
    }
    let session = |project: &Project, at: &str| {
        let shown = project.run(&["session", "triage", "--at", at, "--format", "json"]).stdout;
        let mut context: serde_json::Value = serde_json::from_str(&shown).unwrap();
        // The commit id covers the time of the commit.
        context["commit"] = serde_json::Value::Null;
        context
    };
    for at in ["r1", "r2"] {
        assert_eq!(session(&embedded, at), session(&served, at));
    }
    assert_eq!(session(&served, "r2")["model"]["id"], "glm-4.5");
    server.stop(Signal::TERM);
}

#[test]
fn a_hang_up_is_harmless_and_an_interrupt_ends_it() {
    let project = Project::applied();
    let server = Server::start(&project);
    server.signal(Signal::HUP);
    let pid = server.child.id();
    let document: serde_json::Value =
        serde_json::from_str(&project.run(&["status", "--format", "json"]).stdout).unwrap();
    assert_eq!(document["holder"]["pid"], pid);
    let second = project.run(&["serve"]);
    assert_eq!(second.code, Some(1));
    assert!(second.stderr.contains(&format!("served by process {pid} already")), "{}", second.stderr);
    server.stop(Signal::INT);
    assert_eq!(project.run(&["status"]).code, Some(0), "the store is free again");
}

#[test]
fn the_socket_of_a_killed_server_is_recognised_as_stale() {
    let project = Project::applied();
    let mut server = Server::start(&project);
    server.child.kill().unwrap();
    server.child.wait().unwrap();
    assert_eq!(project.run(&["history"]).stdout.lines().count(), 1);
    Server::start(&project).stop(Signal::TERM);
}
