//! Watches over the socket: every commit once, in order, whole, across cuts of the connection and restarts of the server.

use std::io::{BufRead, BufReader, Write};
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::time::Duration;

use holdfast_engine::Revision;
use holdfast_reconciler::plane::{ControlPlane, KvOp, KvTxn};
use holdfast_reconciler::watch::{WatchCommit, WatchFeed, WatchItem, WatchRequest, WatchStart};
use holdfast_server::ServeOptions;
use serde_json::{Value, json};
use tokio::runtime::Runtime;

use crate::support::http::{connect, get, request, send};
use crate::support::{Server, apply, hotreload, org, plan_request};

fn put(plane: &dyn ControlPlane, key: &str, value: &[u8]) -> Revision {
    let ops = vec![KvOp::Put(key.to_owned(), value.to_vec())];
    plane.kv_txn(&KvTxn { ops, author: "me".to_owned(), ..KvTxn::default() }).unwrap().revision
}

/// A watch read by hand.
struct Events(BufReader<UnixStream>);

impl Events {
    fn begin(server: &Server, target: &str, headers: &[(&str, &str)]) -> Self {
        let mut stream = connect(server);
        stream.write_all(&request("GET", target, headers, b"")).unwrap();
        let mut events = Self(BufReader::new(stream));
        let status = events.line();
        assert!(status.starts_with("HTTP/1.1 200"), "{status}");
        while !events.line().is_empty() {}
        events
    }

    fn line(&mut self) -> String {
        let mut line = String::new();
        self.0.read_line(&mut line).unwrap();
        line.trim_end().to_owned()
    }

    /// The next event: its name, id and data.
    fn next(&mut self) -> (String, String, Value) {
        let (mut name, mut id) = (String::new(), String::new());
        loop {
            let line = self.line();
            if let Some(value) = line.strip_prefix("event: ") {
                name = value.to_owned();
            } else if let Some(value) = line.strip_prefix("id: ") {
                id = value.to_owned();
            } else if let Some(value) = line.strip_prefix("data: ") {
                return (name, id, serde_json::from_str(value).unwrap());
            }
        }
    }
}

#[test]
fn p9_an_event_has_the_form_that_the_design_gives() {
    let server = Server::start();
    put(&server.plane, "a/b", b"one");
    let mut events = Events::begin(&server, "/v1/watch?prefix=kv/a&from=0", &[]);
    put(&server.plane, "other", b"unseen");
    put(&server.plane, "a/b", &[0xff]);
    send(&server, "DELETE", "/v1/kv/a/b", &[], b"");
    let (name, id, data) = events.next();
    assert_eq!((name.as_str(), id.as_str()), ("", "1"));
    assert_eq!(
        data["changes"],
        json!([{"key": "kv/a/b", "op": "put", "value": "one", "modified": 1, "previous": null}])
    );
    for member in ["revision", "commit", "time", "author", "message"] {
        assert!(!data[member].is_null(), "{member}: {data}");
    }
    let (_, id, data) = events.next();
    let value = json!({"base64": "/w=="});
    assert_eq!(id, "3");
    assert_eq!(data["changes"], json!([{"key": "kv/a/b", "op": "put", "value": value, "modified": 3, "previous": 1}]));
    let (_, id, data) = events.next();
    assert_eq!(id, "4");
    assert_eq!(data["changes"], json!([{"key": "kv/a/b", "op": "delete", "modified": 4, "previous": 3}]));

    let mut resumed = Events::begin(&server, "/v1/watch?prefix=kv/a", &[("last-event-id", "3")]);
    assert_eq!(resumed.next().1, "4");
    get(&server, "/v1/watch?from=r99").problem(404, "E_FUTURE");
    get(&server, "/v1/watch?from=soon").problem(400, "E_TOKEN");
}

#[test]
fn p9_bookmarks_tell_where_a_quiet_watch_is() {
    let options = ServeOptions { bookmark_every: Duration::from_millis(10), ..ServeOptions::default() };
    let server = Server::start_with(options);
    let mut events = Events::begin(&server, "/v1/watch?prefix=kv/a", &[]);
    put(&server.plane, "other", b"unseen");
    let (id, data) = loop {
        let (name, id, data) = events.next();
        assert_eq!(name, "bookmark");
        if id == "1" {
            break (id, data);
        }
    };
    let head = get(&server, "/v1/head").json();
    let token = format!("{}:{}:{id}", head["store"].as_str().unwrap(), head["epoch"]);
    assert_eq!(data, json!({"revision": 1, "token": token}));
}

