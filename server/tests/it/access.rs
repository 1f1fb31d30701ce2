//! The network: every route with every role, for the own and for a foreign organisation, with tokens that count and that do not;
//! what a token that is revoked still gets; and TLS.

use std::collections::BTreeSet;
use std::io::{BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use holdfast_engine::Timestamp;
use holdfast_reconciler::agents::resolver::SystemEnvironment;
use holdfast_reconciler::controller::{Loop, LoopState};
use holdfast_reconciler::desired::SecretText;
use holdfast_reconciler::error::ProblemKind;
use holdfast_reconciler::keyfile::KeySource;
use holdfast_reconciler::plane::{ControlPlane, KvOp, KvTxn, NewToken, Reach, Role, TokenRequest, TokenRevocation};
use holdfast_reconciler::source::FolderSource;
use holdfast_reconciler::{Plane, PlaneOptions};
use holdfast_server::limits::TOKEN_REQUESTS_MAX;
use holdfast_server::{Client, Listen, MountError, ServeOptions, TlsIdentity, TlsTrust, mount};
use serde_json::{Value, json};

use crate::support::http::{Answer, read, request, send};
use crate::support::{Halted, Server, apply, apply_request, eventually, halting_plane, hotreload, org, plan_request};

const LOOPBACK: &str = "127.0.0.1:0";

fn listening(tls: Option<TlsIdentity>) -> ServeOptions {
    let listen = Some(Listen { address: LOOPBACK.parse().unwrap(), tls });
    ServeOptions { listen, bookmark_every: Duration::from_millis(50), ..ServeOptions::default() }
}

fn start() -> Server {
    Server::start_with(listening(None))
}

fn token(plane: &Plane, name: &str, role: Role, reach: Reach) -> SecretText {
    let request =
        TokenRequest { name: name.to_owned(), role, reach: Some(reach), life_ms: None, author: "t".to_owned() };
    plane.create_token(&request).unwrap().token
}

fn orgs(names: &[&str]) -> Reach {
    Reach::Orgs(names.iter().map(|name| org(name)).collect())
}

/// Sends a request over the network and reads its answer.
fn over(at: SocketAddr, token: Option<&str>, method: &str, target: &str, body: &Value) -> Answer {
    let bearer = token.map(|token| format!("Bearer {token}"));
    let headers: Vec<_> = bearer.iter().map(|bearer| ("authorization", bearer.as_str())).collect();
    let body = if body.is_null() { Vec::new() } else { body.to_string().into_bytes() };
    let mut stream = connected(at);
    stream.write_all(&request(method, target, &headers, &body)).unwrap();
    let mut reader = BufReader::new(stream);
    // The answer of a watch has no end.
    let endless = target.starts_with("/v1/watch") || target.split('?').next() == Some("/v1/follow");
    if endless && reader.fill_buf().unwrap().starts_with(b"HTTP/1.1 200") {
        return Answer { status: 200, headers: Default::default(), body: Vec::new() };
    }
    read(&mut reader).expect("an answer")
}

fn connected(at: SocketAddr) -> TcpStream {
    let stream = TcpStream::connect(at).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
    stream
}

/// What a route needs, as this test expects it.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Expect {
    /// Nothing.
    Open,
    /// A worker's token.
    Worker,
    /// The role; no organisation is named.
    Role(Role),
    /// The role for the organisation.
    Org(Role),
    /// The role for all organisations.
    Store(Role),
}

