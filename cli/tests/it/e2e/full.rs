//! A disk that fills up while a server works on it: reads go on, writes say what is wrong, and with room again the store opens with
//! everything that was acknowledged.

use std::path::PathBuf;
use std::process::Command;

use serde_json::Value;

use super::bench::{Project, Server, reconcile};
use super::wire::Place;

/// More than fits anywhere here.
const WRITES_MAX: usize = 2_000;
const VALUE_BYTES: usize = 32 << 10;

/// A value that compresses to nothing less, and of which each is another one.
fn value(number: usize) -> Vec<u8> {
    let mut state = number as u64 + 1;
    std::iter::repeat_with(|| (super::storm::random(&mut state, 95) + 32) as u8).take(VALUE_BYTES).collect()
}

/// Writes until the disk is full, and looks at what is left of the server then. Gives how many writes were acknowledged.
fn fill(project: &Project, server: Server) -> usize {
    let place = Place::socket(&project.store());
    let mut acknowledged = 0;
    let refused = loop {
        let answer = place.ask("PUT", &format!("/v1/kv/full/{acknowledged}"), &[], &value(acknowledged)).unwrap();
        if answer.status != 200 {
            break answer;
        }
        acknowledged += 1;
        assert!(acknowledged < WRITES_MAX, "the disk never was full");
    };
    let problem = refused.json();
    assert!(refused.status >= 500, "{problem}");
    assert!(problem["code"].as_str().is_some_and(|code| code.starts_with("E_")) && problem["help"] != "", "{problem}");

    // Reads go on, of everything that was acknowledged.
    let head: Value = place.ask("GET", "/v1/head", &[], b"").unwrap().json();
    assert_eq!(head["revision"], acknowledged as u64 + 1);
    for number in 0..acknowledged {
        let answer = place.ask("GET", &format!("/v1/kv/full/{number}"), &[], b"").unwrap();
        assert_eq!((answer.status, answer.body == value(number)), (200, true), "{number}");
    }
    project.run(&["session", "hotreload-test"]).exits(0).says("glm-4.6");
    assert_eq!(place.ask("POST", "/v1/agents/hotreload-test/sessions", &[], b"").unwrap().status, 201);
    // Writes go on saying why not, in every form; nothing of them is ever seen.
    for _ in 0..3 {
        let again = place.ask("PUT", "/v1/kv/small", &[], b"x").unwrap();
        assert!(again.status >= 500, "{again:?}");
    }
    assert_eq!(place.ask("GET", "/v1/kv/small", &[], b"").unwrap().status, 404);
    let (model, manifest) = ("glm-4.5", project.manifest());
    let planned = project.run(&["session", "hotreload-test", "--format", "json"]).exits(0).json();
    assert_eq!(planned["revision"], head["revision"]);
    project.run(&["status"]).exits(0).says("takes no commits");
    let metrics = String::from_utf8(place.ask("GET", "/metrics", &[], b"").unwrap().body).unwrap();
    assert!(metrics.contains("holdfast_poisoned 1\n"), "{metrics}");
    // Alive, so that nobody ends it and reads go on; not ready, so that nobody sends writes here.
    assert_eq!(place.ask("GET", "/healthz", &[], b"").unwrap().status, 200);
    let ready = place.ask("GET", "/readyz", &[], b"").unwrap();
    assert_eq!((ready.status, &ready.json()["code"]), (503, &"E_READ_ONLY".into()), "{ready:?}");
    let set = project.run(&["set", "settings/hotreload-test", "soulMd=kind"]);
    assert_eq!(set.status.code(), Some(1), "{}{}", set.out, set.err);
    assert!(set.err.contains("error") && set.err.contains("help:"), "{}", set.err);
    assert!(!manifest.contains(model) && place.ask("GET", "/v1/head", &[], b"").unwrap().json() == head);
    assert!(server.stop().success(), "it ends as calmly as ever");
    acknowledged
}

/// What stands there with room again.
fn check(project: &Project, acknowledged: usize) {
    let server = project.serve();
    let place = Place::socket(&project.store());
    for number in 0..acknowledged {
        let answer = place.ask("GET", &format!("/v1/kv/full/{number}"), &[], b"").unwrap();
        assert_eq!((answer.status, answer.body == value(number)), (200, true), "{number}");
    }
    // The write that failed is there whole or not at all.
    let last = place.ask("GET", &format!("/v1/kv/full/{acknowledged}"), &[], b"").unwrap();
    assert!(last.status == 404 || last.body == value(acknowledged), "{}", last.status);
    assert_eq!(place.ask("GET", "/readyz", &[], b"").unwrap().status, 200);
    assert_eq!(place.ask("PUT", "/v1/kv/small", &[], b"x").unwrap().status, 200);
    project.set_model("glm-4.5");
    project.run(&["--yes"]).exits(0).says("Applied as");
    assert!(server.stop().success());
    project.run(&["verify"]).exits(0).says("sound");
}

/// A file system of its own of 12 MB, where the store goes.
struct Small(PathBuf);

impl Small {
    /// None where this machine mounts nothing for us.
    fn mount(project: &Project) -> Option<Self> {
        let store = project.store();
        std::fs::create_dir_all(&store).unwrap();
        let mut mount = Command::new("mount");
        mount.args(["-t", "tmpfs", "-o", "size=12m,mode=700", "holdfast-full"]).arg(&store);
        mount.output().is_ok_and(|ran| ran.status.success()).then_some(Self(store))
    }

    fn grow(&self) {
        let ran = Command::new("mount").args(["-o", "remount,size=64m"]).arg(&self.0).output().unwrap();
        assert!(ran.status.success(), "{}", String::from_utf8_lossy(&ran.stderr));
    }
}

impl Drop for Small {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(&self.0).output();
    }
}

#[test]
fn p3_a_disk_that_is_full_stops_writes_and_nothing_else() {
    let project = Project::hotreload();
    let Some(small) = Small::mount(&project) else {
        println!("left out: no file system can be mounted here; the limit on files below does the same");
        return;
    };
    project.run(&["--yes"]).exits(0);
    let acknowledged = fill(&project, project.serve());
    println!("full after {acknowledged} writes of {VALUE_BYTES} bytes");
    small.grow();
    check(&project, acknowledged);
}

#[test]
fn p3_a_file_that_may_not_grow_stops_writes_and_nothing_else() {
    let project = Project::hotreload();
    project.run(&["--yes"]).exits(0);
    // A write beyond the limit fails; without the signal being ignored it would kill.
    let script = "trap '' XFSZ; ulimit -f 8192; exec \"$0\" serve";
    let mut command = project.command("/bin/sh".as_ref());
    command.args(["-c", script]).arg(reconcile());
    let server = Server::start(command, |line| line.contains("serving ") && line.contains("pid"));
    let acknowledged = fill(&project, server);
    println!("full after {acknowledged} writes of {VALUE_BYTES} bytes");
    check(&project, acknowledged);
}
