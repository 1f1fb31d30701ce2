//! Hand-made values that the renderers' tests draw: each part of a plan once, with the awkward cases beside the plain ones.

use holdfast_reconciler::agents::context::SessionContext;
use holdfast_reconciler::diagnostic::{Diagnostic, Label, Position};
use holdfast_reconciler::error::{Problem, ProblemKind};
use holdfast_reconciler::plan::Plan;
use holdfast_reconciler::plane::{CommitInfo, CommitsPage, ResourceInfo, SecretInfo, Status, Verification};
use serde_json::{Value, from_value, json};

const PLAN_ID: &str = "7c1e93ab0f5d2c4e8a9b1d3f7c1e93ab0f5d2c4e8a9b1d3f7c1e93ab0f5d2c4e";
const COMMIT: &str = "3f9a12bc0f5d2c4e8a9b1d3f7c1e93ab0f5d2c4e8a9b1d3f7c1e93ab0f5d2c4e";
const GIT: &str = "9be07aa7c1e93ab0f5d2c4e8a9b1d3f7c1e93ab0";

fn at(line: u32) -> Value {
    json!({"file": "lobu.toml", "line": line, "column": 1})
}

fn plan(members: Value) -> Plan {
    let mut plan = json!({
        "format_version": "1.0", "plan_id": PLAN_ID, "applyable": true, "org": "default",
        "base": {"revision": 41, "commit": COMMIT},
        "source": {"name": "platform-team", "git": {"commit": GIT, "dirty": false}, "digest": "00"},
        "summary": {"create": 0, "update": 0, "delete": 0, "moved": 0, "blocked": 0, "unmanaged": 0, "unchanged": 0},
        "changes": [], "unmanaged": [], "unchanged": [], "adopts": [], "blocked": [], "sessions": [], "diagnostics": [],
    });
    for (name, value) in members.as_object().unwrap() {
        plan[name] = value.clone();
    }
    from_value(plan).unwrap()
}

fn change(action: &str, reason: &str, address: &str, line: Option<u32>, fields: Value) -> Value {
    let (kind, name) = address.split_once('/').unwrap();
    let mut change = json!({
        "address": address, "org": "default", "kind": kind, "name": name, "action": action, "reason": reason,
        "fields": fields, "effect": "next-session", "affects": [],
    });
    if let Some(line) = line {
        change["at"] = at(line);
    }
    change
}

/// DESIGN's own example.
pub(super) fn design() -> Plan {
    let model = json!([{"path": ["providerModelPreferences", "z-ai"], "op": "replace", "before": "glm-4.6",
        "after": "glm-4.5", "sensitive": false, "at": at(7)}]);
    let removed = |address: &str| {
        let mut change = change("delete", "removed_from_manifest", address, None, json!([]));
        change["at"] = at(30);
        change
    };
    let (now, then) =
        (json!({"provider": "z-ai", "model": "glm-4.6"}), json!({"provider": "z-ai", "model": "glm-4.5"}));
    plan(json!({
        "summary": {"create": 0, "update": 1, "delete": 2, "moved": 0, "blocked": 0, "unmanaged": 0, "unchanged": 12},
        "changes": [removed("agent/old-bot"),
            change("update", "manifest_changed", "settings/hotreload-test", Some(3), model), removed("settings/old-bot")],
        "unchanged": (1..=12).map(|n| format!("agent/steady-{n:02}")).collect::<Vec<_>>(),
        "sessions": [
            {"org": "default", "agent": "hotreload-test", "before": now, "after": then, "error": null, "breaks": false,
                "agent_change": "kept"},
            {"org": "default", "agent": "old-bot", "before": now, "after": null, "error": null, "breaks": false,
                "agent_change": "removed"},
            {"org": "default", "agent": "other-bot", "before": now, "after": null,
                "error": "no usable credential for provider \"z-ai\"", "breaks": true, "agent_change": "kept"},
        ],
    }))
}

