//! The general side of sessions: the example with feature flags, run as it is, and what its words promise.

use std::path::PathBuf;
use std::process::Command;

/// The example that cargo builds when it tests this package.
fn example() -> PathBuf {
    let test = std::env::current_exe().unwrap();
    let path = test.parent().and_then(|deps| deps.parent()).unwrap().join("examples/flags");
    assert!(path.exists(), "{} is not there; test the whole package, or build the example", path.display());
    path
}

#[test]
fn p4_consumers_of_ones_own_kind_have_sessions_that_know_whether_they_are_current() {
    let ran = Command::new(example()).args(["maria", "tom"]).env_clear().output().unwrap();
    assert!(ran.status.success() && ran.stderr.is_empty(), "{}", String::from_utf8_lossy(&ran.stderr));
    let said = String::from_utf8(ran.stdout).unwrap();
    let lines: Vec<&str> = said.lines().collect();
    let expected = [
        "maria at r1: dark-mode, new-ui (current)",
        "tom at r1: dark-mode (current)",
        "maria at r1: dark-mode, new-ui (current)",
        "tom at r1: dark-mode (current)",
        "new-ui goes to all in r3",
        "maria at r1: dark-mode, new-ui (outdated)",
        "maria at r3: dark-mode, new-ui (current)",
        "tom at r1: dark-mode (outdated)",
        "tom at r3: dark-mode, new-ui (current)",
    ];
    assert_eq!(lines, expected);
}
