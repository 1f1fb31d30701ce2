//! The example gateway, as a process of its own: it is changed from outside while it runs, and is never restarted.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use holdfast_reconciler::plane::ControlPlane;
use holdfast_server::{Client, Discovery, discover};
use serde_json::Value;

use crate::support::{SECRET, apply, hotreload, plan_request, project};

struct Gateway {
    process: Child,
    address: String,
}

impl Gateway {
    fn start(root: &Path) -> Self {
        let mut process = Command::new(program())
            .arg(root.join("store"))
            .env_clear()
            .env("HOLDFAST_KEY_FILE", root.join("master.key"))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut line = String::new();
        BufReader::new(process.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let address = line.trim().trim_start_matches("chats at http://").trim_end_matches("/chat/AGENT").to_owned();
        Self { process, address }
    }

    /// One chat: its status and what it runs on.
    fn chat(&self, agent: &str) -> (u16, Value) {
        let mut stream = TcpStream::connect(&self.address).unwrap();
        write!(stream, "GET /chat/{agent}?user=maria HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n").unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        assert!(!answer.contains(SECRET));
        (head.split(' ').nth(1).unwrap().parse().unwrap(), serde_json::from_str(body).unwrap())
    }

    /// Lets go of its standard input and waits for its end.
    fn stop(mut self) {
        drop(self.process.stdin.take());
        assert!(self.process.wait().unwrap().success());
    }
}

impl Drop for Gateway {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// The example's program, which cargo builds beside the tests.
fn program() -> PathBuf {
    let test = std::env::current_exe().unwrap();
    let program = test.parent().unwrap().parent().unwrap().join("examples/gateway");
    assert!(program.exists(), "build the example first: cargo build -p holdfast-server --example gateway");
    program
}

fn client(root: &Path) -> Client {
    match discover(root.join("store")).unwrap() {
        Discovery::Server(client) => client,
        other => panic!("no server: {other:?}"),
    }
}

#[test]
fn p4_a_running_gateway_has_in_the_next_chat_what_was_applied() {
    let root = tempfile::tempdir().unwrap();
    let gateway = Gateway::start(root.path());
    let pid = gateway.process.id();
    assert_eq!(gateway.chat("hotreload-test").0, 404);
    let client = client(root.path());
    assert_eq!(client.hello().unwrap().pid, pid);
    assert_eq!(client.status(None).unwrap().holder.unwrap().pid, pid);

    apply(&client, plan_request(hotreload("glm-4.6")));
    let (status, chat) = gateway.chat("hotreload-test");
    assert_eq!((status, &chat["model"], &chat["provider"]), (200, &"glm-4.6".into(), &"z-ai".into()), "{chat}");
    assert_eq!((&chat["credential"], &chat["revision"]), (&"org-secret".into(), &1.into()));
    for (revision, model) in [(2, "glm-4.5"), (3, "glm-4.7"), (4, "glm-4.6")] {
        apply(&client, plan_request(project(model, None)));
        let (_, chat) = gateway.chat("hotreload-test");
        assert_eq!((&chat["model"], &chat["revision"]), (&model.into(), &revision.into()), "{chat}");
        assert_eq!(chat["pid"], pid);
    }
    gateway.stop();
    assert!(matches!(discover(root.path().join("store")).unwrap(), Discovery::None));
}

#[test]
fn p2_a_gateway_that_was_killed_leaves_a_stale_socket_and_all_that_was_acknowledged() {
    let root = tempfile::tempdir().unwrap();
    let gateway = Gateway::start(root.path());
    apply(&client(root.path()), plan_request(hotreload("glm-4.6")));
    drop(gateway);
    assert!(matches!(discover(root.path().join("store")).unwrap(), Discovery::Stale));

    let gateway = Gateway::start(root.path());
    let (status, chat) = gateway.chat("hotreload-test");
    assert_eq!((status, &chat["model"], &chat["revision"]), (200, &"glm-4.6".into(), &1.into()), "{chat}");
    assert_eq!(client(root.path()).head().unwrap().revision.get(), 1);
    gateway.stop();
}