/// Every sort of row and value.
pub(super) fn rich() -> Plan {
    let long: String = "0123456789".repeat(20);
    let soul = "# Soul\n\nYou answer briefly.\nYou never guess.\nYou cite.\n";
    plan(json!({
        "applyable": false,
        "source": {"name": "platform-team", "git": {"commit": GIT, "dirty": true}, "digest": "00"},
        "summary": {"create": 2, "update": 3, "delete": 0, "moved": 1, "blocked": 2, "unmanaged": 2, "unchanged": 1},
        "changes": [
            change("create", "new_in_manifest", "agent/researcher", Some(1), json!([
                {"path": ["description"], "op": "add", "after": long, "sensitive": false, "at": at(3)},
                {"path": ["name"], "op": "add", "after": "Researcher", "sensitive": false, "at": at(2)}])),
            change("move", "moved", "agent/renamed", Some(9), json!([])),
            change("update", "manifest_changed",
                "settings/an-agent-with-a-name-that-is-longer-than-the-column-of-comments", Some(40), json!([
                {"path": ["temperature"], "op": "replace", "before": 0.2, "after": 1, "sensitive": false, "at": at(41)},
                {"path": ["tools", "allow", 0], "op": "remove", "before": "a\"b\u{1b}[31m", "sensitive": false},
                {"path": ["tools", "deny"], "op": "add", "after": ["x"], "sensitive": false, "owner": "ui:maria",
                    "at": at(44)}])),
            change("update", "drift_repair", "settings/triage", Some(50), json!([
                {"path": ["soulMd"], "op": "replace", "before": soul,
                    "after": soul.replace("never guess", "never, ever guess").replace("You cite.\n", "You cite."),
                    "sensitive": false, "at": at(51)}])),
            change("create", "new_in_manifest", "secret/provider:gemini:apiKey", Some(60), json!([
                {"path": ["value"], "op": "add", "sensitive": true, "at": at(60)}])),
            change("update", "manifest_changed", "secret/provider:z-ai:apiKey", Some(61), json!([
                {"path": ["value"], "op": "replace", "sensitive": true, "before_tag": "3f9a12aabbccddee",
                    "after_tag": "b81c7700112233", "at": at(61)}])),
        ],
        "unmanaged": ["settings/by-hand", "zebra/a\u{202e}b"],
        "unchanged": ["agent/steady"],
        "adopts": ["agent/steady"],
        "blocked": [
            {"code": "E_CONFLICT", "address": "settings/contested", "path": ["baseUrl"], "owner": "ui:maria",
                "revision": 40, "message": "`baseUrl` of `settings/contested` was set by `ui:maria` in r40",
                "remedies": ["reconcile adopt settings/contested baseUrl",
                    "reconcile --take 'settings/contested baseUrl=r40'", "delete `baseUrl` from the manifest"]},
            {"code": "E_CONFLICT", "address": "settings/contested", "path": ["model"], "owner": "ui:maria",
                "revision": 40, "message": "`model` of `settings/contested` was set by `ui:maria` in r40",
                "remedies": ["delete `model` from the manifest"]},
            {"code": "E_PROTECTED", "address": "agent/billing", "path": null, "owner": null, "revision": 12,
                "message": "`agent/billing` is protected from being deleted: `protect` names `agent/billing`",
                "remedies": ["put `agent/billing` back into the manifest, or lift its protection first"]},
            {"code": "E_BREAKS", "address": "agent/triage", "path": null, "owner": null, "revision": 41,
                "message": "sessions of `triage` work now and would fail: no provider", "remedies": ["--allow-break triage"]},
        ],
        "sessions": [
            {"org": "default", "agent": "researcher", "before": null, "after": null,
                "error": "No provider specified for model \"glm-4.5\"", "breaks": false, "agent_change": "new"},
            {"org": "default", "agent": "fresh", "before": null, "after": {"provider": "z-ai", "model": "glm-4.5"},
                "error": null, "breaks": false, "agent_change": "new"},
            {"org": "default", "agent": "triage", "before": {"provider": "z-ai", "model": "glm-4.6"}, "after": null,
                "error": "no provider", "breaks": true, "agent_change": "kept"},
        ],
    }))
}

/// A first plan whose key is not set.
pub(super) fn lacking_value() -> Plan {
    let missing = Diagnostic::warning("W_MISSING_VALUE", "`$Z_AI_API_KEY` has no value, and it is sealed nowhere")
        .help("set `$Z_AI_API_KEY` and run again; an apply is refused until then");
    plan(json!({
        "applyable": false,
        "base": {"revision": 0, "commit": ""},
        "source": {"name": "hotreload", "git": null, "digest": "00"},
        "summary": {"create": 1, "update": 0, "delete": 0, "moved": 0, "blocked": 0, "unmanaged": 0, "unchanged": 0},
        "changes": [change("create", "new_in_manifest", "secret/provider:z-ai:apiKey", Some(8), json!([
            {"path": ["value"], "op": "add", "sensitive": true, "at": at(8)}]))],
        "diagnostics": [missing],
    }))
}

