//! What keeps a store: `backup`, `restore`, `verify`, `repair`, `compact` and the policy of `serve`; embedded and through a
//! server, with wrong files, and killed.

use std::fs;
use std::path::Path;
use std::process::Stdio;
use std::time::{Duration, Instant};

use serde_json::json;

use super::bench::{PATIENCE, Project, Server, reconcile};
use super::history::both_ways;

/// Applies as r1 to r`count`, each with another model.
fn grown(count: usize) -> Project {
    let project = Project::hotreload();
    for number in 1..=count {
        project.set_model(&format!("model-{number}"));
        project.run(&["--yes"]).exits(0);
    }
    project
}

#[test]
fn p3_a_backup_is_the_same_both_ways_and_becomes_a_store_in_a_new_epoch_that_opens_its_secrets() {
    let project = grown(3);
    let ran = both_ways(
        &project,
        &[
            &["backup", "saved", "--overwrite"],
            &["backup", "saved"],
            &["backup", "nowhere/saved"],
            &["backup", "saved", "--overwrite", "--format", "json"],
        ],
    );
    let [made, again, nowhere, told] = ran.try_into().unwrap();
    made.exits(0).says("Backed up r3 to saved").says("6 keys").complains("the master key is not in it");
    again.exits(1).complains("E_BACKUP").complains("--overwrite");
    nowhere.exits(1).complains("E_BACKUP").complains("No such file");
    let told = told.exits(0).json();
    assert_eq!((&told["revision"], &told["epoch"], &told["keys"]), (&json!(3), &json!(1), &json!(6)));
    let saved = project.path().join("saved");
    assert_eq!(fs::metadata(&saved).unwrap().len(), told["bytes"].as_u64().unwrap());
    let names = |folder: &Path| -> Vec<String> {
        fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
    };
    assert!(!names(&project.path()).iter().any(|name| name.contains("partial")), "nothing unfinished is left");

    // It is refused over a store, and kept aside when told.
    project.set_model("later");
    project.run(&["--yes"]).exits(0);
    project.run(&["restore", "saved"]).exits(1).complains("E_STORE_EXISTS").complains("--replace");
    let restored = project.run(&["restore", "saved", "--replace", "--format", "json"]).exits(0).json();
    assert_eq!((&restored["epoch"], &restored["store"]), (&json!(2), &told["store"]));
    assert!(restored["revision"].as_u64().unwrap() > 1_000_000_000, "no cache can take it for what was there");
    let aside = restored["kept_aside"].as_str().unwrap();
    assert!(Path::new(aside).join("db").exists(), "{aside}");
    let session = project.run(&["session", "hotreload-test", "--format", "json"]).exits(0).json();
    assert_eq!(session["model"]["id"], json!("model-3"), "the state of the backup");
    assert_eq!(session["credentials"][0]["source"], json!("org-secret"), "its secrets open");
    project.run(&["verify"]).exits(0).says("sound");
    project.run(&["restore", "saved", "--store", "elsewhere"]).exits(0).says("epoch 2");
    project.run(&["status", "--store", "elsewhere"]).exits(0).says("epoch 2");
}

#[test]
fn a_file_that_is_no_whole_backup_changes_nothing() {
    let project = grown(2);
    project.run(&["backup", "saved"]).exits(0);
    let whole = fs::read(project.path().join("saved")).unwrap();
    let head = |project: &Project| project.run(&["status", "--format", "json"]).exits(0).json()["head"].clone();
    let before = head(&project);
    let mut flipped = whole.clone();
    flipped[whole.len() / 2] ^= 1;
    let longer = [whole.as_slice(), b"x"].concat();
    let mut cases =
        vec![(Vec::new(), "no backup"), (b"not a backup at all".to_vec(), "no backup"), (flipped, "damaged")];
    cases.extend((1..8).map(|part| (whole[..whole.len() * part / 8].to_vec(), "damaged")));
    for (bytes, why) in cases {
        fs::write(project.path().join("wrong"), &bytes).unwrap();
        project.run(&["restore", "wrong", "--replace"]).exits(1).complains(why).complains("help: ");
        project.run(&["restore", "wrong", "--store", "new"]).exits(1);
    }
    project.run(&["restore", "missing", "--replace"]).exits(1).complains("E_RESTORE").complains("missing");
    project.run(&["restore", "agents", "--replace"]).exits(1);
    assert_eq!(head(&project), before);
    assert!(!project.path().join("new").exists() || fs::read_dir(project.path().join("new")).unwrap().count() == 0);
    // Bytes behind the last frame are no part of it.
    fs::write(project.path().join("longer"), longer).unwrap();
    project.run(&["restore", "longer", "--store", "new"]).exits(0);
}

