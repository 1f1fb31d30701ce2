//! Worker tokens over HTTP: the organisation comes from the token and from nowhere else.

use serde_json::{Value, json};

use crate::support::http::{get, send};
use crate::support::{Server, apply_request, hotreload, plan_request};

fn opened(server: &Server) -> (String, String) {
    let request = plan_request(hotreload("glm-4.6"));
    send(server, "POST", "/v1/apply", &[], json!(apply_request(&server.plane, request)).to_string().as_bytes());
    let session = send(server, "POST", "/v1/agents/hotreload-test/sessions", &[], b"").json();
    let id = session["session"].as_str().unwrap().to_owned();
    let token = send(server, "POST", &format!("/v1/sessions/{id}/token"), &[], b"{\"life_ms\":60000}").json();
    (id, token["token"].as_str().unwrap().to_owned())
}

#[test]
fn p12_a_worker_shows_its_token_and_gets_its_session_until_it_is_closed() {
    let server = Server::start();
    let (id, token) = opened(&server);
    let shown = |token: &str, target: &str| {
        let bearer = format!("Bearer {token}");
        send(&server, "GET", target, &[("Authorization", bearer.as_str())], b"")
    };
    let context = shown(&token, "/v1/session-context");
    assert_eq!((context.status, &context.json()["session"]), (200, &json!(id)), "{}", context.text());
    assert!(context.json()["credentials"].is_array() && !context.text().contains(&token));
    assert_eq!(shown(&token, "/v1/session-context?org=acme").status, 400, "the organisation is never a parameter");
    let mut changed = token.clone();
    changed.replace_range(20..21, if &token[20..21] == "A" { "B" } else { "A" });
    for wrong in [changed.as_str(), "", "hfw_", "x y"] {
        let refused = shown(wrong, "/v1/session-context");
        assert_eq!((refused.status, &refused.json()["code"]), (401, &json!("E_TOKEN")), "{wrong}");
        assert_eq!(refused.header("www-authenticate"), "Bearer");
    }
    assert_eq!(get(&server, "/v1/session-context").status, 401);
    assert_eq!(send(&server, "DELETE", &format!("/v1/sessions/{id}"), &[], b"").status, 204);
    assert_eq!(shown(&token, "/v1/session-context").status, 401, "a closed session ends its tokens");
    for body in ["{\"life_ms\":1}", "{\"life\":60}", "7"] {
        let refused = send(&server, "POST", &format!("/v1/sessions/{id}/token"), &[], body.as_bytes());
        assert!(matches!(refused.status, 400 | 404), "{body}: {}", refused.text());
    }
}

#[test]
fn p5_explain_answers_also_where_there_is_no_session() {
    let server = Server::start();
    opened(&server);
    let explained: Value = get(&server, "/v1/agents/hotreload-test/explain?user=maria").json();
    assert_eq!((&explained["error"], &explained["credential"]), (&Value::Null, &json!("org-secret")), "{explained}");
    let target = "/v1/secrets/provider:z-ai:apiKey?allow_break=hotreload-test";
    assert_eq!(send(&server, "DELETE", target, &[], b"").status, 200);
    let explained: Value = get(&server, "/v1/agents/hotreload-test/explain").json();
    assert!(explained["error"].as_str().unwrap().starts_with("No provider specified"), "{explained}");
    let past: Value = get(&server, "/v1/agents/hotreload-test/explain?at=r1").json();
    assert_eq!((&past["error"], &past["revision"]), (&Value::Null, &json!(1)), "{past}");
    assert_eq!(get(&server, "/v1/agents/nobody/explain").status, 404);
}
