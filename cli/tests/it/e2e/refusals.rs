//! What must be refused, with a clear error and the right exit code, and without harm.

use super::bench::Project;

#[test]
fn p6_a_broken_manifest_is_refused_at_its_place_and_the_last_good_revision_stays() {
    let project = Project::hotreload();
    project.run(&["--yes"]).exits(0);
    let good = project.manifest();
    for (broken, code) in [
        (format!("{good}\n[agents.x\n"), "E_TOML"),
        (good.replace("model =", "modle ="), "E_UNKNOWN_KEY"),
        (good.replace("hotreload-test]", "Hot_Reload]"), "error["),
        (good.replace("\"z-ai\"", "\"z-\\u0007ai\""), "error["),
    ] {
        project.write_manifest(&broken);
        for arguments in [&["--dry-run"][..], &["--yes"], &["check"]] {
            let ran = project.run(arguments).exits(1).complains(code).complains("lobu.toml:");
            assert!(!ran.err.contains('\u{7}') && !ran.err.contains("panicked"), "{}", ran.err);
        }
    }
    assert_eq!(project.run(&["session", "hotreload-test", "--format", "json"]).exits(0).json()["revision"], 1);
}

#[test]
fn a_directory_without_a_manifest_and_a_word_that_is_no_verb_say_what_to_do() {
    let project = Project::hotreload();
    std::fs::remove_file(project.path().join("lobu.toml")).unwrap();
    project.run(&["--dry-run"]).exits(1).complains("reconcile init");
    project.run(&["sesion", "x"]).exits(64).complains("session");
    project.run(&["--no-such-flag"]).exits(64);
    project.run(&["session"]).exits(64);
}

#[test]
fn a_stale_socket_of_a_killed_server_is_no_obstacle() {
    let project = Project::hotreload();
    let server = project.serve();
    project.run(&["--yes"]).exits(0);
    server.kill();
    assert!(project.store().join("server.sock").exists(), "a killed server leaves its socket");
    project.run(&["session", "hotreload-test"]).exits(0).says("glm-4.6");
    let again = project.serve();
    project.run(&["status"]).exits(0).says(&again.pid().to_string());
}

#[test]
fn a_store_that_is_held_by_something_that_does_not_answer_is_named_with_its_pid() {
    let project = Project::hotreload();
    let server = project.serve();
    std::fs::remove_file(project.store().join("server.sock")).unwrap();
    let pid = server.pid().to_string();
    project.run(&["status", "--lock-timeout", "0"]).exits(1).complains(&pid).complains("help:");
}

#[test]
fn a_second_server_on_one_store_is_refused() {
    let project = Project::hotreload();
    let server = project.serve();
    let pid = server.pid().to_string();
    project.run(&["serve", "--lock-timeout", "0"]).exits(1).complains(&pid);
}

#[test]
fn a_damaged_store_and_one_that_is_none_are_told_and_nothing_panics() {
    let project = Project::hotreload();
    project.run(&["--yes"]).exits(0);
    let db = project.store().join("db");
    let db = if db.exists() { db } else { project.store().join("data/db") };
    let bytes = std::fs::read(&db).unwrap();
    for damage in [
        |bytes: &mut Vec<u8>| bytes.iter_mut().for_each(|byte| *byte ^= 0x5a),
        |bytes: &mut Vec<u8>| bytes.iter_mut().skip(64).take(4096).for_each(|byte| *byte = 0xff),
    ] {
        let mut damaged = bytes.clone();
        damage(&mut damaged);
        std::fs::write(&db, damaged).unwrap();
        let ran = project.run(&["status"]);
        assert!(!ran.err.contains("panicked"), "{}", ran.err);
        if ran.status.code() != Some(0) {
            ran.exits(1).complains("help:");
        }
    }
}

#[test]
fn p8_a_wrong_master_key_is_named_and_nothing_is_taken_for_changed() {
    let mut project = Project::hotreload();
    project.run(&["--yes"]).exits(0);
    project.set("HOLDFAST_KEY", &"ab".repeat(32));
    project.run(&["--dry-run"]).exits(1).complains("master key").complains("secret/provider:z-ai:apiKey");
    project.unset("Z_AI_API_KEY");
    project.run(&["session", "hotreload-test"]).exits(1).complains("cannot be opened").complains("sealed under key");
    project.set("HOLDFAST_KEY", "not a key");
    let ran = project.run(&["session", "hotreload-test"]).exits(1).complains("master key");
    assert!(!ran.err.contains("not a key"));
}

#[test]
fn a_manifest_of_fifty_megabytes_is_read_or_refused_in_bounded_time() {
    let project = Project::hotreload();
    let filler = format!("# {}\n", "x".repeat(1022)).repeat(50 * 1024);
    project.write_manifest(&format!("{}{filler}", project.manifest()));
    let ran = project.run(&["check"]);
    assert!(matches!(ran.status.code(), Some(0 | 1)) && !ran.err.contains("panicked"), "{}", &ran.err[..200]);
}
