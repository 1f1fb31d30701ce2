//! Everything is bounded, and who is slow, greedy or unlucky does not keep others from being served.

use std::io::{BufReader, Read, Write};
use std::sync::Arc;
use std::time::Duration;

use holdfast_engine::Revision;
use holdfast_reconciler::plane::{ControlPlane, SessionRequest};
use holdfast_server::limits::{
    HEAD_BYTES_MAX, HEADERS_MAX, PLANS_MAX, QUERY_PARAMS_MAX, SMALL_BODY_BYTES_MAX, TXN_COMPARES_MAX,
};
use holdfast_server::{Client, ServeOptions};

use crate::support::http::{connect, get, raw, read, request, send};
use crate::support::{Halted, Server, apply, eventually, halting_plane, hotreload, plan_request};

#[test]
fn a_body_that_is_too_large_is_refused_before_it_is_read() {
    let server = Server::start();
    let announced = format!("PUT /v1/kv/a HTTP/1.1\r\nhost: x\r\ncontent-length: {}\r\n\r\n", 1_u64 << 40);
    raw(&server, announced.as_bytes()).problem(413, "E_TOO_LARGE");
    let body = format!("{{\"value\": \"{}\"}}", "x".repeat(SMALL_BODY_BYTES_MAX));
    send(&server, "PUT", "/v1/secrets/a", &[], body.as_bytes()).problem(413, "E_TOO_LARGE");

    // In pieces, so that its length is not known before.
    let mut stream = connect(&server);
    stream.write_all(b"PUT /v1/secrets/a HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n").unwrap();
    let piece = [b"10000\r\n".as_slice(), &[b' '; 0x10000], b"\r\n"].concat();
    // The server stops reading when it knows enough.
    let _ = (0..=SMALL_BODY_BYTES_MAX / 0x10000).try_for_each(|_| stream.write_all(&piece));
    read(&mut BufReader::new(stream)).unwrap().problem(413, "E_TOO_LARGE");
    assert_eq!(get(&server, "/v1/head").json()["revision"], 0);
}

#[test]
fn more_than_enough_of_anything_is_refused() {
    let server = Server::start();
    let many: Vec<_> = (0..=HEADERS_MAX).map(|header| format!("x-{header}")).collect();
    let headers: Vec<_> = many.iter().map(|name| (name.as_str(), "x")).collect();
    assert_eq!(send(&server, "GET", "/v1/head", &headers, b"").status, 431);
    let long = "x".repeat(4 * HEAD_BYTES_MAX);
    for head in [request("GET", "/v1/head", &[("x", &long)], b""), request("GET", &format!("/v1/kv/{long}"), &[], b"")]
    {
        let mut stream = connect(&server);
        // The server answers and closes when it has read enough; what it has not read may take the answer with it.
        let _ = stream.write_all(&head);
        let mut answer = [0; 12];
        let refused = stream.read_exact(&mut answer).is_err() || [b"HTTP/1.1 431", b"HTTP/1.1 414"].contains(&&answer);
        assert!(refused, "{}", String::from_utf8_lossy(&answer));
    }
    let query: Vec<_> = (0..=QUERY_PARAMS_MAX).map(|parameter| format!("p{parameter}=1")).collect();
    get(&server, &format!("/v1/head?{}", query.join("&"))).problem(400, "E_QUERY");
    let compare = vec![serde_json::json!({"head": 0}); TXN_COMPARES_MAX + 1];
    let body = serde_json::json!({ "compare": compare }).to_string();
    send(&server, "POST", "/v1/txn", &[], body.as_bytes()).problem(400, "E_TXN");
}

