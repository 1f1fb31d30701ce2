//! What reads the past: `diff`, `history`, `show` and `get` at a revision or a time, of resources and raw values; embedded and
//! through a server with the same bytes.

use serde_json::json;

use super::bench::{Project, Ran};

/// Two applies, a raw value written twice, and one removed, as r1 to r5.
fn grown() -> Project {
    let project = Project::hotreload();
    project.run(&["--yes"]).exits(0);
    project.set_model("glm-4.5");
    project.run(&["--yes", "--message", "new model"]).exits(0);
    let server = project.serve();
    for (method, value) in [("PUT", "one"), ("PUT", "two"), ("DELETE", "")] {
        let key = if method == "DELETE" { "/v1/kv/a/b" } else { "/v1/kv/a/c" };
        let key = if value == "one" { "/v1/kv/a/b" } else { key };
        project.http(method, key, value);
    }
    project.http("PUT", "/v1/kv/a/c", "three");
    assert!(server.stop().success());
    project
}

/// Runs commands that change nothing, embedded and then through a server; gives what they did, which must be the same.
pub(super) fn both_ways(project: &Project, commands: &[&[&str]]) -> Vec<Ran> {
    let run = || -> Vec<Ran> { commands.iter().map(|arguments| project.run(arguments)).collect() };
    let embedded = run();
    let server = project.serve();
    let served = run();
    drop(server);
    for ((arguments, here), there) in commands.iter().zip(&embedded).zip(&served) {
        assert_eq!((&here.out, &here.err, here.status), (&there.out, &there.err, there.status), "{arguments:?}");
    }
    served
}

#[test]
fn p9_what_differs_between_revisions_and_times_is_told_with_the_same_bytes_both_ways() {
    let project = grown();
    let history = project.run(&["history", "--format", "json"]).exits(0).json();
    let commits = history["commits"].as_array().unwrap();
    assert_eq!(commits.len(), 6, "{history}");
    let time = |revision: usize| commits[6 - revision]["time"].as_str().unwrap().to_owned();
    let (first, second) = (time(1), time(2));
    let ran = both_ways(
        &project,
        &[
            &["diff", "r1", "r2"],
            &["diff", "r2", "r1", "--format", "json"],
            &["diff", "r0", "r6", "--full"],
            &["diff", &first, &second],
            &["diff", "r0", "r6", "settings/"],
            &["diff", "r2", "r3", "kv/a/b"],
            &["diff", "r2", "r2", "--exit-code"],
            &["diff", "r1", "r2", "--exit-code"],
            &["diff", "r1", "r9"],
            &["diff", "r1", "2999-01-01T00:00:00Z"],
            &["diff", "r1", "x"],
            &["diff", "r1", "r2", "SETTINGS/x"],
        ],
    );
    let [update, back, all, times, settings, raw, same, differs, future, later, word, address] =
        ran.try_into().unwrap();
    let update = update.exits(0).says("Diff r1 -> r2").says("  ~ settings hotreload-test (providerModelPreferences)");
    let update = update.says("      providerModelPreferences.z-ai: \"glm-4.6\" -> \"glm-4.5\"\n");
    let update = update.says("Summary: 0 create, 1 update, 0 delete");
    assert_eq!(times.exits(0).out, update.out, "times name the same revisions");
    let back = back.exits(0).json();
    assert_eq!(back["resources"][0]["fields"][0]["before"], json!("glm-4.5"));
    assert_eq!(back["resources"][0]["modified"], json!({"before": 2, "after": 1}));
    let all = all.exits(0).says("  + secret provider:z-ai:apiKey").says("value: (secret ").says("  + kv a/c");
    assert!(!all.out.contains("canary") && !all.out.contains("kv a/b"), "{}", all.out);
    assert!(all.out.contains("\n  agents:\n") && all.out.contains("\n  kv:\n"), "{}", all.out);
    assert!(!settings.exits(0).says("settings:").out.contains("agents:"));
    raw.exits(0).says("  + kv a/b").says("\"one\"");
    same.exits(0).says("Summary: 0 create, 0 update, 0 delete");
    differs.exits(2);
    future.exits(1).complains("r9 does not exist yet, the head is r6");
    later.exits(1).complains("has not come yet");
    word.exits(64).complains("neither a revision");
    address.exits(64).complains("help: ");
}

#[test]
fn p9_the_life_of_a_key_a_prefix_and_a_commit_is_told_with_the_same_bytes_both_ways() {
    let project = grown();
    let json = "--format=json";
    let ran = both_ways(
        &project,
        &[
            &["history", "kv/a/c"],
            &["history", "kv/", json],
            &["history", "settings/hotreload-test", json],
            &["history", "agent"],
            &["history", "--limit", "0"],
            &["history", "--limit", "1"],
            &["show", "r4"],
            &["show", "r9"],
            &["get", "kv/a/c"],
            &["get", "kv/a/c", "--at", "r4", json],
            &["get", "kv/a/b"],
            &["get", "settings/hotreload-test", "--at", "r1"],
            &["get", "settings/hotreload-test", "--at", "2001-01-01T00:00:00Z"],
            &["get", "settings/hotreload-test", "--at", "noon"],
            &["status", "--at", "r1"],
        ],
    );
    let [key, prefix, settings, agent, none, one, show, absent, raw, past, removed, before, early, noon, status] =
        ran.try_into().unwrap();
    let key = key.exits(0).out;
    assert_eq!(key.lines().map(|line| &line[..2]).collect::<Vec<_>>(), ["r6", "r4"], "{key}");
    let revisions = |ran: Ran| -> Vec<u64> {
        let found = ran.exits(0).json();
        found["commits"].as_array().unwrap().iter().map(|commit| commit["revision"].as_u64().unwrap()).collect()
    };
    assert_eq!(revisions(prefix), [6, 5, 4, 3]);
    assert_eq!(revisions(settings), [2, 1]);
    assert_eq!(agent.exits(0).out.lines().count(), 1);
    none.exits(64).complains("--limit");
    assert_eq!(one.exits(0).out.lines().count(), 1);
    show.exits(0).says("put  kv/a/c");
    absent.exits(1).complains("r9 does not exist yet");
    raw.exits(0).says("kv/a/c   r6   version 2").says("created   r4").says("\"three\"");
    let past = past.exits(0).json();
    assert_eq!(past, json!({"key": "kv/a/c", "value": "two", "created": 4, "modified": 4, "version": 1}));
    removed.exits(1).complains("there is no key `kv/a/b`");
    before.exits(0).says("glm-4.6").says("version 1");
    early.exits(1).complains("at r0");
    noon.exits(64);
    status.exits(64).complains("`status` does not take `--at`");
}
