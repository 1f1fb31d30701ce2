//! `watch`: commits as they come, once each and in order, across a server that is killed; and where it refuses.

use std::io::{BufRead, BufReader, Read};
use std::process::{Child, ChildStderr, ChildStdout, Command, Stdio};

use serde_json::{Value, json};

use super::bench::{Project, reconcile};

/// A running watch.
struct Watching {
    child: Child,
    out: BufReader<ChildStdout>,
    err: BufReader<ChildStderr>,
}

impl Watching {
    /// Starts a watch and waits until it has begun.
    fn start(project: &Project, arguments: &[&str]) -> Self {
        let mut command = project.command(&reconcile());
        command.arg("watch").args(arguments).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let out = BufReader::new(child.stdout.take().unwrap());
        let err = BufReader::new(child.stderr.take().unwrap());
        let mut watching = Self { child, out, err };
        let said = watching.said();
        assert!(said.starts_with("watching after r"), "{said}");
        watching
    }

    fn line(&mut self) -> String {
        let mut line = String::new();
        assert_ne!(self.out.read_line(&mut line).unwrap(), 0, "the watch ended");
        line
    }

    fn document(&mut self) -> Value {
        serde_json::from_str(&self.line()).unwrap()
    }

    /// The next line of standard error.
    fn said(&mut self) -> String {
        let mut line = String::new();
        self.err.read_line(&mut line).unwrap();
        line
    }

    /// Ctrl-C; gives what was said to the end.
    fn interrupt(mut self) -> String {
        let pid = self.child.id().to_string();
        assert!(Command::new("kill").args(["-INT", &pid]).status().unwrap().success());
        let mut said = String::new();
        self.err.read_to_string(&mut said).unwrap();
        assert_eq!(self.child.wait().unwrap().code(), Some(130), "{said}");
        said
    }
}

#[test]
fn p9_commits_are_printed_once_in_order_across_a_killed_server_and_ctrl_c_says_where_to_resume() {
    let project = Project::hotreload();
    project.run(&["--yes"]).exits(0);
    let server = project.serve();
    let mut watching = Watching::start(&project, &["--from", "r0", "--format", "json"]);
    let first = watching.document();
    assert_eq!((&first["revision"], &first["author"]), (&json!(1), &json!("tester")));
    let keys: Vec<&str> = first["changes"].as_array().unwrap().iter().map(|c| c["key"].as_str().unwrap()).collect();
    assert!(keys.contains(&"live/settings/hotreload-test"), "{keys:?}");
    project.http("PUT", "/v1/kv/a", "one");
    let written = watching.document();
    assert_eq!(
        written["changes"],
        json!([{"key": "kv/a", "op": "put", "value": "one", "modified": 2, "previous": null}])
    );

    server.kill();
    assert!(watching.said().contains("waiting until it is back"));
    let server = project.serve();
    project.http("PUT", "/v1/kv/a", "two");
    assert_eq!(watching.document()["changes"][0]["previous"], json!(2));
    assert_eq!(watching.said(), "the server is back\n");
    let said = watching.interrupt();
    assert!(said.starts_with("stopped after r3; `--from "), "{said}");
    let token = said.split_whitespace().skip_while(|word| *word != "`--from").nth(1).unwrap().trim_end_matches('`');

    project.http("PUT", "/v1/kv/b", "three");
    let mut resumed = Watching::start(&project, &["--from", token]);
    let line = resumed.line();
    let author = line.split("  ").nth(2).unwrap().trim();
    assert_eq!(author, user(), "who wrote over the bare socket is told by name");
    assert!(line.starts_with("r4  "), "{line}");
    assert_eq!(resumed.line(), "  + kv/b: \"three\"\n");
    resumed.interrupt();
    assert!(server.stop().success());
}

/// The user of this test, by its own list of users as `id` reads it.
fn user() -> String {
    let id = Command::new("id").arg("-un").output().unwrap();
    String::from_utf8(id.stdout).unwrap().trim().to_owned()
}

#[test]
fn p9_a_prefix_shows_its_own_changes_only_and_a_reader_that_goes_away_ends_the_watch() {
    let project = Project::hotreload();
    let _server = project.serve();
    project.run(&["--yes"]).exits(0);
    let mut watching = Watching::start(&project, &["settings/hot", "--from", "0"]);
    assert!(watching.line().starts_with("r1  "));
    assert_eq!(watching.line(), "  + live/settings/hotreload-test\n");
    project.http("PUT", "/v1/kv/a", "unseen");
    project.set_model("glm-4.5");
    project.run(&["--yes", "-m", "why"]).exits(0);
    let line = watching.line();
    assert!(line.starts_with("r3  ") && line.ends_with("  tester  why\n"), "{line}");
    let Watching { mut child, out, err } = watching;
    drop(out);
    project.set_model("glm-4.6");
    project.run(&["--yes"]).exits(0);
    assert_eq!(child.wait().unwrap().code(), Some(0));
    drop(err);
}

#[test]
fn a_watch_without_a_server_or_from_nowhere_is_refused_with_the_way_out() {
    let project = Project::hotreload();
    project.run(&["--yes"]).exits(0);
    project.run(&["watch"]).exits(1).complains("E_NO_SERVER").complains("reconcile serve");
    assert_eq!(project.run(&["watch", "--format", "json"]).json()["error"]["code"], json!("E_NO_SERVER"));
    let _server = project.serve();
    project.run(&["watch", "--from", "r9"]).exits(1).complains("E_FUTURE");
    project.run(&["watch", "--from", "somewhere"]).exits(64).complains("--from");
    project.run(&["watch", "Settings/x"]).exits(64);
    project.run(&["watch", "--at", "r1"]).exits(64);
}