/// Nothing to do.
pub(super) fn unchanged() -> Plan {
    plan(json!({
        "summary": {"create": 0, "update": 0, "delete": 0, "moved": 0, "blocked": 0, "unmanaged": 0, "unchanged": 1},
        "unchanged": ["agent/steady"],
    }))
}

pub(super) fn session() -> SessionContext {
    from_value(json!({
        "session": null, "org": "default", "agent": "hotreload-test", "user": "maria", "revision": 2, "commit": COMMIT,
        "model": {"reference": "z-ai/glm-4.5", "provider": "z-ai", "registry": "zai", "id": "glm-4.5"},
        "credentials": [{"provider": "z-ai", "env": "Z_AI_API_KEY", "source": "org-secret", "placeholder": "lobu_1"}],
        "settings": {"installedProviders": [{"providerId": "z-ai"}],
            "providerModelPreferences": {"z-ai": "z-ai/glm-4.5"}},
        "evidence": [
            {"step": "settings", "looked_for": "settings/hotreload-test", "outcome": "found"},
            {"step": "profile", "provider": "z-ai", "looked_for": "maria", "outcome": "absent"},
            {"step": "org-secret", "provider": "z-ai", "looked_for": "provider:z-ai:apiKey", "outcome": "used"},
            {"step": "system", "provider": "z-ai", "looked_for": "Z_AI_API_KEY", "outcome": "skipped"},
        ],
    }))
    .unwrap()
}

/// A session that fails, with a name that tries to write on the terminal.
pub(super) fn session_problem() -> Problem {
    let evidence = from_value(json!([
        {"step": "org-secret", "provider": "z-ai", "looked_for": "provider:z-ai:apiKey", "outcome": "undecryptable",
            "detail": "sealed under key 1a2b"},
        {"step": "reference", "provider": "z-ai", "looked_for": "secret_ref", "outcome": "unresolved"},
        {"step": "system", "provider": "z-ai", "looked_for": "Z_AI_API_KEY", "outcome": "unknown"},
    ]));
    let mut problem = Problem::new(
        ProblemKind::Failed,
        "E_NO_PROVIDER",
        "No provider specified for model \"glm-4.5\u{1b}]0;x\u{7}\"",
    );
    problem.causes = vec!["the key is of another store".to_owned(), "tag mismatch".to_owned()];
    problem.help("run `reconcile secret set provider:z-ai:apiKey`").evidence(evidence.unwrap())
}

fn commit() -> CommitInfo {
    from_value(json!({
        "revision": 2, "commit": COMMIT, "parent": PLAN_ID, "time": "2026-11-22T06:44:01Z", "author": "maria",
        "message": "glm-4.5 everywhere", "source": "hotreload", "git": {"commit": GIT, "dirty": true}, "plan": PLAN_ID,
        "summary": {"create": 0, "update": 1, "delete": 2, "moved": 0, "blocked": 0, "unmanaged": 0, "unchanged": 12},
        "changes": [{"key": "live/settings/hotreload-test", "op": "put"}, {"key": "live/agent/old-bot", "op": "delete"}],
    }))
    .unwrap()
}

pub(super) fn one_commit() -> CommitInfo {
    commit()
}

pub(super) fn history() -> CommitsPage {
    let secret = from_value(json!({
        "revision": 1, "commit": PLAN_ID, "parent": "", "time": "2026-11-22T06:41:00Z", "author": "ci", "message": "",
        "source": null, "git": null, "plan": null, "summary": null,
    }));
    CommitsPage { commits: vec![CommitInfo { changes: vec![], ..commit() }, secret.unwrap()] }
}

pub(super) fn resource() -> ResourceInfo {
    from_value(json!({
        "org": "default", "address": "settings/triage", "kind": "settings", "name": "triage",
        "fields": {"temperature": 0.5, "soulMd": "x".repeat(200)}, "owner": "platform-team",
        "owners": {"temperature": "ui:maria", "soulMd": "platform-team", "config": "ui:eve"},
        "tags": {"config.botToken": "3f9a12aabbccddee"},
        "created": 1, "modified": 7, "version": 3,
    }))
    .unwrap()
}