#[test]
fn p9_a_token_of_another_store_begins_with_the_whole_state() {
    let server = Server::start();
    for key in 0..2500 {
        put(&server.plane, &format!("{key:04}"), b"x");
    }
    let foreign = "00000000-0000-0000-0000-000000000000:1:7";
    let mut events = Events::begin(&server, &format!("/v1/watch?prefix=kv/&from={foreign}"), &[]);
    let mut keys = Vec::new();
    loop {
        let (name, id, data) = events.next();
        assert_eq!(
            (name.as_str(), &data["reason"], &data["revision"]),
            ("resync", &json!("other_epoch"), &json!(2500))
        );
        assert_eq!(data["first"], keys.is_empty());
        keys.extend(data["entries"].as_array().unwrap().iter().map(|entry| entry["key"].as_str().unwrap().to_owned()));
        if data["more"] == false {
            assert_eq!((id.as_str(), data["token"].is_string()), ("2500", true));
            break;
        }
        assert_eq!((id.as_str(), data["token"].is_null()), ("", true), "half a state is no place to resume from");
    }
    let expected: Vec<_> = (0..2500).map(|key| format!("kv/{key:04}")).collect();
    assert_eq!(keys, expected);
    put(&server.plane, "new", b"x");
    assert_eq!(events.next().1, "2501");
}

#[test]
fn p12_a_watch_shows_nothing_of_another_organisation() {
    let server = Server::start();
    let mut events = Events::begin(&server, "/v1/watch?org=acme", &[]);
    put(&server.plane, "a", b"default's");
    let mut request = plan_request(hotreload("glm-4.6"));
    request.org = Some(org("other"));
    apply(&server.plane, request.clone());
    request.org = Some(org("acme"));
    apply(&server.plane, request);
    let (_, id, data) = events.next();
    assert_eq!(id, "3");
    let keys: Vec<_> =
        data["changes"].as_array().unwrap().iter().map(|change| change["key"].as_str().unwrap()).collect();
    assert!(keys.contains(&"live/settings/hotreload-test"), "{keys:?}");
    assert!(keys.iter().all(|key| !key.contains("other") && !key.starts_with("org/")), "{keys:?}");
}

fn runtime() -> Runtime {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap()
}

fn next(runtime: &Runtime, feed: &mut Box<dyn WatchFeed>) -> WatchCommit {
    let patient = async { tokio::time::timeout(Duration::from_secs(60), feed.next()).await };
    match runtime.block_on(patient).expect("an item in time").unwrap() {
        WatchItem::Commit(commit) => commit,
        WatchItem::Resync(resync) => panic!("{resync:?}"),
    }
}

#[test]
fn p11_a_watch_through_the_client_is_the_plane_s_own() {
    let server = Server::start();
    let (client, runtime) = (server.client(), runtime());
    let request = WatchRequest { start: WatchStart::After(Revision::ZERO), ..WatchRequest::default() };
    let mut feeds = [client.watch(&request).unwrap(), server.plane.watch(&request).unwrap()];
    apply(&client, plan_request(hotreload("glm-4.6")));
    put(&client, "odd\u{e9}", &[0, 0xfe]);
    for _ in 0..2 {
        let [through, own] = &mut feeds;
        assert_eq!(next(&runtime, through), next(&runtime, own));
    }
    let [through, own] = &mut feeds;
    assert_eq!(runtime.block_on(through.bookmark()), runtime.block_on(own.bookmark()));
}

#[test]
fn p9_a_watch_goes_on_without_gap_or_repetition_when_the_server_was_started_again() {
    let mut server = Server::start();
    let runtime = runtime();
    let client = server.client();
    let mut feed = client.watch(&WatchRequest::default()).unwrap();
    runtime.block_on(feed.bookmark()).unwrap();
    let mut seen = Vec::new();
    for round in 0..5 {
        for turn in 0..20 {
            put(&server.plane, &format!("{round}/{turn}"), b"x");
        }
        seen.extend((0..10).map(|_| next(&runtime, &mut feed).revision.get()));
        let plane = server.plane.clone();
        // What is in the pipes is lost with the server; the watches are told, and the shutdown does not wait for them.
        let folder = server.shut_down();
        server = Server::serve(Arc::new(plane.clone()), plane, folder, ServeOptions::default());
    }
    seen.extend((0..50).map(|_| next(&runtime, &mut feed).revision.get()));
    assert_eq!(seen, (1..=100).collect::<Vec<_>>());
}

#[test]
fn p9_a_watcher_that_does_not_read_costs_nobody_anything() {
    let server =
        Server::start_with(ServeOptions { write_timeout: Duration::from_millis(200), ..ServeOptions::default() });
    let stalled = Events::begin(&server, "/v1/watch?from=0", &[]);
    let value = vec![b'x'; 1 << 20];
    for key in 0..16 {
        put(&server.client(), &format!("{key}"), &value);
    }
    let mut reading = Events::begin(&server, "/v1/watch?from=0", &[]);
    for revision in 1..=16 {
        assert_eq!(reading.next().1, revision.to_string());
    }
    // The stalled one is closed in the end; what it had been sent is there, the rest is not.
    let mut rest = Vec::new();
    let mut stalled = stalled.0;
    std::io::Read::read_to_end(&mut stalled, &mut rest).unwrap();
    assert!(rest.len() < 16 << 20, "{}", rest.len());
}