/// Every route, in the order of its path.
const ROUTES: &[(&str, &str, Expect)] = &[
    ("GET", "/healthz", Expect::Open),
    ("GET", "/metrics", Expect::Role(Role::Read)),
    ("GET", "/openapi.json", Expect::Open),
    ("GET", "/readyz", Expect::Open),
    ("GET", "/v1/agents/{agent}/explain", Expect::Org(Role::Read)),
    ("GET", "/v1/agents/{agent}/session", Expect::Org(Role::Read)),
    ("POST", "/v1/agents/{agent}/sessions", Expect::Org(Role::Apply)),
    ("POST", "/v1/apply", Expect::Org(Role::Apply)),
    ("GET", "/v1/backup", Expect::Store(Role::Admin)),
    ("GET", "/v1/commits", Expect::Org(Role::Read)),
    ("GET", "/v1/commits/{revision}", Expect::Org(Role::Read)),
    ("POST", "/v1/compact", Expect::Store(Role::Admin)),
    ("GET", "/v1/diff", Expect::Org(Role::Read)),
    ("GET", "/v1/head", Expect::Role(Role::Read)),
    ("POST", "/v1/approve", Expect::Org(Role::Apply)),
    ("POST", "/v1/poke", Expect::Role(Role::Apply)),
    ("GET", "/v1/explain/{kind}/{name}", Expect::Org(Role::Read)),
    ("GET", "/v1/follow", Expect::Role(Role::Read)),
    ("DELETE", "/v1/followers/{id}", Expect::Role(Role::Read)),
    ("PUT", "/v1/followers/{id}", Expect::Role(Role::Read)),
    ("POST", "/v1/import", Expect::Org(Role::Apply)),
    ("POST", "/v1/keys/rotate", Expect::Store(Role::Admin)),
    ("DELETE", "/v1/kv/{key}", Expect::Org(Role::Apply)),
    ("GET", "/v1/kv/{key}", Expect::Org(Role::Read)),
    ("PUT", "/v1/kv/{key}", Expect::Org(Role::Apply)),
    ("POST", "/v1/plan", Expect::Org(Role::Read)),
    ("GET", "/v1/profiles", Expect::Org(Role::Read)),
    ("DELETE", "/v1/profiles/{user}/{provider}", Expect::Org(Role::Apply)),
    ("PUT", "/v1/profiles/{user}/{provider}", Expect::Org(Role::Apply)),
    ("GET", "/v1/resources", Expect::Org(Role::Read)),
    ("DELETE", "/v1/resources/{kind}/{name}", Expect::Org(Role::Apply)),
    ("GET", "/v1/resources/{kind}/{name}", Expect::Org(Role::Read)),
    ("PATCH", "/v1/resources/{kind}/{name}", Expect::Org(Role::Apply)),
    ("POST", "/v1/resume", Expect::Org(Role::Apply)),
    ("POST", "/v1/rollback", Expect::Org(Role::Apply)),
    ("POST", "/v1/seal", Expect::Org(Role::Read)),
    ("GET", "/v1/secrets", Expect::Org(Role::Read)),
    ("DELETE", "/v1/secrets/{name}", Expect::Org(Role::Apply)),
    ("PUT", "/v1/secrets/{name}", Expect::Org(Role::Apply)),
    ("GET", "/v1/session-context", Expect::Worker),
    ("DELETE", "/v1/sessions/{id}", Expect::Org(Role::Apply)),
    ("GET", "/v1/sessions/{id}", Expect::Org(Role::Read)),
    ("POST", "/v1/sessions/{id}/token", Expect::Org(Role::Apply)),
    ("GET", "/v1/status", Expect::Org(Role::Read)),
    ("GET", "/v1/tokens", Expect::Role(Role::Admin)),
    ("POST", "/v1/tokens", Expect::Role(Role::Admin)),
    ("DELETE", "/v1/tokens/{token}", Expect::Role(Role::Admin)),
    ("POST", "/v1/txn", Expect::Org(Role::Apply)),
    ("POST", "/v1/verify", Expect::Store(Role::Admin)),
    ("GET", "/v1/watch", Expect::Org(Role::Read)),
];

/// A place of the route that exists as little as anything can.
fn target(path: &str) -> String {
    let mut target = path.to_owned();
    for (name, value) in [("{revision}", "1"), ("{kind}", "note"), ("{provider}", "z-ai")] {
        target = target.replace(name, value);
    }
    while let (Some(from), Some(to)) = (target.find('{'), target.find('}')) {
        target.replace_range(from..=to, "nobody");
    }
    target
}

