//! A server on the network with the real binary: tokens, TLS, and the same bytes as beside the store.

use std::fs::Permissions;
use std::io::{BufRead as _, BufReader, Read as _};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStderr};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

use crate::support::{CANARY, Project, TRIAGE};

fn pem(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../testdata/tls").join(name)
}

struct Listening {
    child: Child,
    log: BufReader<ChildStderr>,
    /// What it said before it listened.
    begun: String,
    url: String,
}

impl Listening {
    fn start(project: &Project) -> Self {
        Self::start_with(project, &pem("server.pem"), &pem("server.key"))
    }

    fn start_with(project: &Project, certificate: &Path, key: &Path) -> Self {
        let flags = ["--tls-cert", certificate.to_str().unwrap(), "--tls-key", key.to_str().unwrap()];
        let arguments = [&["serve", "--listen", "127.0.0.1:0"], flags.as_slice()].concat();
        let mut child = project.command(&arguments).spawn().unwrap();
        let mut log = BufReader::new(child.stderr.take().unwrap());
        let (mut begun, mut line) = (String::new(), String::new());
        while !line.starts_with("listening on ") {
            begun.push_str(&line);
            line.clear();
            assert_ne!(log.read_line(&mut line).unwrap(), 0, "the server ended before it listened");
        }
        let url = line["listening on ".len()..].split(',').next().unwrap().to_owned();
        Self { child, log, begun, url }
    }

    fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.child), signal).unwrap();
    }

    fn stop(mut self) -> String {
        self.signal(Signal::TERM);
        let mut log = std::mem::take(&mut self.begun);
        self.log.read_to_string(&mut log).unwrap();
        assert_eq!(self.child.wait().unwrap().code(), Some(0), "{log}");
        log
    }
}

/// The token that `token create` printed, alone on its line.
fn token(project: &Project, arguments: &[&str]) -> String {
    let made = project.run(&[&["token", "create"], arguments].concat());
    assert_eq!((made.code, made.stdout.lines().count()), (Some(0), 1), "{}", made.stderr);
    let token = made.stdout.trim_end().to_owned();
    assert!(token.starts_with("hft_") && !made.stderr.contains(&token), "{}", made.stderr);
    token
}

#[test]
fn p4_a_command_elsewhere_says_what_it_says_beside_the_store() {
    let (here, there) = (Project::with(TRIAGE), Project::with(TRIAGE));
    assert_eq!(here.run_with(&["--yes"], &[("Z_KEY", CANARY)], "").code, Some(0));
    let apply = token(&here, &["ci", "--role", "apply"]);
    let read = token(&here, &["reader", "--role", "read", "--for", "acme", "--for", "beta"]);
    let server = Listening::start(&here);
    let authority = pem("authority.pem");
    let remote = |arguments: &[&str], token: &str| {
        let all = [&["--server", server.url.as_str()], arguments].concat();
        let variables = [("HOLDFAST_TOKEN", token), ("SSL_CERT_FILE", authority.to_str().unwrap()), ("Z_KEY", CANARY)];
        there.run_with(&all, &variables, "")
    };
    for project in [&here, &there] {
        project.edit("glm-4.6", "glm-4.5");
    }
    let reads: [&[&str]; 5] =
        [&["--dry-run"], &["status"], &["history"], &["session", "triage"], &["get", "settings/triage"]];
    for arguments in reads {
        let (beside, elsewhere) = (here.run_with(arguments, &[("Z_KEY", CANARY)], ""), remote(arguments, &apply));
        assert_eq!((beside.code, &beside.stdout), (elsewhere.code, &elsewhere.stdout), "{arguments:?}");
        assert_eq!(beside.code, Some(0), "{}", beside.stderr);
    }
    let applied = remote(&["--yes", "--author", "maria"], &apply);
    assert_eq!(applied.code, Some(0), "{}", applied.stderr);
    assert!(here.run(&["history"]).stdout.lines().next().unwrap().contains("token:ci/maria"));
    assert!(here.run(&["session", "triage"]).stdout.contains("glm-4.5"), "applied means effective");
    assert!(!there.store().exists(), "nothing was made where the command ran");

    let refused = |ended: crate::support::Ended, code: &str, exit: i32| {
        assert_eq!(ended.code, Some(exit), "{}", ended.stderr);
        assert!(ended.stderr.contains(code) && ended.stderr.contains("help:"), "{}", ended.stderr);
        assert!(!ended.stderr.contains("hft_") || ended.stderr.contains("hft_.."), "{}", ended.stderr);
    };
    refused(remote(&["--org", "default", "--yes"], &read), "E_FOREIGN_ORG", 1);
    refused(remote(&["--org", "acme", "--yes"], &read), "E_ROLE", 1);
    refused(remote(&["status"], &read), "E_ORG", 1);
    refused(remote(&["token", "list"], &apply), "E_ROLE", 1);
    refused(remote(&["status"], ""), "E_NO_ACCESS_TOKEN", 1);
    refused(remote(&["restore", "x"], &apply), "E_USAGE", 64);
    refused(there.run_with(&["--server", &server.url, "status"], &[("HOLDFAST_TOKEN", &apply)], ""), "E_CONNECT", 1);
    refused(there.run(&["--server", "http://192.0.2.1:1", "status"]), "E_INSECURE", 1);
    let mistaken = there.run(&["--server", &server.url.replace("https", "http"), "status"]);
    assert!(mistaken.stderr.contains("`https`"), "{}", mistaken.stderr);
    refused(mistaken, "E_FOREIGN_SERVER", 1);
    there.write("empty.token", "\n");
    std::fs::set_permissions(there.path().join("empty.token"), Permissions::from_mode(0o600)).unwrap();
    refused(remote(&["--token-file", "empty.token", "status"], &apply), "E_TOKEN_FILE", 1);
    refused(there.run(&["serve", "--listen", "0.0.0.0:0"]), "E_USAGE", 64);

    assert_eq!(here.run(&["token", "revoke", "ci"]).code, Some(0));
    refused(remote(&["status"], &apply), "E_ACCESS_TOKEN", 1);
    let listed = here.run(&["token", "list"]).stdout;
    assert!(listed.contains("reader") && !listed.contains("ci ") && !listed.contains("hft_"), "{listed}");
    let log = server.stop();
    assert!(log.contains("token:ci"), "the log says who asked: {log}");
    assert!([&apply, &read].iter().all(|token| !log.contains(token.as_str())) && !log.contains(CANARY), "{log}");
}

