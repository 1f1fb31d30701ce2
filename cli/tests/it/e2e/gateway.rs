//! The same story in a program of the user's own: the example gateway holds the store and is never restarted.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::PathBuf;

use serde_json::{Value, json};

use super::bench::{PATIENCE, Project, Server, reconcile};

/// The example that cargo builds beside the command when it tests the workspace.
fn gateway() -> PathBuf {
    let path = reconcile().with_file_name("examples").join("gateway");
    assert!(path.exists(), "{} is not there; test the whole workspace, or build the example", path.display());
    path
}

fn chat(address: &str) -> Value {
    let mut stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    write!(stream, "GET /chat/hotreload-test HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n").unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    let body = answer.split_once("\r\n\r\n").unwrap().1;
    serde_json::from_str(&body[body.find('{').unwrap()..=body.rfind('}').unwrap()]).unwrap()
}

#[test]
fn p4_a_program_of_ones_own_serves_the_new_model_without_a_restart() {
    let mut project = Project::hotreload();
    let mut command = project.command(&gateway());
    // Its own environment would be one more tier of credentials.
    command.args([project.store().to_str().unwrap(), "0"]).env_remove("Z_AI_API_KEY");
    let mut server = Server::start(command, |line| line.contains("http://127.0.0.1:"));
    let pid = server.pid();
    let address = server.ready.split("http://").nth(1).unwrap().split('/').next().unwrap().to_owned();

    let unknown = chat(&address);
    assert_eq!(unknown["code"], json!("E_UNKNOWN_AGENT"), "{unknown}");
    project.run(&["--yes"]).exits(0).says("Applied as r1");
    let first = chat(&address);
    assert_eq!(
        (&first["model"], &first["revision"], &first["credential"]),
        (&json!("glm-4.6"), &json!(1), &json!("org-secret"))
    );

    project.set_model("glm-4.5");
    project.run(&["--yes"]).exits(0).says("Applied as r2");
    let second = chat(&address);
    assert_eq!((&second["model"], &second["revision"], &second["pid"]), (&json!("glm-4.5"), &json!(2), &json!(pid)));

    project.remove_key();
    project.unset("Z_AI_API_KEY");
    project.run(&["--yes"]).exits(3).says("BREAKS");
    assert_eq!(chat(&address)["revision"], json!(2));
    project.run(&["--yes", "--allow-break", "hotreload-test"]).exits(0);
    assert_eq!(chat(&address)["code"], json!("E_NO_PROVIDER"));
    project.run_with_input(&["secret", "set", "provider:z-ai:apiKey"], Some("mended")).exits(0);
    let mended = chat(&address);
    assert_eq!((&mended["model"], &mended["pid"]), (&json!("glm-4.5"), &json!(pid)));
    let status = project.run(&["status", "--format", "json"]).exits(0).json();
    assert_eq!(status["holder"]["pid"], json!(pid));
    assert!(server.is_running());
    assert!(server.stop().success());
}
