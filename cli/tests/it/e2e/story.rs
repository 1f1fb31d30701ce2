//! The story, step by step, once through a server whose pid never changes and once embedded, with the same bytes.

use serde_json::json;

use super::bench::{Project, Server};

/// Commit ids cover the time, so two stores never share one: `(1a2b3c4d)` becomes `(commit)`.
pub(super) fn without_commit_ids(text: &str) -> String {
    let mut parts = text.split('(');
    let first = parts.next().unwrap_or_default().to_owned();
    parts.fold(first, |done, part| match part.split_once(')') {
        Some((id, rest)) if id.len() == 8 && id.bytes().all(|byte| byte.is_ascii_hexdigit()) => {
            done + "(commit)" + rest
        }
        Some(_) | None => done + "(" + part,
    })
}

/// Runs the story; gives what every step printed to standard output.
fn story(server: bool) -> Vec<String> {
    let project = Project::hotreload();
    let mut server = server.then(|| project.serve());
    let pid = server.as_ref().map(Server::pid);
    let mut said = Vec::new();
    let mut tell = |out: String| said.push(without_commit_ids(&out));

    tell(project.run(&["--yes"]).exits(0).says("Applied as r1 (3 create)").out);
    let first = project.run(&["session", "hotreload-test", "--format", "json"]).exits(0);
    let session = first.json();
    assert_eq!(
        session["model"],
        json!({"reference": "glm-4.6", "provider": "z-ai", "registry": "zai", "id": "glm-4.6"})
    );
    assert_eq!((&session["credentials"][0]["source"], &session["revision"]), (&json!("org-secret"), &json!(1)));
    assert_eq!(session["session"], json!(null), "the command line only looks");

    project.set_model("glm-4.5");
    let plan = project.run(&["--dry-run"]).exits(0);
    let plan = plan
        .says("  ~ settings hotreload-test (providerModelPreferences)             lobu.toml:")
        .says("      providerModelPreferences.z-ai: \"glm-4.6\" -> \"glm-4.5\"\n")
        .says("  * hotreload-test: z-ai/glm-4.6 -> z-ai/glm-4.5                   next session\n")
        .says("Summary: 0 create, 1 update, 0 delete, 0 blocked, 0 unmanaged, 2 unchanged");
    tell(plan.out);
    project.run(&["--dry-run", "--exit-code"]).exits(2);
    assert_eq!(project.run(&["session", "hotreload-test", "--format", "json"]).json()["revision"], json!(1));

    tell(project.run(&["--yes", "--message", "new model"]).exits(0).says("Applied as r2 (1 update)").out);
    let now = project.run(&["session", "hotreload-test", "--format", "json"]).exits(0).json();
    assert_eq!((&now["model"]["id"], &now["revision"]), (&json!("glm-4.5"), &json!(2)));
    let past = project.run(&["session", "hotreload-test", "--at", "r1", "--format", "json"]).exits(0).json();
    assert_eq!((&past["model"]["id"], &past["revision"]), (&json!("glm-4.6"), &json!(1)));

    tell(
        project
            .run(&["--dry-run"])
            .exits(0)
            .says("0 create, 0 update, 0 delete, 0 blocked, 0 unmanaged, 3 unchanged")
            .out,
    );
    project.run(&["--dry-run", "--exit-code"]).exits(0);
    tell(project.run(&["get", "settings/hotreload-test"]).exits(0).says("glm-4.5").out);
    tell(project.run(&["get", "settings/hotreload-test", "--at", "r1"]).exits(0).says("glm-4.6").out);
    tell(project.run(&["verify"]).exits(0).says("sound   r2").out);
    let history = project.run(&["history", "--format", "json"]).exits(0).json();
    let commits = history["commits"].as_array().unwrap();
    assert_eq!(commits.len(), 2);
    assert_eq!((&commits[0]["revision"], &commits[0]["message"]), (&json!(2), &json!("new model")));
    assert_eq!(commits[0]["summary"]["update"], json!(1));
    assert_eq!(commits[0]["parent"], commits[1]["commit"]);
    let status = project.run(&["status", "--format", "json"]).exits(0).json();
    assert_eq!(status["head"]["revision"], json!(2));

    if let Some(server) = &mut server {
        assert!(server.is_running() && Some(server.pid()) == pid);
        assert_eq!(status["holder"]["pid"], json!(pid));
    }
    said
}

#[test]
fn p4_applied_means_effective_through_a_server_that_is_never_restarted_and_embedded_with_the_same_bytes() {
    assert_eq!(story(true), story(false));
}