#[test]
fn restore_and_repair_need_the_store_free_and_say_what_to_do() {
    let project = grown(1);
    project.run(&["backup", "saved"]).exits(0);
    let server = project.serve();
    let stop = format!("kill {}", server.pid());
    project.run(&["restore", "saved", "--replace"]).exits(1).complains("E_SERVED").complains(&stop);
    project.run(&["repair"]).exits(1).complains("E_SERVED").complains(&stop);
    project.run(&["verify"]).exits(0).says("sound");
    assert!(server.stop().success());
    project.run(&["repair"]).exits(0).says("nothing to repair");
    let held = holdfast_engine::SledStore::open(&project.store(), holdfast_engine::SledOptions::default()).unwrap();
    for verb in [&["repair"][..], &["restore", "saved", "--replace"], &["backup", "other"]] {
        let arguments = [verb, &["--lock-timeout", "0"]].concat();
        project.run(&arguments).exits(1).complains(&format!("process {}", std::process::id()));
    }
    drop(held);
    project.run(&["restore", "saved", "--replace"]).exits(0);
}

#[test]
fn p10_a_store_that_lost_its_end_is_verified_without_being_opened_kept_aside_and_restored() {
    let project = Project::hotreload();
    let server = project.serve();
    for number in 1..6 {
        project.set_model(&format!("model-{number}"));
        project.run(&["--yes"]).exits(0);
        if number == 2 {
            project.run(&["backup", "saved"]).exits(0);
        }
    }
    server.kill();
    // A disk that lost the last pages that it had promised to keep.
    let db = project.store().join("db");
    let mut bytes = fs::read(&db).unwrap();
    bytes.truncate(bytes.iter().rposition(|byte| *byte != 0).unwrap());
    bytes.truncate(bytes.len() * 4 / 5);
    fs::write(&db, &bytes).unwrap();
    project.run(&["status"]).exits(1).complains("E_STORE_DAMAGED").complains("reconcile verify");
    let found = project.run(&["verify"]).exits(1).says("damaged").says("r5 was acknowledged");
    found.complains("reconcile repair");
    let found = project.run(&["verify", "--format", "json"]).exits(1).json();
    assert_eq!(found["findings"][0]["revision"], json!(5), "{found}");
    let bytes = fs::read(&db).unwrap();
    let repaired = project.run(&["repair", "--format", "json"]).exits(1).complains("reconcile restore");
    let aside = repaired.json()["kept_aside"].as_str().unwrap().to_owned();
    assert!(fs::read(Path::new(&aside).join("db")).unwrap() == bytes, "the files are kept as they were");
    project.run(&["restore", "saved", "--replace"]).exits(0).says("are kept in");
    project.run(&["verify"]).exits(0).says("sound");
    // Files of which nothing can be read are said to be that.
    fs::write(&db, vec![0x5a; 4096]).unwrap();
    for verb in ["verify", "repair"] {
        let ran =
            project.run(&[verb]).exits(1).complains("E_STORE_DAMAGED").complains("reconcile restore FILE --replace");
        assert!(!ran.err.contains("panicked"), "{}", ran.err);
    }
    project.run(&["restore", "saved", "--replace"]).exits(0);
    project.run(&["session", "hotreload-test"]).exits(0).says("model-2");
}

/// Compacts; gives what each step printed, without the bytes on the disk.
fn compacted(server: bool) -> Vec<String> {
    let project = grown(6);
    let _server = server.then(|| project.serve());
    let mut said = Vec::new();
    let mut tell = |out: String| said.push(out.lines().next().unwrap_or_default().to_owned());
    tell(project.run(&["compact", "--keep", "2", "--dry-run"]).exits(0).says("Would give up 4 commits").out);
    tell(project.run(&["compact", "--keep", "2"]).exits(1).complains("E_NOT_CONFIRMED").complains("--yes").out);
    tell(project.run(&["compact", "--older-than", "1d", "--yes"]).exits(0).says("Nothing to give up").out);
    project.run(&["diff", "r1", "r6"]).exits(0);
    tell(project.run(&["compact", "--before", "r3", "--yes"]).exits(0).says("is r3").out);
    project.run(&["diff", "r2", "r6"]).exits(1).complains("E_COMPACTED").complains("r3");
    project.run(&["diff", "r3", "r6"]).exits(0);
    project.run(&["diff", "2001-01-01T00:00:00Z", "r6"]).exits(1).complains("E_COMPACTED");
    tell(project.run(&["compact", "--keep", "2", "--yes"]).exits(0).says("Gave up 1 commit ").out);
    let status = project.run(&["status", "--format", "json"]).exits(0).json();
    assert_eq!((&status["storage"]["compacted"], &status["storage"]["retention"]), (&json!(4), &json!(null)));
    assert!(status["storage"]["bytes"].as_u64().unwrap() > 0);
    project.run(&["status"]).exits(0).says("since r4");
    assert_eq!(project.run(&["history", "--format", "json"]).exits(0).json()["commits"].as_array().unwrap().len(), 2);
    project.run(&["session", "hotreload-test"]).exits(0).says("model-6");
    project.run(&["verify"]).exits(0).says("sound");
    project.run(&["compact", "--before", "r99", "--yes"]).exits(1).complains("E_FUTURE");
    for wrong in [
        &["compact", "--yes"][..],
        &["compact", "--keep", "1", "--older-than", "1d"],
        &["compact", "--older-than", "soon"],
    ] {
        project.run(wrong).exits(64);
    }
    said
}

