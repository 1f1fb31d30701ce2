//! `/openapi.json` is true: it names every route of the router and no other, and real answers are as its schemas say.

use std::collections::BTreeSet;
use std::path::Path;

use serde_json::{Value, json};

use crate::support::http::{get, send};
use crate::support::{Server, apply_request, hotreload, plan_request};

/// The routes of the router's source: method and path.
fn routes() -> BTreeSet<(String, String)> {
    let source = std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("src/router.rs")).unwrap();
    let mut routes = BTreeSet::new();
    for line in source.lines().filter_map(|line| line.trim().strip_prefix(".route(\"")) {
        let (path, handlers) = line.split_once('"').unwrap();
        for method in ["get", "post", "put", "patch", "delete"] {
            if handlers.contains(&format!(" {method}(")) || handlers.contains(&format!(".{method}(")) {
                routes.insert((method.to_owned(), path.replace("{*", "{")));
            }
        }
    }
    assert!(routes.len() > 20, "{routes:?}");
    routes
}

#[test]
fn the_description_names_every_route_and_no_other() {
    let server = Server::start();
    let document = get(&server, "/openapi.json").json();
    let mut described = BTreeSet::new();
    for (path, methods) in document["paths"].as_object().unwrap() {
        described.extend(methods.as_object().unwrap().keys().map(|method| (method.clone(), path.clone())));
    }
    assert_eq!(described, routes());
}

#[test]
fn real_answers_are_as_the_schemas_say() {
    let server = Server::start();
    let document = get(&server, "/openapi.json").json();
    let check = |method: &str, path: &str, target: &str, body: &Value, status: u16| {
        let body = if body.is_null() { Vec::new() } else { body.to_string().into_bytes() };
        let answer = send(&server, method, target, &[], &body);
        assert_eq!(answer.status, status, "{target}: {}", answer.text());
        let answers = &document["paths"][path][method.to_lowercase()]["responses"];
        let kind = if status == 412 || status < 300 { "application/json" } else { "application/problem+json" };
        let key = if answers[status.to_string()].is_null() { "default".to_owned() } else { status.to_string() };
        let schema = &answers[key]["content"][kind]["schema"];
        assert!(schema.is_object(), "{method} {path} {status}");
        let answer = answer.json();
        let mut wrong = Vec::new();
        fits(&document, schema, &answer, target, &mut wrong);
        assert!(wrong.is_empty(), "{wrong:?}\n{answer}");
        answer
    };
    let read = |path: &str, target: &str| check("GET", path, target, &Value::Null, 200);
    read("/v1/head", "/v1/head");
    let request = plan_request(hotreload("glm-4.6"));
    check("POST", "/v1/plan", "/v1/plan", &json!(request), 200);
    check("POST", "/v1/seal", "/v1/seal", &json!(request), 200);
    check("POST", "/v1/apply", "/v1/apply", &json!(apply_request(&server.plane, request.clone())), 200);
    check("POST", "/v1/plan", "/v1/plan", &json!(request), 200);
    let stale = apply_request(&server.plane, plan_request(hotreload("glm-4.5")));
    check("POST", "/v1/apply", "/v1/apply", &json!(stale), 200);
    check("POST", "/v1/apply", "/v1/apply", &json!(stale), 409);
    for (path, target) in [
        ("/healthz", "/healthz"),
        ("/readyz", "/readyz"),
        ("/v1/head", "/v1/head"),
        ("/v1/status", "/v1/status"),
        ("/v1/commits", "/v1/commits"),
        ("/v1/commits/{revision}", "/v1/commits/r1"),
        ("/v1/head", "/v1/head?at=r1"),
        ("/v1/diff", "/v1/diff?from=0&to=2&limit=2"),
        ("/v1/resources", "/v1/resources?limit=2"),
        ("/v1/resources/{kind}/{name}", "/v1/resources/settings/hotreload-test"),
        ("/v1/secrets", "/v1/secrets"),
        ("/v1/profiles", "/v1/profiles?user=maria"),
        ("/v1/agents/{agent}/session", "/v1/agents/hotreload-test/session"),
    ] {
        read(path, target);
    }
    let opened = check("POST", "/v1/agents/{agent}/sessions", "/v1/agents/hotreload-test/sessions", &Value::Null, 201);
    read("/v1/sessions/{id}", &format!("/v1/sessions/{}", opened["session"].as_str().unwrap()));
    let token = format!("/v1/sessions/{}/token", opened["session"].as_str().unwrap());
    check("POST", "/v1/sessions/{id}/token", &token, &json!({"life_ms": 60_000}), 201);
    check("GET", "/v1/session-context", "/v1/session-context", &Value::Null, 401);
    read("/v1/agents/{agent}/explain", "/v1/agents/hotreload-test/explain?user=maria&at=r1");
    let explain = "/v1/explain/{kind}/{name}";
    read(explain, "/v1/explain/settings/hotreload-test");
    read(explain, "/v1/explain/settings/hotreload-test?field=providerModelPreferences.z-ai&at=r1&limit=2");
    read(explain, "/v1/explain/secret/provider:z-ai:apiKey");
    check("GET", explain, "/v1/explain/settings/hotreload-test?field=soulMD", &Value::Null, 404);
    check("POST", "/v1/verify", "/v1/verify", &Value::Null, 200);
    check("POST", "/v1/compact", "/v1/compact", &json!({"keep": {"newest": 0}, "dry_run": true}), 200);
    check("POST", "/v1/compact", "/v1/compact", &json!({"keep": {"from": 0}}), 200);
    check("POST", "/v1/compact", "/v1/compact", &json!({"keep": {"from": 999}}), 404);
    check("POST", "/v1/keys/rotate", "/v1/keys/rotate", &Value::Null, 200);
    let profile = "/v1/profiles/{user}/{provider}";
    check("PUT", profile, "/v1/profiles/maria%2Fb/z-ai?model=glm-4.6", &json!({"value": "x", "type": "oauth"}), 200);
    check("PUT", profile, "/v1/profiles/maria/z-ai", &json!({"secret_ref": "a", "expires": 7}), 200);
    read("/v1/profiles", "/v1/profiles");
    check("PUT", profile, "/v1/profiles/maria/z-ai", &json!({"value": "x", "secret_ref": "a"}), 400);
    check("DELETE", profile, "/v1/profiles/maria/z-ai", &Value::Null, 200);
    check("PUT", "/v1/secrets/{name}", "/v1/secrets/a", &json!({"value": "x"}), 200);
    check("DELETE", "/v1/secrets/{name}", "/v1/secrets/a", &Value::Null, 200);
    check("DELETE", "/v1/secrets/{name}", "/v1/secrets/provider:z-ai:apiKey", &Value::Null, 409);
    let row = json!({"kind": "note", "name": "n", "fields": {"a": 1}, "owner": "ui:x", "tags": {"token": "aa"}});
    let state = json!({"format": "holdfast/state", "version": 1, "resources": [row]});
    check("POST", "/v1/import", "/v1/import", &json!({"state": state, "dry_run": true}), 200);
    check("POST", "/v1/import", "/v1/import", &json!({"state": state}), 200);
    let differing = json!({"state": {"format": "holdfast/state", "version": 1, "resources": [{"kind": "note", "name": "n", "fields": {}}]}});
    check("POST", "/v1/import", "/v1/import", &differing, 409);
    let resource = "/v1/resources/{kind}/{name}";
    check("PATCH", resource, "/v1/resources/agent/hotreload-test", &json!({"description": "x"}), 200);
    check("PATCH", resource, "/v1/resources/agent/hotreload-test", &json!({"descriptoin": "x"}), 400);
    check("DELETE", resource, "/v1/resources/agent/hotreload-test?allow_delete=1", &Value::Null, 409);
    check("PUT", "/v1/kv/{key}", "/v1/kv/a", &json!("x"), 200);
    check("DELETE", "/v1/kv/{key}", "/v1/kv/a", &Value::Null, 200);
    check("GET", "/v1/kv/{key}", "/v1/kv/a", &Value::Null, 404);
    check("POST", "/v1/txn", "/v1/txn", &json!({"ops": [{"delete": {"key": "b"}}]}), 200);
    check("POST", "/v1/txn", "/v1/txn", &json!({"compare": [{"head": 0}]}), 412);
    check("GET", "/v1/agents/{agent}/session", "/v1/agents/nobody/session", &Value::Null, 404);
}