/// The part of the story in which the key is taken away; gives what every step printed to standard output.
fn break_and_mend(server: bool) -> Vec<String> {
    let mut project = Project::hotreload();
    project.run(&["--yes"]).exits(0);
    project.set_model("glm-4.5");
    project.run(&["--yes"]).exits(0);
    project.remove_key();
    project.unset("Z_AI_API_KEY");
    let mut server = server.then(|| project.serve());
    let mut said = Vec::new();
    let mut tell = |out: String| said.push(without_commit_ids(&out));

    let plan = project.run(&["--dry-run"]).exits(3);
    let breaks = "  * hotreload-test: BREAKS: No provider specified for model \"glm-4.5\"  was z-ai/glm-4.5\n";
    let plan = plan.says("BREAKS: No provider specified for model \"glm-4.5\"").says("--allow-break hotreload-test");
    assert!(plan.out.replace("   ", "  ").contains(breaks.trim_end()), "{}", plan.out);
    tell(plan.out);
    let json = project.run(&["--dry-run", "--format", "json"]).exits(3).json();
    assert_eq!((&json["sessions"][0]["breaks"], &json["applyable"]), (&json!(true), &json!(false)));
    assert_eq!(json["blocked"][0]["code"], json!("E_BREAKS"));
    tell(project.run(&["--yes"]).exits(3).out);
    assert_eq!(project.run(&["status", "--format", "json"]).json()["head"]["revision"], json!(2));
    tell(project.run(&["--yes", "--allow-break", "hotreload-test"]).exits(0).says("Applied as r3").out);

    let failed = project.run(&["session", "hotreload-test"]).exits(1);
    let failed = failed
        .complains("No provider specified for model \"glm-4.5\"")
        .complains("org secret provider:z-ai:apiKey: absent")
        .complains("system environment Z_AI_API_KEY: ")
        .complains("reconcile secret set provider:z-ai:apiKey");
    tell(failed.out);
    let key = Some("another-canary\n");
    tell(project.run_with_input(&["secret", "set", "provider:z-ai:apiKey"], key).exits(0).out);
    tell(project.run(&["session", "hotreload-test"]).exits(0).says("r4").says("org-secret").out);
    assert!(server.as_mut().is_none_or(Server::is_running));
    said
}

#[test]
fn p13_a_removed_key_blocks_by_name_fails_with_evidence_and_is_mended_in_the_same_process() {
    assert_eq!(break_and_mend(true), break_and_mend(false));
}

#[test]
fn an_unset_key_leaves_the_plan_complete_and_refuses_the_apply_before_anything_is_written() {
    for server in [true, false] {
        let mut project = Project::hotreload();
        project.unset("Z_AI_API_KEY");
        let _server = server.then(|| project.serve());
        project.run(&["--dry-run"]).exits(0).says("Summary: 3 create").complains("$Z_AI_API_KEY");
        let plan = project.run(&["--dry-run", "--format", "json"]).exits(0).json();
        assert_eq!(plan["applyable"], json!(false));
        project.run(&["--yes"]).exits(1).complains("$Z_AI_API_KEY");
        let status = project.run(&["status", "--format", "json"]).json();
        match server {
            true => assert_eq!(status["head"]["revision"], json!(0)),
            false => assert!(status["error"]["code"] == "E_NO_STORE" || status["head"]["revision"] == 0, "{status}"),
        }
    }
}

#[test]
fn a_dry_run_makes_neither_store_nor_key() {
    let project = Project::hotreload();
    project.run(&["--dry-run"]).exits(0).says("3 create");
    project.run(&["check"]).exits(0);
    assert!(!project.store().exists());
    assert!(!project.path().parent().unwrap().join("master.key").exists());
}

#[test]
fn p8_the_value_of_a_secret_is_in_no_output_and_in_no_byte_of_the_store() {
    let project = Project::hotreload();
    let server = project.serve();
    let mut said = String::new();
    for arguments in [
        &["--yes", "-v"][..],
        &["--dry-run", "--full", "--all"],
        &["session", "hotreload-test", "--format", "json"],
        &["get", "secret/provider:z-ai:apiKey", "--format", "json"],
        &["secret", "list"],
        &["history", "--format", "json"],
    ] {
        let ran = project.run(arguments).exits(0);
        said = said + &ran.out + &ran.err;
    }
    assert!(server.stop().success());
    assert!(!said.contains("canary-z-ai-key"), "{said}");
    let mut files = 0;
    for entry in std::fs::read_dir(project.store()).unwrap() {
        let path = entry.unwrap().path();
        if path.is_file() {
            let bytes = std::fs::read(&path).unwrap();
            assert!(!bytes.windows(15).any(|window| window == b"canary-z-ai-key"), "{}", path.display());
            files += 1;
        }
    }
    assert!(files > 0);
}
