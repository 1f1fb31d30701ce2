//! What clients send that mean harm, or are broken: over the socket and over the network each is refused or ignored, nothing of
//! another organisation comes out, nothing is changed, no answer is a server's error, and everybody else is served.

use std::fmt::Write as _;

use serde_json::json;

use super::bench::Project;
use super::wire::Place;

/// The head of a request as bytes, with its headers.
fn head(line: &str, headers: &[(&str, &str)]) -> Vec<u8> {
    let mut head = format!("{line}\r\nhost: x\r\n");
    for (name, value) in headers {
        write!(head, "{name}: {value}\r\n").unwrap();
    }
    (head + "\r\n").into_bytes()
}

/// Whole requests, each with what may be answered: one of these, or nothing but a close if that is among them.
fn tricks(bearer: &str) -> Vec<(String, Vec<u8>, &'static [u16])> {
    const CLOSED: u16 = 0;
    let with = |line: &str, more: &[(&str, &str)]| head(line, &[&[("authorization", bearer)], more].concat());
    let mut all: Vec<(String, Vec<u8>, &'static [u16])> = Vec::new();
    let mut add = |name: &str, bytes: Vec<u8>, allowed| all.push((name.to_owned(), bytes, allowed));
    for path in [
        "/v1/kv/../secrets",
        "/v1/kv/%2e%2e/secrets",
        "/v1/kv/%2e%2e%2fsecrets",
        "/v1/kv/..%2f..%2fhead",
        "/v1//kv//a",
        "/v1/kv/a//b",
        "/v1/kv/%2F%2Fa",
        "/v1/kv/%00",
        "/v1/kv/a%00b",
        "/v1/kv/%ff%fe",
        "/v1/kv/%zz",
        "/v1/kv/%",
        "/v1/kv/",
        "//v1/head",
        "/v1/head/",
        "/v1/head/../backup",
        "/%76%31/nowhere",
        "/v1/resources/settings/%2e%2e%2f..%2f",
        "/v1/resources/../settings/x",
        "/v1/sessions/..%2f..",
        "/v1/agents/%2e%2e/session",
        "/v1/kv/a?org=..%2facme",
        "/v1/kv/a?org=",
        "/v1/kv/a?org=a&org=b",
        "/v1/kv/a?at=-1",
        "/v1/kv/a?at=99999999999999999999999",
        "/v1/head?min_revision=18446744073709551616",
        "/v1/commits?limit=99999999999999999999",
        "/v1/watch?from=:::",
        "/v1/watch?from=9999999",
    ] {
        add(path, with(&format!("GET {path} HTTP/1.1"), &[]), &[400, 404]);
    }
    let long = "a".repeat(300_000);
    let middle = "a".repeat(20_000);
    add("a path of 300 kB", with(&format!("GET /v1/kv/{long} HTTP/1.1"), &[]), &[414, 431, 400, CLOSED]);
    add("a key of 20 kB", with(&format!("PUT /v1/kv/{middle} HTTP/1.1"), &[("content-length", "0")]), &[400]);
    add("a query of 300 kB", with(&format!("GET /v1/head?a={long} HTTP/1.1"), &[]), &[414, 431, 400, CLOSED]);
    add("a query of 20 kB", with(&format!("GET /v1/head?a={middle} HTTP/1.1"), &[]), &[400]);
    add("a header of 300 kB", with("GET /v1/head HTTP/1.1", &[("x", &long)]), &[431, CLOSED]);
    add(
        "a token of 20 kB",
        head("GET /v1/head HTTP/1.1", &[("authorization", &format!("Bearer {middle}"))]),
        &[200, 401],
    );
    let many: Vec<String> = (0..500).map(|number| format!("x-{number}")).collect();
    let many: Vec<(&str, &str)> = many.iter().map(|name| (name.as_str(), "x")).collect();
    add("500 headers", with("GET /v1/head HTTP/1.1", &many), &[431, CLOSED]);
    add("a body too large", with("PUT /v1/kv/a HTTP/1.1", &[("content-length", "99999999999")]), &[413]);
    add("a length below zero", with("PUT /v1/kv/a HTTP/1.1", &[("content-length", "-1")]), &[400, CLOSED]);
    add("a length too long", with("PUT /v1/kv/a HTTP/1.1", &[("content-length", &"9".repeat(40))]), &[400, CLOSED]);
    let both = [("content-length", "3"), ("content-length", "5")];
    add("two lengths", [with("PUT /v1/kv/a HTTP/1.1", &both), b"abcde".to_vec()].concat(), &[400, CLOSED]);
    let coding = [("transfer-encoding", "identity, gzip")];
    add("a coding that is none", with("PUT /v1/kv/a HTTP/1.1", &coding), &[400, 501, CLOSED]);
    let chunked = with("PUT /v1/kv/a HTTP/1.1", &[("transfer-encoding", "chunked")]);
    add("a piece of no length", [chunked.clone(), b"zz\r\nabc\r\n".to_vec()].concat(), &[400, CLOSED]);
    add("a piece too long", [chunked.clone(), b"ffffffffffffffffff\r\nabc".to_vec()].concat(), &[400, 413, CLOSED]);
    add(
        "an extension too long",
        [chunked, b"1;".to_vec(), vec![b'x'; 300_000], b"\r\na\r\n0\r\n\r\n".to_vec()].concat(),
        &[400, 413, CLOSED],
    );
    add("a NUL in the path", with("GET /v1/kv/a\0b HTTP/1.1", &[]), &[400, CLOSED]);
    add("a control in a header", with("GET /v1/head HTTP/1.1", &[("x", "a\u{1}b")]), &[400, CLOSED]);
    add("a line that is none", b"\r\n\r\nhello\r\n\r\n".to_vec(), &[400, CLOSED]);
    add("TLS in clear", b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03".repeat(20), &[400, CLOSED]);
    add("HTTP/2", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0".to_vec(), &[400, 405, 505, CLOSED]);
    add("another version", with("GET /v1/head HTTP/3.0", &[]), &[400, 505, CLOSED]);
    add("a tunnel", with("CONNECT example.com:443 HTTP/1.1", &[]), &[400, 404, 405]);
    add("a trace", with("TRACE /v1/head HTTP/1.1", &[]), &[405]);
    add("a method of its own", with("BREW /v1/head HTTP/1.1", &[]), &[405]);
    add("another host", with("GET http://example.com/v1/nowhere HTTP/1.1", &[]), &[404]);
    let preflight = [("origin", "https://evil.example"), ("access-control-request-method", "PUT")];
    add("a preflight", with("OPTIONS /v1/kv/a HTTP/1.1", &preflight), &[405]);
    all
}

#[test]
fn p12_what_is_sent_to_do_harm_does_none() {
    let project = Project::hotreload();
    project.run(&["--yes"]).exits(0);
    project.run(&["--org", "acme", "secret", "set", "private", "--value", "x"]);
    let (server, network) = project.listen("admin", &["--quiet"]);
    let Place::Network(address, Some(token)) = &network else { unreachable!("it listens") };
    let socket = Place::socket(&project.store());
    let before = socket.ask("GET", "/v1/head", &[], b"").unwrap().json();
    let bearer = format!("Bearer {token}");
    let nobody = Place::Network(*address, None);
    let mut wrong = Vec::new();
    let mut tried = 0;
    for (name, bytes, allowed) in tricks(&bearer) {
        for place in [&socket, &nobody] {
            let mut wire = place.connect().unwrap();
            // A server that has seen enough closes; what it did not read may take its answer along.
            let _ = wire.raw(&bytes);
            let answer = wire.answer();
            let status = answer.as_ref().map_or(0, |answer| answer.status);
            tried += 1;
            if !allowed.contains(&status) {
                wrong.push(format!("{name} over {place:?}: {status}, not {allowed:?}: {answer:?}"));
            }
            if let Ok(answer) = answer {
                assert!(!answer.headers.keys().any(|name| name.starts_with("access-control")), "{name}: {answer:?}");
                assert!(!answer.body.windows(7).any(|part| part == b"private"), "{name}: {answer:?}");
            }
        }
    }
    println!("{tried} tricks");
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));

    // Bodies and heads that never end: they wait, and nobody waits for them.
    let begun: [&[u8]; 4] = [
        b"PUT /v1/kv/a HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n5\r\nabcde\r\n",
        b"PUT /v1/kv/a HTTP/1.1\r\nhost: x\r\ncontent-length: 5\r\n\r\nab",
        b"GET /v1/head HTTP/1.1\r\nhost: ",
        b"GET /v1/wat",
    ];
    let held: Vec<_> = (0..400)
        .map(|number| {
            let mut wire = [&socket, &nobody][number % 2].connect().unwrap();
            wire.raw(begun[number / 2 % begun.len()]).unwrap();
            wire
        })
        .collect();
    for place in [&socket, &network] {
        assert_eq!(place.ask("GET", "/v1/head", &[], b"").unwrap().json(), before, "nothing was changed");
        assert_eq!(place.ask("GET", "/v1/agents/hotreload-test/session", &[], b"").unwrap().status, 200);
    }
    drop(held);
    assert_eq!(
        socket.ask("PUT", "/v1/kv/a", &[], b"x").unwrap().json(),
        json!({"revision": before["revision"].as_u64().unwrap() + 1})
    );
    assert!(server.stop().success());
}
