//! What bad input is answered: a problem with a code and a way out, nothing changed, nothing repeated that could be a secret.

use serde_json::json;

use crate::support::http::{Answer, get, raw, send};
use crate::support::{SECRET, Server, apply_request, hotreload, plan_request};

struct Bad {
    request: (&'static str, &'static str),
    headers: &'static [(&'static str, &'static str)],
    body: &'static str,
    answer: (u16, &'static str),
}

/// A request without headers and body.
const fn bare(method: &'static str, target: &'static str, status: u16, code: &'static str) -> Bad {
    Bad { request: (method, target), headers: &[], body: "", answer: (status, code) }
}

/// A request with a body.
const fn body(method: &'static str, target: &'static str, body: &'static str, code: &'static str) -> Bad {
    Bad { request: (method, target), headers: &[], body, answer: (400, code) }
}

/// A write of a raw value with a header.
const fn header(header: &'static [(&'static str, &'static str)], status: u16, code: &'static str) -> Bad {
    Bad { request: ("PUT", "/v1/kv/a"), headers: header, body: "x", answer: (status, code) }
}

const BAD: &[Bad] = &[
    bare("GET", "/", 404, "E_NO_ROUTE"),
    bare("GET", "/v2/head", 404, "E_NO_ROUTE"),
    bare("GET", "/v1/kv", 404, "E_NO_ROUTE"),
    bare("GET", "/v1/kv/", 404, "E_NO_ROUTE"),
    bare("GET", "/v1/resources/settings", 404, "E_NO_ROUTE"),
    bare("GET", "/v1/../v1/head", 404, "E_NO_ROUTE"),
    bare("GET", "/v1/%2e%2e/healthz", 404, "E_NO_ROUTE"),
    bare("GET", "//v1/head", 404, "E_NO_ROUTE"),
    bare("GET", "/v1/nowhere%1b%5b31m", 404, "E_NO_ROUTE"),
    bare("GET", "/v1/commits?key=", 400, "E_QUERY"),
    bare("GET", "/openapi.json?pretty=1", 400, "E_QUERY"),
    bare("GET", "/v1/watch?from=null", 400, "E_TOKEN"),
    Bad {
        request: ("GET", "/v1/watch?from=null"),
        headers: &[("last-event-id", "0")],
        body: "",
        answer: (400, "E_TOKEN"),
    },
    // A list of values is no object, wherever one stands.
    body("POST", "/v1/plan", r#"{"desired":{"source":[null,null],"digest":"","resources":[]}}"#, "E_JSON"),
    body("POST", "/v1/plan", r#"{"desired":{"source":{},"digest":"","resources":[]},"options":[]}"#, "E_JSON"),
    body("POST", "/v1/txn", "[[],[]]", "E_JSON"),
    body("POST", "/v1/resume", "[]", "E_JSON"),
    body("PUT", "/v1/profiles/maria/z-ai", r#"{"secret_ref":""}"#, "E_NAME"),
    bare("PATCH", "/v1/head", 405, "E_NO_METHOD"),
    bare("POST", "/v1/kv/a", 405, "E_NO_METHOD"),
    bare("GET", "/v1/plan", 405, "E_NO_METHOD"),
    bare("GET", "/v1/kv/%ff", 400, "E_PATH"),
    bare("GET", "/v1/commits?prefix=%ff", 400, "E_QUERY"),
    bare("GET", "/v1/commits?prefix=a%2", 400, "E_QUERY"),
    bare("GET", "/v1/commits?prefix=%zz", 400, "E_QUERY"),
    bare("GET", "/v1/agents/hotreload-test/session?user=", 400, "E_QUERY"),
    bare("GET", "/v1/agents/hotreload-test/explain?user=", 400, "E_QUERY"),
    bare("GET", "/v1/profiles?user=", 400, "E_QUERY"),
    header(&[("holdfast-author", "%zz")], 400, "E_AUTHOR"),
    header(&[("content-encoding", "gzip")], 415, "E_CONTENT_ENCODING"),
    header(&[("content-encoding", "identity, br")], 415, "E_CONTENT_ENCODING"),
    header(&[("content-encoding", "identity"), ("content-encoding", "gzip")], 415, "E_CONTENT_ENCODING"),
    header(&[("content-range", "bytes 0-0/9")], 400, "E_CONTENT_RANGE"),
    Bad {
        request: ("POST", "/v1/txn"),
        headers: &[("content-encoding", "gzip")],
        body: "{}",
        answer: (415, "E_CONTENT_ENCODING"),
    },
    bare("PUT", "/v1/kv/a%00b", 400, "E_KEY"),
    bare("PUT", "/v1/kv/a%1bb", 400, "E_KEY"),
    bare("GET", "/v1/resources/Settings/a", 400, "E_NAME"),
    bare("GET", "/v1/resources/settings/a%0ab", 400, "E_NAME"),
    bare("GET", "/v1/resources?limit=many", 400, "E_QUERY"),
    bare("GET", "/v1/resources?limit=0", 400, "E_QUERY"),
    body("POST", "/v1/compact", "{}", "E_JSON"),
    body("POST", "/v1/compact", "{\"keep\": {\"all\": 1}}", "E_JSON"),
    body("POST", "/v1/import", "{\"state\": {}}", "E_JSON"),
    bare("GET", "/v1/backup?at=1", 400, "E_QUERY"),
    bare("GET", "/v1/commits?limit=0", 400, "E_QUERY"),
    bare("GET", "/v1/commits?key=a&prefix=b", 400, "E_QUERY"),
    bare("GET", "/v1/diff", 400, "E_QUERY"),
    bare("GET", "/v1/diff?from=yesterday", 400, "E_QUERY"),
    bare("GET", "/v1/diff?from=1&to=999", 404, "E_FUTURE"),
    bare("GET", "/v1/head?at=2999-01-01T00:00:00Z", 404, "E_FUTURE"),
    bare("GET", "/v1/resources?lmit=1", 400, "E_QUERY"),
    bare("GET", "/v1/resources?limit=1&limit=2", 400, "E_QUERY"),
    bare("GET", "/v1/head?org=Acme", 400, "E_QUERY"),
    bare("GET", "/v1/head?org=../acme", 400, "E_QUERY"),
    bare("GET", "/v1/head?min_revision=soon", 400, "E_QUERY"),
    bare("GET", "/v1/commits/+1", 400, "E_REVISION"),
    bare("GET", "/v1/commits/r1r", 400, "E_REVISION"),
    bare("GET", "/v1/commits/0", 400, "E_REVISION"),
    bare("GET", "/v1/commits?address=settings", 400, "E_QUERY"),
    bare("GET", "/v1/kv/a?at=r9", 404, "E_FUTURE"),
    bare("GET", "/v1/agents/nobody/session", 404, "E_UNKNOWN_AGENT"),
    bare("POST", "/v1/agents/nobody/sessions", 404, "E_UNKNOWN_AGENT"),
    bare("GET", "/v1/sessions/none", 404, "E_NO_SESSION"),
    body("POST", "/v1/agents/nobody/sessions", r#"{"at": 1}"#, "E_SESSION_AT"),
    body("POST", "/v1/agents/nobody/sessions", r#"{"usr": "x"}"#, "E_JSON"),
    body("POST", "/v1/plan", "", "E_JSON"),
    body("POST", "/v1/plan", "{", "E_JSON"),
    body("POST", "/v1/plan", "[]", "E_JSON"),
    body("POST", "/v1/apply", r#"{"plan_id": "x"}"#, "E_JSON"),
    body("POST", "/v1/txn", "{\"ops\": \u{1}}", "E_JSON"),
    body("POST", "/v1/txn", r#"{"ops": [{"put": {"key": "a"}}]}"#, "E_JSON"),
    body("POST", "/v1/txn", r#"{"compare": [{"key": "a"}]}"#, "E_TXN"),
    body("POST", "/v1/txn", r#"{"ops": [{"delete": {"key": "a"}}, {"delete": {"key": "a"}}]}"#, "E_DUPLICATE_KEY"),
    body("PUT", "/v1/secrets/a", r#"{"value": 7}"#, "E_JSON"),
    body("PUT", "/v1/secrets/a", r#"{"value": ""}"#, "E_EMPTY_SECRET"),
    body("PUT", "/v1/secrets/a%0ab", r#"{"value": "x"}"#, "E_NAME"),
    header(&[("if-match", "41")], 400, "E_IF_MATCH"),
    header(&[("if-match", "*")], 400, "E_IF_MATCH"),
    header(&[("if-none-match", "\"1\"")], 400, "E_IF_NONE_MATCH"),
    header(&[("idempotency-key", "a b\tc")], 400, "E_REQUEST_ID"),
    header(&[("idempotency-key", "a"), ("idempotency-key", "b")], 400, "E_HEADER"),
    header(&[("holdfast-author", "%1b")], 400, "E_AUTHOR"),
    header(&[("holdfast-author", "%ff")], 400, "E_AUTHOR"),
    header(&[("holdfast-protocol", "2")], 400, "E_PROTOCOL"),
];

#[test]
fn p5_bad_input_is_a_problem_with_a_way_out_and_changes_nothing() {
    let server = Server::start();
    let mut wrong = Vec::new();
    for Bad { request: (method, target), headers, body, answer: (status, code) } in BAD {
        let answer = send(&server, method, target, headers, body.as_bytes());
        let told = std::panic::catch_unwind(|| answer.problem(*status, code)).is_ok();
        if !told || answer.header("holdfast-revision") != "0" {
            wrong.push(format!("{method} {target} {headers:?} {body}: {} {}", answer.status, answer.text()));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    let allowed = send(&server, "PATCH", "/v1/kv/a", &[], b"");
    assert_eq!(allowed.header("allow"), "GET,HEAD,PUT,DELETE");
    assert_eq!(get(&server, "/v1/head").json()["revision"], 0);
}

#[test]
fn p5_p8_what_a_client_declares_is_held_to_its_kinds_as_manifests_are() {
    let server = Server::start();
    let plan = |resource: serde_json::Value| {
        let kinds = json!([{"name": "flag", "fields": {
            "rollout": {"type": "integer", "max": 100, "required": true},
            "token": {"type": "string", "sensitive": true},
        }}]);
        let desired = json!({"source": {"name": "team"}, "digest": "", "kinds": kinds, "resources": [resource], "diagnostics": []});
        send(&server, "POST", "/v1/plan", &[], json!({ "desired": desired }).to_string().as_bytes())
    };
    for (address, fields, code) in [
        ("settings/a", json!({"soulMd": 7}), "E_FIELD"),
        ("settings/a", json!({"installedProviders": [{"priority": 1}]}), "E_FIELD"),
        ("agent/a", json!({"description": "x"}), "E_FIELD"),
        ("flag/a", json!({"rollout": "x"}), "E_FIELD"),
        ("flag/a", json!({"rollout": 101}), "E_FIELD"),
        ("flag/a", json!({}), "E_FIELD"),
        ("flag/a", json!({"rollout": 1, "token": SECRET}), "E_SENSITIVE"),
        ("secret/provider:z-ai:apiKey", json!({"value": SECRET}), "E_SENSITIVE"),
        ("nothing/a", json!({}), "E_UNKNOWN_KIND"),
    ] {
        let answer = plan(json!({"address": address, "fields": fields}));
        let told = answer.problem(400, code);
        assert!(told["detail"].as_str().is_some_and(|detail| detail.contains(address)), "{told}");
        assert!(!answer.text().contains(SECRET), "{address}");
    }
    let good = plan(json!({"address": "flag/a", "fields": {"rollout": 100}}));
    assert_eq!((good.status, &good.json()["summary"]["create"]), (200, &json!(1)), "{}", good.text());
}

#[test]
fn p8_no_problem_repeats_a_secret_that_stands_in_a_wrong_place() {
    let server = Server::start();
    let mut request = serde_json::to_value(apply_request(&server.plane, plan_request(hotreload("glm-4.6")))).unwrap();
    request["plan"]["desired"]["digest"] = json!({ "no": SECRET });
    let misplaced = [
        ("POST", "/v1/apply", request.to_string()),
        ("POST", "/v1/plan", json!({ "desired": SECRET }).to_string()),
        ("POST", "/v1/plan", json!({ "org": SECRET.to_uppercase() }).to_string()),
        ("PUT", "/v1/secrets/a", json!(SECRET).to_string()),
        ("PUT", "/v1/secrets/a", json!({ "value": [SECRET] }).to_string()),
        ("PUT", "/v1/secrets/a", json!({ "value": SECRET, "expires": SECRET }).to_string()),
        ("PUT", "/v1/secrets/a", format!("{{\"value\": {SECRET}}}")),
        ("POST", "/v1/txn", json!({ "ops": [{ "put": { "key": "a", "value": { "base64": SECRET } } }] }).to_string()),
    ];
    for (method, target, body) in misplaced {
        let answer = send(&server, method, target, &[], body.as_bytes());
        assert_eq!(answer.status, 400, "{target}: {}", answer.text());
        assert!(!answer.text().to_lowercase().contains(SECRET), "{target}: {}", answer.text());
    }
}

#[test]
fn a_plan_that_is_stale_or_blocked_is_refused_before_anything_is_written() {
    let server = Server::start();
    let first = apply_request(&server.plane, plan_request(hotreload("glm-4.6")));
    let second = apply_request(&server.plane, plan_request(hotreload("glm-4.5")));
    let apply = |request| {
        let body = serde_json::to_vec(request).unwrap();
        send(&server, "POST", "/v1/apply", &[], &body)
    };
    assert_eq!(apply(&first).status, 200);
    apply(&second).problem(409, "E_STALE");

    let secretless = crate::support::project("glm-4.6", None);
    let mut removed = secretless;
    removed.resources.retain(|declared| declared.address.kind.as_str() != "secret");
    let blocked = apply(&apply_request(&server.plane, plan_request(removed)));
    let problem = blocked.problem(409, "E_BLOCKED");
    assert_eq!(problem["blocked"][0]["code"], "E_BREAKS", "{problem}");
    assert!(!problem["blocked"][0]["remedies"].as_array().unwrap().is_empty(), "{problem}");
    assert_eq!(get(&server, "/v1/head").json()["revision"], 1);
}

#[test]
fn a_seal_of_a_revision_that_no_store_ever_reaches_is_stale() {
    let server = Server::start();
    let request = plan_request(hotreload("glm-4.6"));
    for revision in [7, u64::MAX] {
        let mut apply = serde_json::to_value(apply_request(&server.plane, request.clone())).unwrap();
        apply["sealed"] = json!({ "revision": revision, "reads": "00" });
        send(&server, "POST", "/v1/apply", &[], apply.to_string().as_bytes()).problem(409, "E_STALE");
    }
    assert_eq!(get(&server, "/v1/head").json()["revision"], 0);
}

#[test]
fn a_session_that_fails_tells_the_evidence() {
    let server = Server::start();
    let mut desired = hotreload("glm-4.5");
    desired.resources.retain(|declared| declared.address.kind.as_str() != "secret");
    crate::support::apply(&server.plane, plan_request(desired));
    let failed = send(&server, "POST", "/v1/agents/hotreload-test/sessions", &[], b"{}");
    let problem = failed.problem(422, failed.json()["code"].as_str().unwrap());
    assert!(problem["detail"].as_str().unwrap().starts_with("No provider specified for model"), "{problem}");
    let looked_at = problem["evidence"].as_array().unwrap();
    assert!(looked_at.iter().any(|step| step["step"] == "org-secret" && step["outcome"] == "absent"), "{problem}");
}

#[test]
fn what_is_no_http_is_answered_or_closed_and_the_next_is_served() {
    let server = Server::start();
    let status = |bytes: &[u8]| raw(&server, bytes).status;
    assert_eq!(status(b"nonsense\r\n\r\n"), 400);
    assert_eq!(status(b"GET /v1/head HTTP/9.9\r\n\r\n"), 400);
    assert_eq!(status(b"PUT /v1/kv/a HTTP/1.1\r\nhost: x\r\ncontent-length: -1\r\n\r\n"), 400);
    assert_eq!(status(b"PUT /v1/kv/a HTTP/1.1\r\nhost: x\r\ncontent-length: 1\r\ncontent-length: 2\r\n\r\nx"), 400);
    let Answer { status, .. } = get(&server, "/v1/head");
    assert_eq!(status, 200);
}
