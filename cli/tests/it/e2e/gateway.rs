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
    ask(address, "GET /chat/hotreload-test", "", "")
}

fn ask(address: &str, request: &str, headers: &str, body: &str) -> Value {
    let mut stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    let length = body.len();
    let head = format!(
        "{request} HTTP/1.1\r\nHost: {address}\r\nContent-Length: {length}\r\n{headers}Connection: close\r\n\r\n"
    );
    write!(stream, "{head}{body}").unwrap();
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

    // A user brings a key of her own; the shared one goes, and her sessions go on.
    let set = ask(&address, "PUT /users/maria/keys/z-ai", "", "canary-of-maria\n");
    assert_eq!(set["outcome"], json!("committed"), "{set}");
    project.run(&["secret", "remove", "provider:z-ai:apiKey", "--allow-break", "hotreload-test"]).exits(0);
    assert_eq!(chat(&address)["code"], json!("E_NO_PROVIDER"));
    let hers = ask(&address, "GET /chat/hotreload-test?user=maria", "", "");
    assert_eq!((&hers["credential"], &hers["pid"]), (&json!("profile"), &json!(pid)), "{hers}");
    project.run(&["profile", "list"]).exits(0).says("maria  z-ai  *  api-key").says("gateway:users");

    // Her worker shows its token, and nothing else says whose session it is.
    let worker = ask(&address, "GET /workers/hotreload-test?user=maria", "", "");
    let bearer = format!("Authorization: Bearer {}\r\n", worker["token"].as_str().unwrap());
    let context = ask(&address, "GET /session-context", &bearer, "");
    assert_eq!((&context["session"], &context["user"]), (&worker["session"], &json!("maria")), "{context}");
    assert!(!context.to_string().contains("canary"), "{context}");
    assert_eq!(ask(&address, "GET /session-context", "", "")["code"], json!("E_TOKEN"));
    assert_eq!(ask(&address, "GET /session-context", "Authorization: Bearer hfw_x\r\n", "")["code"], json!("E_TOKEN"));

    let status = project.run(&["status", "--format", "json"]).exits(0).json();
    assert_eq!(status["holder"]["pid"], json!(pid));
    assert!(server.is_running());
    assert!(server.stop().success());
}
