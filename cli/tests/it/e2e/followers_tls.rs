//! A follower over TLS, with the real binary on both ends: what it gets by which token, and what it says where it gets nothing.

use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::time::Instant;

use serde_json::Value;

use super::bench::{PATIENCE, Project, Ran, Server, reconcile};

fn pem(name: &str) -> String {
    let path: PathBuf = Path::new(env!("CARGO_MANIFEST_DIR")).join("../testdata/tls").join(name);
    path.to_str().unwrap().to_owned()
}

/// A server with a certificate on the network; and its address.
fn listen(project: &Project, address: &str) -> (Server, String) {
    let mut command = project.command(&reconcile());
    let (certificate, key) = (pem("server.pem"), pem("server.key"));
    command.args(["serve", "--listen", address, "--tls-cert", &certificate, "--tls-key", &key]);
    let server = Server::start(command, |line| line.starts_with("listening on https://"));
    let url = server.ready["listening on ".len()..].split(',').next().unwrap().to_owned();
    (server, url)
}

/// Makes a token, in a file that only this user reads.
fn token(project: &Project, name: &str, role: &str, of: &[&str]) -> String {
    let made = project.run(&[&["token", "create", name, "--role", role], of].concat()).exits(0).out;
    let path = project.root().join(name);
    std::fs::write(&path, made).unwrap();
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).unwrap();
    path.to_str().unwrap().to_owned()
}

/// A follower, in a folder of its own that has its name.
struct Follower<'p> {
    project: &'p Project,
    folder: String,
    process: Server,
}

impl<'p> Follower<'p> {
    fn start(project: &'p Project, name: &str, url: &str, token: &str, authority: &str) -> Self {
        let mut command = project.command(&reconcile());
        let folder = format!(".{name}");
        command.args(["serve", "--follow", url, "--token-file", token, "--name", name, "--store", &folder]);
        command.env("SSL_CERT_FILE", pem(authority));
        let process = Server::start(command, |line| line.contains("following ") && line.contains("pid"));
        Self { project, folder, process }
    }

    fn run(&self, arguments: &[&str]) -> Ran {
        self.project.run(&[arguments, &["--store", &self.folder]].concat())
    }

    /// How it stands, once it stands so.
    fn following(&self, is_so: impl Fn(&Value) -> bool) -> Value {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let ran = self.run(&["status", "--format", "json"]);
            if ran.status.success() && is_so(&ran.json()["following"]) {
                return ran.json()["following"].clone();
            }
            assert!(Instant::now() < deadline, "{ran:?}");
        }
    }

    /// What a session says where there is no state, once it says this.
    fn complains(&self, texts: &[&str]) {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let ran = self.run(&["session", "hotreload-test"]).exits(1).complains("E_NOT_FOLLOWED_YET");
            if texts.iter().all(|text| ran.err.contains(text)) {
                return;
            }
            assert!(Instant::now() < deadline, "{texts:?}: {ran:?}");
        }
    }

    fn stop(self) {
        assert!(self.process.stop().success());
    }
}

#[test]
fn p4_a_follower_over_tls_gives_what_its_token_is_for_and_says_when_that_ends() {
    let project = Project::hotreload();
    project.run(&["--yes"]).exits(0);
    let (server, url) = listen(&project, "127.0.0.1:0");
    let admin = token(&project, "admin", "admin", &["--all-orgs"]);
    let reader = token(&project, "reader", "read", &["--for", "default"]);
    let full = Follower::start(&project, "full", &url, &admin, "authority.pem");
    let poor = Follower::start(&project, "poor", &url, &reader, "authority.pem");
    project.set_model("glm-4.5");
    project.run(&["--yes", "--wait"]).exits(0);
    for follower in [&full, &poor] {
        follower.following(|state| state["connected"] == true);
        follower.run(&["session", "hotreload-test"]).exits(0).says("glm-4.5");
    }
    // A write goes through to the server by the follower's own token, as far as its role goes.
    let set = ["set", "settings/hotreload-test", "identityMd=\"hello\""];
    poor.run(&set).exits(1).complains("E_ROLE").complains("help:");
    full.run(&set).exits(0);

    // Revoked while it follows: it goes on with what it has, and says why it is cut off.
    project.run(&["token", "revoke", "reader"]).exits(0);
    let cut = poor.following(|state| state["connected"] == false);
    assert!(cut["error"].as_str().unwrap().contains("was revoked"), "{cut}");
    poor.run(&["session", "hotreload-test"]).exits(0).says("glm-4.5");
    full.following(|state| state["connected"] == true);

    // The server comes back at the same address, and both hear of it: one is let in.
    let address = url["https://".len()..].to_owned();
    assert!(server.stop().success());
    full.following(|state| state["connected"] == false);
    let (server, _) = listen(&project, &address);
    full.following(|state| state["connected"] == true);
    assert_eq!(poor.following(|state| state["error"].is_string())["connected"], false);
    poor.stop();
    full.stop();
    assert!(server.stop().success());
}

#[test]
fn a_follower_over_tls_that_gets_nothing_says_why_and_what_to_do() {
    let project = Project::hotreload();
    project.run(&["--yes"]).exits(0);
    let (server, url) = listen(&project, "127.0.0.1:0");
    let admin = token(&project, "admin", "admin", &["--all-orgs"]);
    let plain = url.replace("https:", "http:");
    let gone = token(&project, "gone", "admin", &["--all-orgs"]);
    project.run(&["token", "revoke", "gone"]).exits(0);
    let cases = [
        ("stranger", &url, &admin, "stranger.pem", ["UnknownIssuer", "SSL_CERT_FILE"]),
        ("plain", &plain, &admin, "authority.pem", ["is no Holdfast server", "is asked by `https`"]),
        ("revoked", &url, &gone, "authority.pem", ["was revoked", "reconcile token create"]),
    ];
    for (name, url, token, authority, texts) in cases {
        let follower = Follower::start(&project, name, url, token, authority);
        follower.complains(&texts);
        follower.stop();
    }
    // What cannot become right by waiting is refused at the start.
    let start = |token: &str, name: &str| {
        project.run(&["serve", "--follow", &url, "--token-file", token, "--name", name, "--store", ".refused"])
    };
    start("nowhere", "x").exits(1).complains("E_TOKEN_FILE");
    start(&admin, "a\nb").exits(1).complains("E_NAME").complains("control character");
    std::fs::set_permissions(&admin, std::fs::Permissions::from_mode(0o644)).unwrap();
    start(&admin, "x").exits(1).complains("E_TOKEN_FILE").complains("chmod 600");
    assert!(server.stop().success());
}