#[test]
fn a_renewed_certificate_is_taken_over_without_a_restart() {
    let project = Project::with(TRIAGE);
    assert_eq!(project.run_with(&["--yes"], &[("Z_KEY", CANARY)], "").code, Some(0));
    let token = token(&project, &["reader", "--role", "read"]);
    let (certificate, key) = (project.path().join("tls.pem"), project.path().join("tls.key"));
    let install = |name: &str, to: &Path| std::fs::copy(pem(name), to).unwrap();
    install("server.pem", &certificate);
    install("server.key", &key);
    let server = Listening::start_with(&project, &certificate, &key);
    let trusting = |authority: &str| {
        let authority = pem(authority);
        let variables = [("HOLDFAST_TOKEN", token.as_str()), ("SSL_CERT_FILE", authority.to_str().unwrap())];
        project.run_with(&["--server", &server.url, "status"], &variables, "").code == Some(0)
    };
    assert!(trusting("authority.pem") && !trusting("renewed.pem"));

    // Half of a renewal: what is in use stays.
    install("renewed.pem", &certificate);
    server.signal(Signal::HUP);
    assert!(trusting("authority.pem"));
    install("renewed.key", &key);
    server.signal(Signal::HUP);
    let deadline = Instant::now() + Duration::from_secs(30);
    while !trusting("renewed.pem") {
        assert!(Instant::now() < deadline, "the renewed certificate was never shown");
    }
    assert!(!trusting("authority.pem"));
    let log = server.stop();
    assert!(log.contains("took over a renewed certificate"), "{log}");
}

#[test]
fn a_certificate_at_the_wrong_time_is_told_with_its_date_by_the_server_and_by_who_asks_it() {
    let project = Project::with(TRIAGE);
    assert_eq!(project.run_with(&["--yes"], &[("Z_KEY", CANARY)], "").code, Some(0));
    let token = token(&project, &["reader", "--role", "read"]);
    for (name, when) in [
        ("expired.pem", "the certificate expired at 2020-01-31T00:00:00.000Z"),
        ("early.pem", "the certificate counts only from 2090-01-01T00:00:00.000Z on"),
    ] {
        let server = Listening::start_with(&project, &pem(name), &pem("renewed.key"));
        let authority = pem(name);
        let variables = [("HOLDFAST_TOKEN", token.as_str()), ("SSL_CERT_FILE", authority.to_str().unwrap())];
        let asked = project.run_with(&["--server", &server.url, "status"], &variables, "");
        assert_eq!(asked.code, Some(1));
        for part in ["E_CONNECT", when, "by the clock of this machine", "help: check this machine's clock"] {
            assert!(asked.stderr.contains(part), "{part}: {}", asked.stderr);
        }
        assert!(!asked.stderr.contains("UNIX"), "{}", asked.stderr);
        let log = server.stop();
        assert!(log.contains("clients will refuse the certificate") && log.contains(when), "{log}");
    }
}

#[test]
fn a_token_file_that_is_no_regular_one_is_refused_before_it_is_opened() {
    let project = Project::with(TRIAGE);
    let pipe = project.path().join("pipe");
    assert!(std::process::Command::new("mkfifo").arg(&pipe).status().unwrap().success());
    for path in [project.path(), pipe] {
        let path = path.to_str().unwrap();
        let refused = project.run(&["--server", "http://127.0.0.1:9", "--token-file", path, "status"]);
        assert_eq!(refused.code, Some(1), "{}", refused.stderr);
        for part in ["E_TOKEN_FILE", "is no regular file", "HOLDFAST_TOKEN"] {
            assert!(refused.stderr.contains(part), "{part}: {}", refused.stderr);
        }
        assert!(!refused.stderr.contains("chmod"), "{}", refused.stderr);
    }
}