pub(super) fn secrets() -> Vec<SecretInfo> {
    from_value(json!([
        {"name": "provider:z-ai:apiKey", "tag": "3f9a12aabbccddee", "owner": "hotreload", "expires": null, "modified": 1},
        {"name": "token", "tag": null, "owner": null, "expires": "2026-12-01T00:00:00Z", "modified": 12},
    ]))
    .unwrap()
}

pub(super) fn status() -> Status {
    from_value(json!({
        "org": "default",
        "head": {"revision": 2, "commit": COMMIT, "time": "2026-11-22T06:44:01Z",
            "store": "0b3c2c2e-6d0a-4a53-b4e0-7d0c4c1b7a11", "epoch": 1},
        "resources": {"agent": 1, "secret": 1, "settings": 1},
        "sources": [{"source": "hotreload", "resources": 3, "committed": 2, "git": {"commit": GIT, "dirty": true}},
            {"source": "other", "resources": 1, "committed": null, "git": null}],
        "actuators": ["file"], "observed": 1, "conditions_ready": 3, "conditions_omitted": 0,
        "conditions": [
            {"address": "file/motd", "state": "stalled", "reason": "denied", "message": "cannot write `/srv/motd`",
                "wanted": 2, "observed": 1, "since": "2026-11-22T06:44:01.000Z", "attempts": 1,
                "next_try": "2026-11-22T06:49:01.000Z"},
            {"address": "file/old", "state": "reconciling", "reason": "waits", "message": "it is removed after `file/motd`",
                "wanted": null, "observed": null, "since": "2026-11-22T06:44:01.000Z", "attempts": 0, "next_try": null},
            {"address": "file/z", "state": "unknown", "reason": "not_looked_at", "message": "", "wanted": 1,
                "observed": null, "since": "2026-11-22T06:44:00.000Z", "attempts": 0, "next_try": null},
        ],
        "followers": [
            {"id": "f1", "name": "gateway-1", "revision": 2, "since": "2026-11-22T06:44:01.000Z",
                "seen": "2026-11-22T06:45:00.000Z", "state": "following"},
            {"id": "f2", "name": "gateway-2", "revision": null, "since": "2026-11-22T06:40:00.000Z",
                "seen": "2026-11-22T06:40:30.000Z", "state": "silent"},
        ],
        "following": {"server": "https://holdfast.example:8443", "connected": false, "since": "2026-11-22T06:45:01.000Z",
            "revision": 2, "error": "the connection ended before the answer"},
        "holder": {"pid": 4711, "version": "0.1.0"}, "open_sessions": {"1": 1, "2": 3},
        "durability": "fdatasync", "keys": 12,
        "storage": {"compacted": 0, "trail_lag": 3, "bytes": 4_194_304, "retention": null, "poisoned": null},
    }))
    .unwrap()
}

pub(super) fn verification(damage: &[&str]) -> Verification {
    let damage: Vec<String> = damage.iter().map(|&text| text.to_owned()).collect();
    from_value(json!({"revision": 12, "commits": 12, "entries": 34, "damage": damage, "findings": []})).unwrap()
}

fn label(line: u32, column: u32, length: u32, source_line: &str, text: &str) -> Label {
    Label {
        at: Position { file: "agents/my-agent.toml".into(), line, column },
        length,
        source_line: source_line.to_owned(),
        text: text.to_owned(),
        primary: false,
    }
}

pub(super) fn diagnostics() -> Vec<Diagnostic> {
    let typo = "providerModelPreference = [{ provider = \"z-ai\" }]";
    vec![
        Diagnostic::error("E_UNKNOWN_KEY", "unknown key `providerModelPreference` in settings")
            .label(label(12, 1, 23, typo, "did you mean `providerModelPreferences`?"))
            .help("keys of settings are listed in the guide"),
        Diagnostic::error("E_DUPLICATE", "`agent/ä` is declared twice")
            .label(label(30, 12, 3, "# grüße\u{1b}[2J ä ä", "again here"))
            .label(label(3, 1, 9, "[agents.ä]", "first here")),
        Diagnostic::warning("W_LITERAL_SECRET", "a secret stands in the manifest").label(label(9, 7, 10, "", "")),
        Diagnostic::note("N_KEPT_VALUE", "`$KEY` has no value here; the sealed one stays"),
        Diagnostic::error("E_TOML", "unexpected end").label(label(2, 200, 50, "short", "here")),
    ]
}