/// Checks a value against a schema; what an object has beyond its described members is wrong too.
fn fits(document: &Value, schema: &Value, value: &Value, at: &str, wrong: &mut Vec<String>) {
    if let Some(name) = schema["$ref"].as_str() {
        let target = document.pointer(name.trim_start_matches('#')).unwrap_or_else(|| panic!("{name}"));
        return fits(document, target, value, at, wrong);
    }
    let kind = match value {
        Value::Null => "null",
        Value::Bool(_) => "boolean",
        Value::Number(number) if number.is_u64() || number.is_i64() => "integer",
        Value::Number(_) => "number",
        Value::String(_) => "string",
        Value::Array(_) => "array",
        Value::Object(_) => "object",
    };
    let allowed = |allowed: &Value| allowed == kind;
    if !allowed(&schema["type"]) && !schema["type"].as_array().is_some_and(|types| types.iter().any(allowed)) {
        wrong.push(format!("{at}: {kind}, not {}", schema["type"]));
    }
    if schema["enum"].as_array().is_some_and(|words| !words.contains(value)) {
        wrong.push(format!("{at}: {value} is none of {}", schema["enum"]));
    }
    for (index, item) in value.as_array().into_iter().flatten().enumerate() {
        fits(document, &schema["items"], item, &format!("{at}[{index}]"), wrong);
    }
    let Some(members) = value.as_object() else { return };
    for required in schema["required"].as_array().into_iter().flatten().filter_map(Value::as_str) {
        if !members.contains_key(required) {
            wrong.push(format!("{at}: `{required}` is missing"));
        }
    }
    for (name, member) in members {
        let place = format!("{at}.{name}");
        match (&schema["properties"][name], &schema["additionalProperties"]) {
            (Value::Null, Value::Bool(true)) => {}
            (Value::Null, Value::Null | Value::Bool(false)) => wrong.push(format!("{place} is not described")),
            (Value::Null, others) => fits(document, others, member, &place, wrong),
            (described, _) => fits(document, described, member, &place, wrong),
        }
    }
}