#[test]
fn history_is_given_up_only_by_a_rule_and_a_yes_with_the_same_words_both_ways() {
    assert_eq!(compacted(true), compacted(false));
}

#[test]
fn a_server_gives_up_history_only_by_its_policy_and_says_so() {
    let project = grown(5);
    let server = project.serve();
    let metrics = project.http("GET", "/metrics", "");
    assert!(
        metrics.contains("\nholdfast_compacted_revision 0\n") && metrics.contains("holdfast_store_bytes "),
        "{metrics}"
    );
    project.run(&["status"]).exits(0).says("all of it");
    assert!(server.stop().success(), "without a rule nothing is given up");

    let serve = |flags: &[&str]| {
        let mut command = project.command(&reconcile());
        command.arg("serve").args(flags);
        Server::start(command, |line| line.contains("serving ") && line.contains("pid"))
    };
    let server = serve(&["--keep", "2", "--keep-for", "30d"]);
    project
        .run(&["status"])
        .exits(0)
        .says("all of it; the server keeps the newest 2 commits and those of the last 30 days");
    assert!(server.stop().success(), "what one of the rules keeps is kept");

    let server = serve(&["--keep", "2", "--compact-every", "1s"]);
    let compacted = |wanted: u64| {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let status = project.run(&["status", "--format", "json"]).exits(0).json();
            if status["storage"]["compacted"] == json!(wanted) {
                return;
            }
            assert!(Instant::now() < deadline, "{status}");
            std::thread::sleep(Duration::from_millis(100));
        }
    };
    compacted(3);
    project.set_model("again");
    project.run(&["--yes"]).exits(0);
    compacted(4);
    assert!(server.stop().success());
    project.run(&["serve", "--compact-every", "0s"]).exits(64);
}

#[test]
fn p2_killed_at_any_instant_backup_restore_repair_and_compact_leave_a_whole_store_and_no_half_file() {
    let project = grown(4);
    let server = project.serve();
    let large = "x".repeat(1 << 20);
    for number in 0..8 {
        project.http("PUT", &format!("/v1/kv/large/{number}"), &large);
    }
    assert!(server.stop().success());
    project.run(&["backup", "good"]).exits(0);
    let good = fs::read(project.path().join("good")).unwrap();
    let mut finished = 0;
    for round in 0..24 {
        let arguments: &[&str] = match round % 4 {
            0 => &["backup", "saved", "--overwrite"],
            1 => &["restore", "good", "--replace"],
            2 => &["compact", "--keep", "1", "--yes"],
            _ => &["repair"],
        };
        let mut child = project.command(&reconcile());
        let mut child = child.args(arguments).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        std::thread::sleep(Duration::from_millis(7 * (round / 4) * (round / 4) + 3 * round));
        let _ = child.kill();
        finished += u64::from(child.wait().unwrap().success());
        if let Ok(saved) = fs::read(project.path().join("saved")) {
            fs::write(project.path().join("copy"), saved).unwrap();
            let _ = fs::remove_dir_all(project.path().join("checked"));
            project.run(&["restore", "copy", "--store", "checked"]).exits(0);
        }
        project.run(&["verify"]).exits(0).says("sound");
        project.run(&["session", "hotreload-test"]).exits(0).says("model-4");
        project.run(&["get", "kv/large/7"]).exits(0);
    }
    println!("24 kills, {finished} of the commands had finished before");
    assert_eq!(fs::read(project.path().join("good")).unwrap(), good);
}