#[test]
fn slow_clients_are_closed_and_others_served() {
    let patience = Duration::from_millis(200);
    let options = ServeOptions { header_timeout: patience, body_timeout: patience, ..ServeOptions::default() };
    let server = Server::start_with(options);
    let mut slow_header = connect(&server);
    slow_header.write_all(b"GET /v1/head HTTP/1.1\r\nhost: ").unwrap();
    let mut slow_body = connect(&server);
    slow_body.write_all(b"PUT /v1/kv/a HTTP/1.1\r\nhost: x\r\ncontent-length: 5\r\n\r\nab").unwrap();
    let mut idle = connect(&server);
    idle.write_all(&request("GET", "/v1/head", &[], b"")).unwrap();
    assert_eq!(get(&server, "/v1/head").status, 200);

    let mut rest = Vec::new();
    slow_header.read_to_end(&mut rest).unwrap();
    assert!(rest.is_empty() || rest.starts_with(b"HTTP/1.1 408"), "{}", String::from_utf8_lossy(&rest));
    read(&mut BufReader::new(slow_body)).unwrap().problem(408, "E_TOO_SLOW");
    let mut idle = BufReader::new(idle);
    assert_eq!(read(&mut idle).unwrap().status, 200);
    assert!(read(&mut idle).is_none(), "an idle connection is closed");
    assert_eq!(get(&server, "/v1/head").json()["revision"], 0);
}

#[test]
fn a_connection_too_many_is_told_so() {
    let server = Server::start_with(ServeOptions { connections_max: 2, ..ServeOptions::default() });
    let held: Vec<_> = (0..2)
        .map(|_| {
            let mut stream = connect(&server);
            stream.write_all(&request("GET", "/healthz", &[], b"")).unwrap();
            let mut stream = BufReader::new(stream);
            assert_eq!(read(&mut stream).unwrap().status, 200);
            stream
        })
        .collect();
    let refused = read(&mut BufReader::new(connect(&server))).unwrap();
    refused.problem(503, "E_BUSY");
    assert_eq!(refused.header("retry-after"), "1");
    drop(held);
    // The client asks again by itself until there is a place.
    assert_eq!(server.client().head().unwrap().revision, Revision::ZERO);
}

#[test]
fn a_wait_for_a_revision_ends() {
    let options = ServeOptions { revision_wait: Duration::from_millis(20), ..ServeOptions::default() };
    let server = Server::start_with(options);
    get(&server, "/v1/head?min_revision=5").problem(404, "E_REVISION_WAIT");
}

#[test]
fn plans_that_take_long_do_not_keep_reads_waiting() {
    let Halted { plane, halt, folder } = halting_plane();
    let server = Server::serve(Arc::new(plane.clone()), plane, folder, ServeOptions::default());
    let client = server.client();
    let planned = plan_request(hotreload("glm-4.6"));
    halt.close();
    std::thread::scope(|threads| {
        let plans: Vec<_> = (0..PLANS_MAX + 3).map(|_| threads.spawn(|| client.plan(&planned))).collect();
        eventually("the plans", || halt.waiting() == PLANS_MAX);
        assert_eq!(get(&server, "/v1/head").status, 200);
        assert_eq!(halt.waiting(), PLANS_MAX, "no more at once than the limit says");
        halt.open();
        for plan in plans {
            assert!(plan.join().unwrap().unwrap().applyable);
        }
    });
}

#[test]
fn p8_a_panic_of_the_plane_is_an_answer_and_the_server_lives() {
    let Halted { plane, halt, folder } = halting_plane();
    apply(&plane, plan_request(hotreload("glm-4.6")));
    let server = Server::serve(Arc::new(plane.clone()), plane, folder, ServeOptions::default());
    halt.panic_once();
    let answer = get(&server, "/v1/agents/hotreload-test/session");
    answer.problem(500, "E_PANIC");
    assert!(!answer.text().contains("on purpose"), "{}", answer.text());
    let request = SessionRequest { agent: "hotreload-test".to_owned(), ..SessionRequest::default() };
    assert_eq!(Client::new(server.socket()).look(&request).unwrap().model.id, "glm-4.6");
}
