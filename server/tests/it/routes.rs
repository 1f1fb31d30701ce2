//! What each route answers to good input, over the socket, as bytes.

use serde_json::{Value, json};

use crate::support::http::{Answer, get, send};
use crate::support::{SECRET, Server, apply_request, hotreload, plan_request};

fn put(server: &Server, target: &str, headers: &[(&str, &str)], body: &str) -> Answer {
    send(server, "PUT", target, headers, body.as_bytes())
}

fn post(server: &Server, target: &str, body: &Value) -> Answer {
    send(server, "POST", target, &[], body.to_string().as_bytes())
}

/// Applies the project over HTTP, as any client would.
fn apply(server: &Server, model: &str) -> Answer {
    let request = apply_request(&server.plane, plan_request(hotreload(model)));
    post(server, "/v1/apply", &serde_json::to_value(&request).unwrap())
}

#[test]
fn a_raw_value_is_written_read_guarded_and_removed() {
    let server = Server::start();
    let written = put(&server, "/v1/kv/a/b", &[], "one");
    assert_eq!((written.status, written.json()), (200, json!({"revision": 1})));
    let read = get(&server, "/v1/kv/a/b");
    assert_eq!((read.status, read.body.as_slice(), read.header("etag")), (200, b"one".as_slice(), "\"1\""));
    assert_eq!(read.header("holdfast-revision"), "1");

    // P7: nobody's value is overwritten in silence.
    put(&server, "/v1/kv/a/b", &[("if-match", "\"9\"")], "lost").problem(412, "E_PRECONDITION");
    put(&server, "/v1/kv/a/b", &[("if-none-match", "*")], "lost").problem(412, "E_PRECONDITION");
    assert_eq!(put(&server, "/v1/kv/a/b", &[("if-match", "\"1\"")], "two").json(), json!({"revision": 2}));
    assert_eq!(get(&server, "/v1/kv/a/b").body, b"two");
    assert_eq!(get(&server, "/v1/kv/a/b?at=r1").body, b"one");
    assert_eq!(send(&server, "GET", "/v1/kv/a/b", &[("if-none-match", "\"2\"")], b"").status, 304);

    let removed = send(&server, "DELETE", "/v1/kv/a/b", &[("if-match", "\"2\"")], b"");
    assert_eq!((removed.status, removed.json()), (200, json!({"revision": 3})));
    get(&server, "/v1/kv/a/b").problem(404, "E_NO_KEY");
}

#[test]
fn a_refused_transaction_calls_a_key_what_the_client_does() {
    let server = Server::start();
    let twice = json!({"ops": [{"delete": {"key": "a"}}, {"delete": {"key": "a"}}]});
    let problem = post(&server, "/v1/txn", &twice).problem(400, "E_DUPLICATE_KEY");
    assert_eq!(problem["detail"], "`a` is changed twice in one transaction");
    assert!(!problem.to_string().contains("default"), "{problem}");
}

#[test]
fn a_key_that_is_none_is_told_as_the_client_wrote_it() {
    let server = Server::start();
    let problem = put(&server, "/v1/kv/a%00b", &[], "x").problem(400, "E_KEY");
    assert_eq!(problem["detail"], r"a key has no control characters, `a\0b` has one at byte 1");
    let problem = put(&server, &format!("/v1/kv/{}", "k".repeat(2000)), &[], "x").problem(400, "E_KEY");
    assert_eq!(problem["detail"], "a key of `default` has at most 1009 bytes, this one has 2000");
    assert_eq!(put(&server, &format!("/v1/kv/{}", "k".repeat(1009)), &[], "x").status, 200);
}