/// How an answer let the request in: not at all, with which code, or somehow.
fn verdict(answer: &Answer) -> String {
    match answer.status {
        401 | 403 => {
            assert!(answer.status == 403 || answer.header("www-authenticate") == "Bearer");
            let code = answer.json()["code"].as_str().unwrap().to_owned();
            answer.problem(answer.status, &code);
            format!("{} {code}", answer.status)
        }
        500.. => panic!("{}: {}", answer.status, answer.text()),
        _ => "in".to_owned(),
    }
}

fn expected(expect: Expect, role: Role, reach: &Reach, asked: Option<&str>) -> &'static str {
    let needed = match expect {
        Expect::Open => return "in",
        Expect::Worker => return "401 E_TOKEN",
        Expect::Role(needed) | Expect::Org(needed) | Expect::Store(needed) => needed,
    };
    if role < needed {
        return "403 E_ROLE";
    }
    let foreign = asked.is_some_and(|asked| !reach.allows(&org(asked)));
    let narrow = matches!(expect, Expect::Store(_)) && *reach != Reach::All;
    if foreign || narrow { "403 E_FOREIGN_ORG" } else { "in" }
}

/// A plane over the same store at another time, which may be one at which a token had a life ahead of it.
fn at_time(plane: &Plane, millis: i64) -> Plane {
    let clock: holdfast_engine::Clock = Arc::new(move || Timestamp::from_millis(millis));
    let (keys, system) = (KeySource::None("none".to_owned()), SystemEnvironment::NotKnown);
    Plane::new(
        plane.engine().clone(),
        PlaneOptions { keys, system, clock, elapsed: Arc::new(|| std::time::Duration::ZERO), holder: None },
    )
}

