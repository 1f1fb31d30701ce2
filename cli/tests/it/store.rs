//! Stores that cannot be used: none, held by something that does not answer, damaged, no store at all, another key.

use holdfast_engine::{SledOptions, SledStore};

use crate::support::{CANARY, Project, TRIAGE, absent, check_run};

#[test]
fn reading_where_no_store_is_says_so_and_makes_none() {
    let project = Project::with(TRIAGE);
    let ended = check_run("cli-store@none", &project, &["status"]);
    assert_eq!(ended.code, Some(1));
    for verb in [["history"].as_slice(), &["verify"], &["session", "triage"], &["get", "a/b"], &["secret", "list"]] {
        assert_eq!(project.run(verb).code, Some(1), "{verb:?}");
    }
    assert!(absent(&project.store()));
}

#[test]
fn a_store_that_is_held_by_something_silent_is_given_up_with_its_pid() {
    let project = Project::applied();
    let _held = SledStore::open(&project.store(), SledOptions::default()).unwrap();
    let ended = project.run(&["status", "--lock-timeout", "0"]);
    assert_eq!(ended.code, Some(1));
    assert!(ended.stderr.contains(&format!("process {}", std::process::id())), "{}", ended.stderr);
    let ended = check_run("cli-store@held", &project, &["status", "--lock-timeout", "1"]);
    assert_eq!(ended.code, Some(1));
    assert!(ended.stderr.contains("waiting up to 1 s"));
}

#[test]
fn a_folder_that_is_no_store_is_left_alone() {
    let project = Project::with(TRIAGE);
    let before = project.files();
    let ended = check_run("cli-store@foreign", &project, &["--dry-run", "--store", "."]);
    assert_eq!(ended.code, Some(1));
    for verb in [["status"].as_slice(), &["--yes"], &["serve"], &["watch"]] {
        let ended = project.run(&[verb, &["--store", "lobu.toml"]].concat());
        assert_eq!(ended.code, Some(1));
        assert!(ended.stderr.contains("E_NOT_A_STORE"), "{verb:?}: {}", ended.stderr);
    }
    assert_eq!(project.files(), before);
}

/// The checksum of the store's pieces (CRC-32, IEEE).
fn crc32(bytes: &[u8]) -> u32 {
    let step = |sum: u32, byte: &u8| {
        (0..8).fold(sum ^ u32::from(*byte), |sum, _| if sum & 1 == 1 { (sum >> 1) ^ 0xedb8_8320 } else { sum >> 1 })
    };
    !bytes.iter().fold(u32::MAX, step)
}

#[test]
fn p10_a_store_of_a_later_format_is_refused_by_every_verb_with_what_to_run_and_left_as_it_is() {
    let project = Project::applied();
    {
        // As `docs/format.md` draws it: the meta record under the key 0x00 is a version, a checksum over key and payload, and a
        // payload that begins with the format.
        let db = sled::open(project.store()).unwrap();
        let meta = db.get([0]).unwrap().unwrap();
        let mut payload = meta[5..].to_vec();
        assert_eq!(payload[0], 1, "the format of today");
        payload[0] = 2;
        let sum = crc32(&[&[0], payload.as_slice()].concat()).to_le_bytes();
        db.insert([0], [&meta[..1], &sum, &payload].concat()).unwrap();
        db.flush().unwrap();
    }
    let witness = std::fs::read(project.store().join("witness")).unwrap();
    for verb in
        [&["status"][..], &["verify"], &["repair"], &["backup", "saved"], &["--dry-run"], &["export"], &["serve"]]
    {
        let ended = project.run(verb);
        assert_eq!(ended.code, Some(1), "{verb:?}: {}", ended.stdout);
        for part in ["E_STORE_FORMAT", "format 2", "reads up to 1", "a newer `reconcile`"] {
            assert!(ended.stderr.contains(part), "{verb:?}: {}", ended.stderr);
        }
    }
    assert_eq!(std::fs::read(project.store().join("witness")).unwrap(), witness);
    assert!(absent(&project.path().join("saved")) && absent(&project.store().join("aside-1")));
}

#[test]
fn a_damaged_store_is_an_error_and_no_panic() {
    let project = Project::applied();
    let db = project.store().join("db");
    let bytes = std::fs::read(&db).unwrap();
    std::fs::write(&db, vec![0x5a; bytes.len()]).unwrap();
    let ended = project.run(&["status"]);
    assert_eq!(ended.code, Some(1), "{}", ended.stderr);
    assert!(ended.stderr.starts_with("error[E_STORE"), "{}", ended.stderr);
    assert!(!ended.stderr.contains("panicked"), "{}", ended.stderr);
}

#[test]
fn another_master_key_is_told_and_nothing_is_overwritten() {
    let project = Project::applied();
    std::fs::remove_file(project.home().join(".config/holdfast/master.key")).unwrap();
    let other = Project::applied();
    let path = project.home().join(".config/holdfast/master.key");
    std::fs::copy(other.home().join(".config/holdfast/master.key"), &path).unwrap();
    let ended = project.run_with(&["--yes"], &[("Z_KEY", CANARY)], "");
    assert_eq!(ended.code, Some(1), "{}", ended.stdout);
    assert!(ended.stderr.contains("E_MASTER_KEY"), "{}", ended.stderr);
    assert_eq!(project.run(&["history"]).stdout.lines().count(), 1);
}

#[test]
fn without_a_home_the_error_says_where_the_key_could_be() {
    let project = Project::with(TRIAGE);
    let mut command = project.command(&["--yes"]);
    let ended = project.ended(command.env_remove("HOME").env("Z_KEY", CANARY).output().unwrap());
    assert_eq!(ended.code, Some(1));
    assert!(ended.stderr.contains("HOME") && ended.stderr.contains("HOLDFAST_KEY_FILE"), "{}", ended.stderr);
}