#[test]
fn a_page_of_resources_is_bounded_in_bytes_too() {
    let server = Server::start();
    let size = 7 << 20;
    for name in ["a", "b", "c"] {
        let body = json!({ "soulMd": name.repeat(size) }).to_string();
        let made = send(
            &server,
            "PATCH",
            &format!("/v1/resources/settings/{name}"),
            &[("if-none-match", "*")],
            body.as_bytes(),
        );
        assert_eq!(made.status, 200, "{}", made.text());
    }
    let (mut target, mut pages) = ("/v1/resources?limit=10000".to_owned(), Vec::new());
    loop {
        let page = get(&server, &target).json();
        let names = page["resources"].as_array().unwrap().iter().map(|row| row["name"].as_str().unwrap().to_owned());
        pages.push(names.collect::<Vec<_>>());
        let Some(next) = page["next"].as_str() else { break };
        target = format!("/v1/resources?limit=10000&after={}&at={}", next.replace('/', "%2F"), page["revision"]);
    }
    assert_eq!(pages, [vec!["a", "b"], vec!["c"]]);
}

#[test]
fn a_key_is_what_its_decoded_path_says() {
    let server = Server::start();
    for (written, read) in [
        ("/v1/kv/a/b", "/v1/kv/a%2Fb"),
        ("/v1/kv/a:b%20c", "/v1/kv/a%3Ab%20c"),
        ("/v1/kv/%C3%A9", "/v1/kv/%c3%a9"),
        ("/v1/kv/../x", "/v1/kv/%2e%2e/x"),
        ("/v1/kv//x", "/v1/kv/%2Fx"),
        ("/v1/kv/x/", "/v1/kv/x%2F"),
    ] {
        assert_eq!(put(&server, written, &[], written).status, 200, "{written}");
        assert_eq!(get(&server, read).text(), written, "{read}");
    }
    get(&server, "/v1/kv/x").problem(404, "E_NO_KEY");
}

#[test]
fn p2_a_transaction_happens_whole_or_not_at_all() {
    let server = Server::start();
    put(&server, "/v1/kv/a/b", &[], "one");
    let good = json!({
        "compare": [{"key": "a/b", "modified": 1}, {"key": "c", "absent": true}, {"head": 1}],
        "ops": [{"put": {"key": "c", "value": {"base64": "/wA="}}}, {"delete": {"key": "a/b"}}],
    });
    let done = post(&server, "/v1/txn", &good);
    assert_eq!((done.status, done.json()), (200, json!({"succeeded": true, "revision": 2})));
    assert_eq!(get(&server, "/v1/kv/c").body, [0xff, 0]);
    let again = post(&server, "/v1/txn", &good);
    assert_eq!((again.status, again.json()), (412, json!({"succeeded": false, "revision": 2})));
    assert_eq!(again.header("content-type"), "application/json");
    assert_eq!(get(&server, "/v1/head").json()["revision"], 2);
}

#[test]
fn a_write_with_a_request_id_happens_once() {
    let server = Server::start();
    let id = [("idempotency-key", "once")];
    assert_eq!(put(&server, "/v1/kv/a", &id, "one").json(), json!({"revision": 1}));
    put(&server, "/v1/kv/a", &[], "two");
    assert_eq!(put(&server, "/v1/kv/a", &id, "one").json(), json!({"revision": 1}));
    assert_eq!(get(&server, "/v1/kv/a").body, b"two");
    assert_eq!(get(&server, "/v1/head").json()["revision"], 2);
}