#[test]
fn p12_every_route_lets_in_whom_it_should_and_nobody_else() {
    let server = start();
    let at = server.address();
    let document = crate::support::http::get(&server, "/openapi.json").json();
    let mut described = BTreeSet::new();
    for (path, methods) in document["paths"].as_object().unwrap() {
        described.extend(methods.as_object().unwrap().keys().map(|method| (method.to_uppercase(), path.clone())));
    }
    let rows: BTreeSet<_> = ROUTES.iter().map(|(method, path, _)| ((*method).to_owned(), (*path).to_owned())).collect();
    assert_eq!(described, rows, "every route stands in the table");

    let plane = &server.plane;
    let expired = token(&at_time(plane, 0), "expired", Role::Admin, Reach::All);
    let revoked = token(plane, "revoked", Role::Admin, Reach::All);
    let revocation = TokenRevocation { token: "revoked".to_owned(), within: Reach::All, author: "t".to_owned() };
    plane.revoke_token(&revocation).unwrap();
    let genuine = token(plane, "genuine", Role::Admin, Reach::All);
    let mut changed = genuine.expose().to_owned();
    changed.replace_range(30..31, if &changed[30..31] == "A" { "B" } else { "A" });
    let no_entry = [
        (None, "401 E_NO_ACCESS_TOKEN"),
        (Some(expired.expose()), "401 E_ACCESS_EXPIRED"),
        (Some(revoked.expose()), "401 E_ACCESS_TOKEN"),
        (Some(changed.as_str()), "401 E_ACCESS_TOKEN"),
        (Some("hfw_worker"), "401 E_ACCESS_TOKEN"),
        (Some("x"), "401 E_ACCESS_TOKEN"),
    ];
    let mut tokens = Vec::new();
    for (reach, name) in [(orgs(&["acme"]), "acme"), (orgs(&["acme", "beta"]), "both"), (Reach::All, "all")] {
        for role in Role::ALL {
            let made = token(plane, &format!("{name}-{role}"), role, reach.clone());
            tokens.push((role, reach.clone(), made));
        }
    }
    let mut tried = 0;
    let mut wrong = Vec::new();
    let mut check = |method: &str, path: &str, asked: Option<&str>, token: Option<&str>, expected: &str, who: &str| {
        let query = asked.filter(|_| path != "/v1/session-context").map_or(String::new(), |org| format!("?org={org}"));
        let got = verdict(&over(at, token, method, &format!("{}{query}", target(path)), &Value::Null));
        tried += 1;
        if got != expected {
            wrong.push(format!("{method} {path}{query} with {who}: {got}, not {expected}"));
        }
    };
    for (method, path, expect) in ROUTES {
        for (token, code) in &no_entry {
            let code = match expect {
                Expect::Open => "in",
                Expect::Worker => "401 E_TOKEN",
                _ => code,
            };
            check(method, path, None, *token, code, &format!("{token:?}"));
        }
        for (role, reach, token) in &tokens {
            for asked in [None, Some("acme"), Some("beta"), Some("gamma")] {
                let expected = expected(*expect, *role, reach, asked);
                check(method, path, asked, Some(token.expose()), expected, &format!("{role} of {reach}"));
            }
        }
    }
    println!("{tried} requests over {} routes", ROUTES.len());
    assert!(tried > 1_500, "only {tried} were tried");
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn p12_what_is_no_route_or_no_method_is_told_to_nobody_without_a_token() {
    let server = start();
    let at = server.address();
    for open in ["/healthz", "/readyz", "/openapi.json"] {
        assert_eq!(over_head(at, None, "DELETE", open), 405, "{open} is open to anybody, with its methods");
    }
    let reader = token(&server.plane, "r", Role::Read, orgs(&["acme"]));
    for (method, target, status) in [
        ("GET", "/v1/nothing", 404),
        ("GET", "/v1/../v1/backup", 404),
        ("GET", "/v1//backup", 404),
        ("GET", "/V1/backup", 404),
        ("GET", "/v1/%62ackup", 403),
        ("DELETE", "/v1/head", 405),
        ("OPTIONS", "/v1/head", 405),
        ("HEAD", "/v1/backup", 403),
    ] {
        assert_eq!(over_head(at, None, method, target), 401, "{method} {target}");
        let shown = over_head(at, Some(reader.expose()), method, target);
        // A path may be refused as no route before it is compared with one.
        assert!(shown == status || (status == 403 && shown == 404), "{method} {target}: {shown}");
    }
    // No answer invites a browser's page of another origin.
    let answer = over(at, Some(reader.expose()), "GET", "/v1/head", &Value::Null);
    assert!(!answer.headers.keys().any(|name| name.starts_with("access-control")));
    for header in ["Basic aGk6aGk=", "Bearer", "", "bearer  "] {
        let mut stream = connected(at);
        stream.write_all(&request("GET", "/v1/head", &[("authorization", header)], b"")).unwrap();
        assert_eq!(read(&mut BufReader::new(stream)).unwrap().status, 401, "{header:?}");
    }
    let twice = format!("Bearer {}", reader.expose());
    let mut stream = connected(at);
    let headers = [("authorization", twice.as_str()), ("authorization", twice.as_str())];
    stream.write_all(&request("GET", "/v1/head", &headers, b"")).unwrap();
    assert_eq!(read(&mut BufReader::new(stream)).unwrap().status, 401, "a token that stands twice");
}

/// The status alone: an answer to HEAD has no body to read.
fn over_head(at: SocketAddr, token: Option<&str>, method: &str, target: &str) -> u16 {
    let bearer = token.map(|token| format!("Bearer {token}"));
    let headers: Vec<_> = bearer.iter().map(|bearer| ("authorization", bearer.as_str())).collect();
    let mut stream = connected(at);
    stream.write_all(&request(method, target, &headers, b"")).unwrap();
    let mut line = String::new();
    BufReader::new(stream).read_line(&mut line).unwrap();
    line.split(' ').nth(1).unwrap().parse().unwrap()
}

#[test]
fn p12_the_organisation_of_a_request_is_one_of_the_tokens_whatever_its_body_says() {
    let server = start();
    let at = server.address();
    let alone = token(&server.plane, "alone", Role::Read, Reach::All);
    assert_eq!(over(at, Some(alone.expose()), "GET", "/v1/resources", &Value::Null).status, 200, "there is none yet");
    let acme = token(&server.plane, "acme", Role::Apply, orgs(&["acme"]));
    let both = token(&server.plane, "both", Role::Apply, orgs(&["acme", "beta"]));
    let put = |token: &SecretText, query: &str| {
        over(at, Some(token.expose()), "PUT", &format!("/v1/kv/a{query}"), &json!("x"))
    };
    assert_eq!(put(&acme, "").status, 200, "its only organisation is meant");
    assert_eq!(put(&both, "").problem(400, "E_ORG")["kind"], "invalid");
    assert_eq!(put(&both, "?org=beta").status, 200);
    let keys = |name: &str| server.plane.kv_get(Some(&org(name)), "a", None).unwrap().is_some();
    assert_eq!((keys("acme"), keys("beta"), keys("default")), (true, true, false));
    // A token for all leaves it to the rule that the socket has.
    let all = token(&server.plane, "all", Role::Apply, Reach::All);
    assert_eq!(over(at, Some(all.expose()), "GET", "/v1/resources", &Value::Null).status, 200);
    assert_eq!(over(at, Some(all.expose()), "GET", "/v1/head", &Value::Null).status, 200, "it is about none");
    assert_eq!(put(&all, "?org=beta").status, 200);
    assert_eq!(send(&server, "GET", "/v1/resources", &[], b"").status, 200, "the socket keeps its rule");

    let plan = plan_request(hotreload("glm-4.6"));
    let mut foreign = plan.clone();
    foreign.org = Some(org("beta"));
    let mut declared = plan.clone();
    declared.desired.org = Some(org("beta"));
    let mut fallback = plan.clone();
    fallback.fallback_org = Some(org("beta"));
    for request in [&foreign, &declared, &fallback] {
        let body = json!(request);
        over(at, Some(acme.expose()), "POST", "/v1/plan", &body).problem(403, "E_FOREIGN_ORG");
        over(at, Some(acme.expose()), "POST", "/v1/seal", &body).problem(403, "E_FOREIGN_ORG");
        let body = json!({"plan": request, "plan_id": "x"});
        over(at, Some(acme.expose()), "POST", "/v1/apply", &body).problem(403, "E_FOREIGN_ORG");
    }
    let state = json!({"format": "holdfast/state", "version": 1, "resources": []});
    let body = json!({"state": state, "org": "beta"});
    over(at, Some(acme.expose()), "POST", "/v1/import", &body).problem(403, "E_FOREIGN_ORG");
    let planned = over(at, Some(acme.expose()), "POST", "/v1/plan", &json!(plan)).json();
    assert!(planned["changes"].as_array().unwrap().iter().all(|change| change["org"] == "acme"), "{planned}");
}

#[test]
fn p7_p12_a_request_id_names_a_request_of_one_organisation_and_one_token() {
    let server = start();
    let acme = token(&server.plane, "acme", Role::Apply, orgs(&["acme"]));
    let other = token(&server.plane, "other", Role::Apply, orgs(&["acme"]));
    let beta = token(&server.plane, "beta", Role::Apply, orgs(&["beta"]));
    let put = |token: &SecretText, body: &str| {
        let bearer = format!("Bearer {}", token.expose());
        let headers = [("authorization", bearer.as_str()), ("idempotency-key", "same")];
        let mut stream = connected(server.address());
        stream.write_all(&request("PUT", "/v1/kv/x", &headers, body.as_bytes())).unwrap();
        let answer = read(&mut BufReader::new(stream)).unwrap();
        assert_eq!(answer.status, 200, "{}", answer.text());
        answer.json()["revision"].as_u64().unwrap()
    };
    let value = |name: &str| server.plane.kv_get(Some(&org(name)), "x", None).unwrap().map(|entry| entry.value);
    let first = put(&acme, "one");
    assert_eq!(put(&beta, "one"), first + 1, "another organisation");
    assert_eq!(value("beta").as_deref(), Some(b"one".as_slice()));
    assert_eq!(put(&acme, "two"), first + 2, "another body");
    assert_eq!(put(&other, "one"), first + 3, "another token");
    assert_eq!(value("acme").as_deref(), Some(b"one".as_slice()));
    assert_eq!((put(&acme, "one"), put(&beta, "one"), put(&acme, "two")), (first, first + 1, first + 2));
    assert_eq!(server.plane.head().unwrap().revision.get(), first + 3);
}

#[test]
fn p5_the_history_says_which_token_wrote_and_for_whom() {
    let server = start();
    let ci = token(&server.plane, "ci", Role::Apply, orgs(&["acme"]));
    let url = format!("http://{}", server.address());
    let client = Client::remote(&url, Some(&ci), None).unwrap();
    let txn = |author: &str| KvTxn {
        org: None,
        compare: Vec::new(),
        ops: vec![KvOp::Put("a".to_owned(), author.as_bytes().to_vec())],
        author: author.to_owned(),
        request_id: None,
    };
    assert!(client.kv_txn(&txn("maria")).unwrap().succeeded);
    let mut plan = plan_request(hotreload("glm-4.6"));
    plan.org = Some(org("acme"));
    let receipt = apply(&client, plan.clone());
    let newest = server.plane.commit(Some(&org("acme")), receipt.revision).unwrap();
    assert_eq!(newest.author, "token:ci/maria");
    let before = server.plane.commit(Some(&org("acme")), receipt.revision.previous()).unwrap();
    assert!(before.author.starts_with("token:ci"), "{}", before.author);
    // On the socket the body's author stands as it is.
    let mut request = apply_request(&server.plane, {
        plan.desired = hotreload("glm-4.5");
        plan
    });
    request.author = "cli:otto".to_owned();
    let receipt = server.client().apply(&request).unwrap();
    assert_eq!(server.plane.commit(Some(&org("acme")), receipt.revision).unwrap().author, "cli:otto");
}

#[test]
fn p12_a_watch_ends_when_its_token_does() {
    let server = start();
    let reader = token(&server.plane, "reader", Role::Read, orgs(&["acme"]));
    let bearer = format!("Bearer {}", reader.expose());
    let mut stream = connected(server.address());
    stream.write_all(&request("GET", "/v1/watch", &[("authorization", &bearer)], b"")).unwrap();
    let mut reader = BufReader::new(stream);
    let mut until = |wanted: &str| {
        let mut line = String::new();
        while !line.contains(wanted) {
            line.clear();
            assert!(reader.read_line(&mut line).unwrap() > 0, "the watch ended before `{wanted}`");
        }
        line
    };
    until("event: bookmark");
    let revocation = TokenRevocation { token: "reader".to_owned(), within: Reach::All, author: "t".to_owned() };
    server.plane.revoke_token(&revocation).unwrap();
    until("event: error");
    assert!(until("data: ").contains("E_ACCESS_TOKEN"));
}

#[test]
fn p12_the_metrics_of_a_source_are_for_tokens_of_its_organisation() {
    let server = start();
    let folder = tempfile::tempdir().unwrap();
    let project =
        "[project]\nname = \"team\"\nloop = { apply = \"auto\" }\n\n[agents.a]\nname = \"A\"\ndir = \"./a\"\n";
    std::fs::write(folder.path().join("lobu.toml"), project).unwrap();
    std::fs::create_dir(folder.path().join("a")).unwrap();
    let source = Box::new(FolderSource::new(folder.path().to_owned(), Default::default()));
    let mut looping = Loop::new(server.plane.clone(), source, Some(org("acme")), None, "t".to_owned());
    assert_eq!((looping.turn(), looping.turn()), (LoopState::InForce, LoopState::InForce));
    std::fs::write(folder.path().join("lobu.toml"), "nonsense = [").unwrap();
    assert_eq!(looping.turn(), LoopState::Broken);
    let metrics = |name: &str, reach: Reach| {
        let token = token(&server.plane, name, Role::Read, reach);
        over(server.address(), Some(token.expose()), "GET", "/metrics", &Value::Null).text()
    };
    let (ours, all, theirs) =
        (metrics("ours", orgs(&["acme"])), metrics("all", Reach::All), metrics("theirs", orgs(&["beta"])));
    for line in [
        "holdfast_source_state{org=\"acme\",source=\"team\",state=\"broken\"} 1",
        "holdfast_source_committed_revision{org=\"acme\",source=\"team\"} 1",
        "holdfast_reconciles_total{org=\"acme\",source=\"team\",result=\"applied\"} 1",
        "holdfast_reconciles_total{org=\"acme\",source=\"team\",result=\"in_force\"} 1",
        "holdfast_reconciles_total{org=\"acme\",source=\"team\",result=\"broken\"} 1",
    ] {
        assert!([&ours, &all].iter().all(|text| text.lines().any(|found| found == line)), "{line}\n{ours}");
    }
    assert!(!theirs.contains("acme") && !theirs.contains("team"), "{theirs}");
    for count in ["holdfast_open_sessions", "holdfast_watches"] {
        assert!(all.contains(count) && !theirs.contains(count) && !ours.contains(count), "{count}: {theirs}");
    }
}

#[test]
fn p12_an_administrator_of_one_organisation_gives_no_more_than_that() {
    let server = start();
    let at = server.address();
    let admin = token(&server.plane, "admin", Role::Admin, orgs(&["acme"]));
    token(&server.plane, "root", Role::Admin, Reach::All);
    let made = |body: Value| over(at, Some(admin.expose()), "POST", "/v1/tokens", &body);
    for reach in [json!("all"), json!({"orgs": ["beta"]}), json!({"orgs": ["acme", "beta"]})] {
        made(json!({"name": "x", "role": "read", "reach": reach})).problem(403, "E_FOREIGN_ORG");
    }
    let answer = made(json!({"name": "ci", "role": "apply"}));
    assert_eq!(answer.status, 201, "{}", answer.text());
    let NewToken { token: given, info } = serde_json::from_value(answer.json()).unwrap();
    assert_eq!((info.reach, info.owner.as_str()), (orgs(&["acme"]), "token:admin"));
    let listed = over(at, Some(admin.expose()), "GET", "/v1/tokens", &Value::Null);
    assert!(!listed.text().contains(given.expose()));
    let names: Vec<_> = listed.json()["tokens"].as_array().unwrap().iter().map(|token| token["name"].clone()).collect();
    assert_eq!(names, [json!("admin"), json!("ci")], "the tokens of others are not seen");
    over(at, Some(admin.expose()), "DELETE", "/v1/tokens/root", &Value::Null).problem(404, "E_NOT_FOUND");
    assert_eq!(over(at, Some(admin.expose()), "DELETE", "/v1/tokens/ci", &Value::Null).status, 200);
    over(at, Some(given.expose()), "GET", "/v1/head", &Value::Null).problem(401, "E_ACCESS_TOKEN");
    // Names that others have tell nothing.
    token(&server.plane, "hidden", Role::Read, orgs(&["beta"]));
    for name in ["root", "hidden"] {
        assert_eq!(made(json!({"name": name, "role": "read"})).status, 201, "{name}");
    }
    // On the socket nobody is asked.
    let all = send(&server, "POST", "/v1/tokens", &[], br#"{"name":"all","role":"read","reach":"all"}"#);
    assert_eq!(all.status, 201, "{}", all.text());
}

#[test]
fn one_token_takes_no_more_than_its_share() {
    let Halted { plane, halt, folder } = halting_plane();
    apply(&plane, plan_request(hotreload("glm-4.6")));
    let greedy = token(&plane, "greedy", Role::Read, Reach::All);
    let modest = token(&plane, "modest", Role::Read, Reach::All);
    let server = Server::serve(Arc::new(plane.clone()), plane, folder, listening(None));
    let at = server.address();
    let bearer = format!("Bearer {}", greedy.expose());
    let look = request("POST", "/v1/plan", &[("authorization", bearer.as_str()), ("content-length", "100")], b"");
    // Each waits for its body, and for its turn meanwhile.
    let hold = || {
        let mut stream = connected(at);
        stream.write_all(&look).unwrap();
        stream
    };
    let mut held: Vec<TcpStream> = (0..TOKEN_REQUESTS_MAX).map(|_| hold()).collect();
    let head = |token: &SecretText| over(at, Some(token.expose()), "GET", "/v1/head", &Value::Null);
    eventually("the token has taken its share", || {
        let full = head(&greedy).status == 429;
        // One of them may have been refused because this question had the last place.
        if !full {
            held.push(hold());
        }
        full
    });
    let refused = head(&greedy);
    refused.problem(429, "E_TOKEN_BUSY");
    assert_eq!(refused.header("retry-after"), "1");
    assert_eq!(head(&modest).status, 200, "others are served");
    drop(held);
    eventually("what it took is given back", || head(&greedy).status == 200);
    drop(halt);
}

fn pem(name: &str) -> Vec<u8> {
    std::fs::read(Path::new(env!("CARGO_MANIFEST_DIR")).join("../testdata/tls").join(name)).unwrap()
}

#[test]
fn p8_over_tls_a_client_talks_to_the_server_that_it_trusts_and_to_no_other() {
    let identity = TlsIdentity::from_pem(&pem("server.pem"), &pem("server.key")).unwrap();
    let server = Server::start_with(listening(Some(identity)));
    let admin = token(&server.plane, "admin", Role::Admin, Reach::All);
    let port = server.address().port();
    let trusted = TlsTrust::from_pem(&pem("authority.pem")).unwrap();
    for (host, name) in [("127.0.0.1", "by-address"), ("localhost", "by-name")] {
        let url = format!("https://{host}:{port}");
        let client = Client::remote(&url, Some(&admin), Some(&trusted)).unwrap();
        assert_eq!(client.head().unwrap(), server.plane.head().unwrap());
        let made = client.create_token(&TokenRequest {
            name: name.to_owned(),
            role: Role::Read,
            reach: Some(Reach::All),
            life_ms: None,
            author: "maria".to_owned(),
        });
        assert_eq!(made.unwrap().info.owner, "token:admin/maria");
    }
    let url = format!("https://127.0.0.1:{port}");
    let stranger = TlsTrust::from_pem(&pem("stranger.pem")).unwrap();
    let refused = Client::remote(&url, Some(&admin), Some(&stranger)).unwrap().head().unwrap_err();
    assert_eq!((refused.kind, refused.code.as_str()), (ProblemKind::Unavailable, "E_CONNECT"));
    assert!(refused.causes.iter().any(|cause| cause.contains("certificate")), "{refused:?}");
    let none = Client::remote(&url, None, Some(&trusted)).unwrap().head().unwrap_err();
    assert_eq!(none.code, "E_NO_ACCESS_TOKEN");
    // In clear nothing is answered there.
    let mut stream = connected(server.address());
    let _ = stream.write_all(&request("GET", "/healthz", &[], b""));
    let mut line = Vec::new();
    let _ = BufReader::new(stream).read_until(b'\n', &mut line);
    assert!(!line.starts_with(b"HTTP"), "{line:?}");
}

#[test]
fn p8_nothing_leaves_the_machine_without_tls() {
    let folder = tempfile::tempdir().unwrap();
    let plane = crate::support::plane(folder.path());
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    for address in ["0.0.0.0:0", "[::]:0", "192.0.2.1:0"] {
        let listen = Some(Listen { address: address.parse().unwrap(), tls: None });
        let options = ServeOptions { listen, ..ServeOptions::default() };
        let refused = runtime.block_on(mount(Arc::new(plane.clone()), folder.path(), options)).unwrap_err();
        assert!(matches!(refused, MountError::Listen(_)), "{refused}");
        assert!(!refused.help().is_empty());
    }
    assert!(!folder.path().join("server.sock").exists(), "what cannot listen does not serve either");
    for (certificate, key) in
        [("server.key", "server.key"), ("server.pem", "server.pem"), ("stranger.pem", "server.key")]
    {
        assert!(TlsIdentity::from_pem(&pem(certificate), &pem(key)).is_err(), "{certificate} with {key}");
    }
}