#[test]
fn p7_a_request_id_that_another_request_had_does_not_take_a_write_away() {
    let server = Server::start();
    apply(&server, "glm-4.6");
    apply(&server, "glm-4.5");
    let id = [("idempotency-key", "zz9")];
    let revision = |answer: Answer| answer.json()["revision"].as_u64().unwrap();
    assert_eq!(revision(put(&server, "/v1/kv/q", &id, "one")), 3);
    assert_eq!(revision(put(&server, "/v1/kv/r", &id, "one")), 4, "another key");
    assert_eq!(revision(send(&server, "DELETE", "/v1/kv/q", &id, b"")), 5, "another operation");
    get(&server, "/v1/kv/q").problem(404, "E_NO_KEY");
    let txn = json!({"compare": [{"key": "r", "absent": true}], "ops": [{"delete": {"key": "r"}}]}).to_string();
    let failed = send(&server, "POST", "/v1/txn", &id, txn.as_bytes());
    assert_eq!((failed.status, &failed.json()["succeeded"]), (412, &json!(false)), "{}", failed.text());
    let writes = [
        ("POST", "/v1/rollback", r#"{"to": 1}"#),
        ("POST", "/v1/resume", ""),
        ("PATCH", "/v1/resources/agent/hotreload-test", r#"{"name": "A"}"#),
    ];
    for (revision, (method, target, body)) in (6..).zip(writes) {
        let answer = send(&server, method, target, &id, body.as_bytes());
        let (made, outcome) = (&answer.json()["revision"], &answer.json()["outcome"]);
        assert_eq!((made, outcome), (&json!(revision), &json!("committed")), "{target}: {}", answer.text());
    }
    // Each is still answered as it was, and does nothing again.
    assert_eq!(revision(put(&server, "/v1/kv/q", &id, "one")), 3);
    for (revision, (method, target, body)) in (6..).zip(writes) {
        let again = send(&server, method, target, &id, body.as_bytes()).json();
        assert_eq!((&again["revision"], &again["outcome"]), (&json!(revision), &json!("replayed")), "{target}");
    }
    assert_eq!(get(&server, "/v1/head").json()["revision"], 8);
}

#[test]
fn p1_p4_what_a_plan_shows_is_applied_and_the_next_session_has_it() {
    let server = Server::start();
    let request = plan_request(hotreload("glm-4.6"));
    let plan = post(&server, "/v1/plan", &serde_json::to_value(&request).unwrap());
    assert_eq!((plan.status, plan.header("holdfast-revision")), (200, "0"));
    assert_eq!(plan.json()["applyable"], true, "{}", plan.text());
    assert_eq!(get(&server, "/v1/head").json()["revision"], 0, "a plan changes nothing");

    let applied = apply(&server, "glm-4.6");
    assert_eq!((applied.status, &applied.json()["outcome"]), (200, &json!("committed")), "{}", applied.text());
    assert_eq!(post(&server, "/v1/plan", &serde_json::to_value(&request).unwrap()).json()["changes"], json!([]));

    let opened = post(&server, "/v1/agents/hotreload-test/sessions", &json!({"user": "maria"}));
    let context = opened.json();
    assert_eq!(opened.status, 201, "{context}");
    assert_eq!(
        context["model"],
        json!({"reference": "glm-4.6", "provider": "z-ai", "registry": "zai", "id": "glm-4.6"})
    );
    assert_eq!(context["credentials"][0]["source"], "org-secret");
    assert_eq!((&context["revision"], &context["user"]), (&json!(1), &json!("maria")));

    apply(&server, "glm-4.5");
    assert_eq!(get(&server, opened.header("location")).json(), context, "an open session keeps what it has");
    let looked = get(&server, "/v1/agents/hotreload-test/session").json();
    assert_eq!((&looked["model"]["id"], &looked["session"]), (&json!("glm-4.5"), &Value::Null));
    let past = get(&server, "/v1/agents/hotreload-test/session?at=r1").json();
    assert_eq!((&past["model"]["id"], &past["revision"]), (&json!("glm-4.6"), &json!(1)));

    let closed = send(&server, "DELETE", opened.header("location"), &[], b"");
    assert_eq!((closed.status, closed.body.len()), (204, 0));
    get(&server, opened.header("location")).problem(404, "E_NO_SESSION");
}

#[test]
fn history_and_live_resources_are_told() {
    let server = Server::start();
    apply(&server, "glm-4.6");
    apply(&server, "glm-4.5");
    let commits = get(&server, "/v1/commits").json();
    let told: Vec<_> = commits["commits"].as_array().unwrap().iter().map(|commit| &commit["revision"]).collect();
    assert_eq!(told, [2, 1], "newest first");
    for member in ["commit", "parent", "time", "author", "message", "source", "git", "plan", "summary"] {
        assert!(commits["commits"][0].get(member).is_some(), "{member}: {commits}");
    }
    assert_eq!(get(&server, "/v1/commits?before=r2&limit=5").json()["commits"].as_array().unwrap().len(), 1);
    for revision in ["2", "r2"] {
        let commit = get(&server, &format!("/v1/commits/{revision}")).json();
        assert_eq!((&commit["author"], &commit["revision"]), (&json!("maria"), &json!(2)), "{commit}");
    }
    get(&server, "/v1/commits/3").problem(404, get(&server, "/v1/commits/3").json()["code"].as_str().unwrap());

    let of_agent = get(&server, "/v1/commits?prefix=live/agent/").json();
    assert_eq!(of_agent["commits"].as_array().unwrap().len(), 1, "only the first commit touched the agent");
    assert_eq!(get(&server, "/v1/commits?address=settings/hotreload-test").json(), commits);

    let diff = get(&server, "/v1/diff?from=1&to=2");
    assert_eq!(diff.header("holdfast-revision"), "2");
    let diff = diff.json();
    assert_eq!(diff["summary"], json!({"create": 0, "update": 1, "delete": 0}));
    let row = &diff["resources"][0];
    assert_eq!((&row["address"], &row["action"]), (&json!("settings/hotreload-test"), &json!("update")));
    assert_eq!(row["fields"][0]["path"], json!(["providerModelPreferences", "z-ai"]));
    assert_eq!((&row["fields"][0]["before"], &row["fields"][0]["after"]), (&json!("glm-4.6"), &json!("glm-4.5")));
    let back = get(&server, "/v1/diff?from=2&to=1").json();
    assert_eq!(back["resources"][0]["fields"][0]["after"], json!("glm-4.6"), "the other way round");
    let made = get(&server, "/v1/diff?from=0&address=secret/provider:z-ai:apiKey").json();
    assert_eq!(made["resources"].as_array().unwrap().len(), 1);
    assert!(made["resources"][0]["fields"][0]["after_tag"].is_string(), "{made}");

    // The state of a time is that of the newest commit made until then.
    let time = commits["commits"][1]["time"].as_str().unwrap();
    assert_eq!(get(&server, &format!("/v1/head?at={time}")).json()["revision"], json!(1));
    assert_eq!(get(&server, "/v1/head?at=2001-01-01T00:00:00Z").json()["revision"], json!(0));
    let then = get(&server, &format!("/v1/resources/settings/hotreload-test?at={time}"));
    assert_eq!(then.json()["modified"], json!(1));

    let page = get(&server, "/v1/resources?limit=1").json();
    let next = page["next"].as_str().unwrap();
    let rest = get(&server, &format!("/v1/resources?after={}", next.replace('/', "%2F"))).json();
    assert_eq!(page["resources"].as_array().unwrap().len(), 1);
    assert!(rest["resources"].as_array().unwrap().len() >= 2, "{rest}");
    let settings = get(&server, "/v1/resources/settings/hotreload-test");
    assert_eq!(settings.json()["fields"]["providerModelPreferences"], json!({"z-ai": "glm-4.5"}));
    assert_eq!(settings.header("etag"), "\"2\"");
    let before = get(&server, "/v1/resources/settings/hotreload-test?at=1");
    assert_eq!(before.json()["fields"]["providerModelPreferences"], json!({"z-ai": "glm-4.6"}));
    assert_eq!((before.header("etag"), before.header("holdfast-revision")), ("\"1\"", "1"));
    let secret = get(&server, "/v1/resources/secret/provider:z-ai:apiKey");
    assert_eq!((secret.status, &secret.json()["name"]), (200, &json!("provider:z-ai:apiKey")));
}

#[test]
fn p8_a_secret_goes_in_and_never_comes_out() {
    let server = Server::start();
    let body = json!({"value": SECRET}).to_string();
    let set = put(&server, "/v1/secrets/provider:z-ai:apiKey", &[("holdfast-author", "ui%3Amaria")], &body);
    assert_eq!((set.status, &set.json()["revision"]), (200, &json!(1)), "{}", set.text());
    let listed = get(&server, "/v1/secrets");
    assert_eq!(listed.json()["secrets"][0]["name"], "provider:z-ai:apiKey");
    assert_eq!(listed.json()["secrets"][0]["owner"], "ui:maria");
    let told = [
        set,
        listed,
        get(&server, "/v1/commits/1"),
        get(&server, "/v1/resources"),
        get(&server, "/v1/resources/secret/provider:z-ai:apiKey"),
        get(&server, "/v1/status"),
    ];
    assert!(told.iter().all(|answer| answer.status == 200 && !answer.text().contains(SECRET)));
    assert_eq!(send(&server, "DELETE", "/v1/secrets/provider:z-ai:apiKey", &[], b"").json()["outcome"], "committed");
    assert_eq!(get(&server, "/v1/secrets").json(), json!({"secrets": []}));
}

#[test]
fn p12_organisations_do_not_see_each_other() {
    let server = Server::start();
    let mut request = plan_request(hotreload("glm-4.6"));
    request.org = Some(crate::support::org("acme"));
    let request = serde_json::to_value(apply_request(&server.plane, request)).unwrap();
    assert_eq!(post(&server, "/v1/apply?org=acme", &request).status, 200);
    put(&server, "/v1/kv/a?org=acme", &[], "acme's");
    let opened = post(&server, "/v1/agents/hotreload-test/sessions?org=acme", &json!({}));
    assert_eq!(opened.status, 201, "{}", opened.text());
    let session = format!("/v1/sessions/{}", opened.json()["session"].as_str().unwrap());
    assert_eq!(get(&server, &format!("{session}?org=acme")).status, 200);

    for target in [
        "/v1/kv/a?org=other",
        "/v1/resources/settings/hotreload-test?org=other",
        "/v1/agents/hotreload-test/session?org=other",
        "/v1/commits/1?org=other",
        &format!("{session}?org=other"),
    ] {
        let answer = get(&server, target);
        assert_eq!(answer.status, 404, "{target}");
        assert!(!answer.text().contains("acme"), "{target}: {}", answer.text());
    }
    assert_eq!(send(&server, "DELETE", &format!("{session}?org=other"), &[], b"").status, 404);
    for (target, member) in [("resources", "resources"), ("commits", "commits"), ("secrets", "secrets")] {
        assert_eq!(get(&server, &format!("/v1/{target}?org=other")).json()[member], json!([]), "{target}");
    }
    post(&server, "/v1/apply?org=other", &request).problem(400, "E_ORG");
}

#[test]
fn every_answer_tells_revision_and_protocol() {
    let server = Server::start();
    put(&server, "/v1/kv/a", &[], "one");
    let head = get(&server, "/v1/head");
    let told = head.json();
    assert_eq!((head.header("etag"), &told["epoch"], &told["revision"]), ("\"1\"", &json!(1), &json!(1)));
    assert!(told["time"].as_str().unwrap().ends_with('Z') && told["store"].as_str().unwrap().len() == 36, "{told}");
    for target in ["/healthz", "/readyz", "/v1/head", "/v1/status", "/v1/secrets", "/nowhere", "/v1/kv/none"] {
        let answer = get(&server, target);
        assert_eq!(answer.header("holdfast-revision"), "1", "{target}");
        assert_eq!(answer.header("holdfast-protocol"), "1", "{target}");
        assert_eq!(answer.header("cache-control"), "no-store", "{target}");
    }
    assert_eq!(get(&server, "/healthz").json()["pid"], std::process::id());
    assert_eq!(get(&server, "/readyz").json(), json!({"status": "ready", "revision": 1}));
    assert_eq!(send(&server, "POST", "/v1/verify", &[], b"").json()["damage"], json!([]));
}

#[test]
fn answers_are_compressed_for_those_who_ask() {
    let server = Server::start();
    apply(&server, "glm-4.6");
    let plain = get(&server, "/v1/resources");
    let packed = send(&server, "GET", "/v1/resources", &[("accept-encoding", "gzip")], b"");
    assert_eq!((packed.status, packed.header("content-encoding")), (200, "gzip"));
    // What comes in pieces ends whole: the helper reads to the piece of no length that says so.
    let packed = send(&server, "GET", "/v1/backup", &[("accept-encoding", "gzip")], b"");
    assert_eq!((packed.status, packed.header("content-encoding")), (200, "gzip"));
    assert_eq!(packed.header("transfer-encoding"), "chunked");
    assert_eq!(packed.body[..2], [0x1f, 0x8b]);
    assert_eq!((plain.header("content-encoding"), plain.header("vary")), ("", packed.header("vary")));
    assert_eq!(packed.header("holdfast-revision"), "1");
    let problem = send(&server, "GET", "/v1/nowhere", &[("accept-encoding", "gzip")], b"");
    assert_eq!((problem.status, problem.header("content-type")), (404, "application/problem+json"));
}

#[test]
fn the_server_counts_its_requests_by_route() {
    let server = Server::start();
    put(&server, "/v1/kv/a", &[], "one");
    get(&server, "/v1/kv/none");
    let metrics = get(&server, "/metrics");
    assert!(metrics.header("content-type").starts_with("text/plain"));
    for line in [
        "holdfast_revision 1",
        "holdfast_watches 0",
        "holdfast_request_duration_seconds_count{route=\"/v1/kv/{*key}\",method=\"PUT\",status=\"200\"} 1",
        "holdfast_request_duration_seconds_count{route=\"/v1/kv/{*key}\",method=\"GET\",status=\"404\"} 1",
    ] {
        assert!(metrics.text().lines().any(|found| found == line), "{line}\n{}", metrics.text());
    }
}

#[test]
fn p4_a_read_waits_for_the_revision_that_it_asks_for() {
    let server = Server::start();
    std::thread::scope(|threads| {
        let waiting = threads.spawn(|| get(&server, "/v1/kv/a?min_revision=r2"));
        put(&server, "/v1/kv/a", &[], "one");
        put(&server, "/v1/kv/a", &[], "two");
        assert_eq!(waiting.join().unwrap().body, b"two");
    });
}

#[test]
fn a_rollback_over_http_is_guarded_repeatable_and_held() {
    let server = Server::start();
    apply(&server, "glm-4.6");
    apply(&server, "glm-4.5");
    post(&server, "/v1/rollback", &json!({"to": 9})).problem(404, "E_FUTURE");
    post(&server, "/v1/rollback", &json!({"to": 1, "source": "nobody"})).problem(404, "E_NOT_FOUND");
    post(&server, "/v1/rollback", &json!({"to": 1, "plan_id": "7c1e93ab"})).problem(409, "E_STALE");
    let body = json!({"to": 1, "request_id": "back"});
    let back = post(&server, "/v1/rollback", &body).json();
    assert_eq!((&back["revision"], &back["outcome"]), (&json!(3), &json!("committed")));
    assert_eq!(post(&server, "/v1/rollback", &body).json()["revision"], 3);
    assert_eq!(post(&server, "/v1/rollback", &json!({"to": 1})).json()["outcome"], "unchanged");
    let status = get(&server, "/v1/status").json();
    let source = &status["sources"][0];
    // The refused one is remembered for the source that it was about.
    assert_eq!(
        (&status["attempts"][0]["code"], &status["attempts"][0]["source"]),
        (&json!("E_STALE"), &source["source"])
    );
    assert_eq!((&source["held"]["since"], &source["held"]["rollback"]), (&json!(3), &json!(1)));
    let session = get(&server, "/v1/agents/hotreload-test/session").json();
    assert_eq!(session["model"]["reference"], "glm-4.6");
    assert_eq!(get(&server, "/v1/commits/3").json()["rollback"], 1);

    assert_eq!(send(&server, "POST", "/v1/resume", &[], b"").json()["revision"], 4);
    assert_eq!(send(&server, "POST", "/v1/resume", &[], b"").json()["outcome"], "unchanged");
    assert_eq!(get(&server, "/v1/status").json()["sources"][0]["held"], Value::Null);
}
