//! The client answers what the plane itself answers, repeats only what is safe, and says what it found on a socket.

use std::io::{BufReader, Read, Write};
use std::os::unix::net::UnixListener;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use holdfast_engine::Revision;
use holdfast_reconciler::desired::SecretText;
use holdfast_reconciler::error::{Problem, ProblemKind};
use holdfast_reconciler::plane::{
    CommitsQuery, ControlPlane, DiffQuery, KvCompare, KvOp, KvTxn, Moment, ResourcesQuery, Scope, SecretWrite,
    SessionRequest, WriteOutcome,
};
use holdfast_reconciler::resource::Address;
use serde_json::json;

use holdfast_server::{Client, Discovery, SOCKET_NAME, ServeOptions, discover};

use crate::support::{SECRET, Server, apply_request, hotreload, org, plan_request};

fn address(text: &str) -> Address {
    text.parse().unwrap()
}

fn secret(name: &str, value: Option<&str>) -> SecretWrite {
    let value = value.map(|value| SecretText::new(value.to_owned()));
    let (name, author) = (name.to_owned(), "ui:maría".to_owned());
    SecretWrite { org: None, name, value, expires: None, author, allow_break: Default::default() }
}

fn txn(compare: Vec<KvCompare>, ops: Vec<KvOp>) -> KvTxn {
    KvTxn { org: None, compare, ops, author: "me".to_owned(), request_id: None }
}

fn session(agent: &str) -> SessionRequest {
    SessionRequest { agent: agent.to_owned(), user: Some("maria & co".to_owned()), ..SessionRequest::default() }
}

#[test]
fn p11_the_client_answers_what_the_plane_answers() {
    let server = Server::start();
    let (client, plane) = (server.client(), &server.plane);
    assert_eq!(client.head(), plane.head());

    let request = plan_request(hotreload("glm-4.6"));
    assert_eq!(client.plan(&request), plane.plan(&request));
    let receipt = client.apply(&apply_request(&client, request.clone())).unwrap();
    assert_eq!((receipt.revision, receipt.outcome), (Revision::new(1), WriteOutcome::Committed));
    assert_eq!(client.plan(&request), plane.plan(&request));
    client.apply(&apply_request(&client, plan_request(hotreload("glm-4.5")))).unwrap();

    let look = |plane: &dyn ControlPlane| json!(plane.look(&session("hotreload-test")).unwrap());
    assert_eq!(look(&client), look(plane));
    let opened = client.open_session(&session("hotreload-test")).unwrap();
    let id = opened.session.clone().unwrap();
    assert_eq!(client.session(None, &id).as_ref(), Ok(&opened));
    assert_eq!(client.status(None), plane.status(None));
    assert_eq!(client.close_session(None, &id), Ok(()));

    let past = ResourcesQuery { at: Some(Revision::new(1)), limit: Some(2), ..ResourcesQuery::default() };
    for query in
        [ResourcesQuery::default(), past, ResourcesQuery { kind: Some("settings".into()), ..Default::default() }]
    {
        assert_eq!(client.resources(&query), plane.resources(&query));
    }
    for name in ["settings/hotreload-test", "secret/provider:z-ai:apiKey"] {
        assert_eq!(client.resource(None, &address(name), None), plane.resource(None, &address(name), None));
    }
    let settings = Scope::Key("live/settings/hotreload-test".to_owned());
    let diff = |scope: &Scope, limit, after| DiffQuery {
        org: None,
        from: Revision::ZERO,
        to: Some(Revision::new(2)),
        scope: scope.clone(),
        limit,
        after,
    };
    assert_eq!(client.diff(&diff(&settings, None, None)), plane.diff(&diff(&settings, None, None)));
    let (mut after, mut pages) = (None, 0);
    while pages == 0 || after.is_some() {
        let query = diff(&Scope::All, Some(1), after);
        let page = client.diff(&query).unwrap();
        assert_eq!(page, plane.diff(&query).unwrap());
        assert_eq!((page.summary.create, page.resources.len()), (3, 1), "{page:?}");
        (after, pages) = (page.next, pages + 1);
    }
    assert_eq!(pages, 3, "agent, secret and settings");
    for moment in ["r1", "2023-11-14T22:13:21Z", "2001-01-01T00:00:00Z"] {
        let moment = moment.parse::<Moment>().unwrap();
        assert_eq!(client.head_at(moment), plane.head_at(moment));
    }
    for query in [
        CommitsQuery::default(),
        CommitsQuery { scope: Scope::Prefix("live/settings/".to_owned()), ..Default::default() },
        CommitsQuery { scope: Scope::Key("kv/none".to_owned()), ..Default::default() },
        CommitsQuery { scope: settings.clone(), limit: Some(1), ..Default::default() },
        CommitsQuery { org: Some(org("other")), ..Default::default() },
    ] {
        assert_eq!(client.commits(&query), plane.commits(&query));
    }
    assert_eq!(client.commit(None, Revision::new(2)), plane.commit(None, Revision::new(2)));

    client.write_secret(&secret("odd/name with:every+thing?&#%", Some(SECRET))).unwrap();
    let secrets = client.secrets(None);
    assert_eq!(secrets, plane.secrets(None));
    assert!(secrets.unwrap().iter().any(|secret| secret.owner.as_deref() == Some("ui:maría")));
    client.write_secret(&secret("odd/name with:every+thing?&#%", None)).unwrap();

    let put = KvOp::Put("a/../b?c".to_owned(), vec![0, 0xff]);
    assert!(client.kv_txn(&txn(vec![KvCompare::Absent("a/../b?c".to_owned())], vec![put])).unwrap().succeeded);
    assert_eq!(client.kv_get(None, "a/../b?c", None), plane.kv_get(None, "a/../b?c", None));
    assert_eq!(client.kv_get(None, "a/b", None), Ok(None));
    let failed = client.kv_txn(&txn(vec![KvCompare::Head(Revision::new(1))], vec![KvOp::Delete("x".to_owned())]));
    assert!(!failed.unwrap().succeeded);
    assert_eq!(client.verify(), plane.verify());
}

#[test]
fn a_backup_comes_whole_in_pieces_and_one_that_cannot_be_written_is_told() {
    struct Full;
    impl Write for Full {
        fn write(&mut self, _: &[u8]) -> std::io::Result<usize> {
            Err(std::io::ErrorKind::StorageFull.into())
        }
        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }
    let server = Server::start();
    let (client, plane) = (server.client(), &server.plane);
    for number in 0..6 {
        let put = KvOp::Put(format!("large/{number}"), vec![number; 1 << 20]);
        client.kv_txn(&txn(Vec::new(), vec![put])).unwrap();
    }
    let (mut here, mut there) = (Vec::new(), Vec::new());
    plane.backup(&mut here).unwrap();
    client.backup(&mut there).unwrap();
    assert!(here == there, "{} and {} bytes", here.len(), there.len());
    let report = holdfast_engine::check_backup(&mut there.as_slice()).unwrap();
    assert_eq!((report.head.revision, report.keys), (Revision::new(6), 6));
    assert_eq!(client.backup(&mut Full).unwrap_err().code, "E_BACKUP");
    assert_eq!(client.storage(), plane.storage());
}

#[test]
fn p11_the_client_fails_as_the_plane_fails() {
    let server = Server::start();
    let (client, plane) = (server.client(), &server.plane);
    let first = apply_request(plane, plan_request(hotreload("glm-4.6")));
    let stale = apply_request(plane, plan_request(hotreload("glm-4.5")));
    plane.apply(&first).unwrap();
    let future = Some(Revision::new(9));
    let both: Vec<(Result<(), Problem>, Result<(), Problem>)> = vec![
        (client.apply(&stale).map(drop), plane.apply(&stale).map(drop)),
        (client.look(&session("nobody")).map(drop), plane.look(&session("nobody")).map(drop)),
        (
            client.write_secret(&secret("provider:z-ai:apiKey", None)).map(drop),
            plane.write_secret(&secret("provider:z-ai:apiKey", None)).map(drop),
        ),
        (
            client.resource(None, &address("settings/hotreload-tset"), None).map(drop),
            plane.resource(None, &address("settings/hotreload-tset"), None).map(drop),
        ),
        (client.kv_get(None, "a", future).map(drop), plane.kv_get(None, "a", future).map(drop)),
        (client.kv_get(None, "a\u{1b}", None).map(drop), plane.kv_get(None, "a\u{1b}", None).map(drop)),
        (client.session(None, "none").map(drop), ControlPlane::session(plane, None, "none").map(drop)),
        (client.commit(None, Revision::new(7)).map(drop), plane.commit(None, Revision::new(7)).map(drop)),
    ];
    for (client, plane) in both {
        assert!(plane.is_err());
        assert_eq!(client, plane);
    }
}

#[test]
fn a_fraction_survives_the_way_to_the_server_and_back() {
    let server = Server::start();
    let mut desired = hotreload("glm-4.6");
    let settings = desired.resources.iter_mut().find(|declared| declared.address.kind.as_str() == "settings").unwrap();
    // Any bits that are a number, from a fixed seed.
    let mut bits = 0x9e37_79b9_7f4a_7c15_u64;
    let fractions = std::iter::repeat_with(|| {
        bits = bits.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        f64::from_bits(bits)
    });
    let fractions: Vec<f64> = fractions.filter(|fraction| fraction.is_finite()).take(5000).collect();
    Arc::make_mut(settings).fields.insert("fractions".to_owned(), json!(fractions));
    let request = plan_request(desired);
    assert_eq!(server.client().plan(&request), server.plane.plan(&request));
}

#[test]
fn one_client_serves_many_threads_at_once() {
    let server = Server::start();
    let client = server.client();
    thread::scope(|threads| {
        for thread in 0..16 {
            let client = &client;
            threads.spawn(move || {
                for turn in 0..20 {
                    let put = KvOp::Put(format!("{thread}/{turn}"), Vec::new());
                    assert!(client.kv_txn(&txn(Vec::new(), vec![put])).unwrap().succeeded);
                }
            });
        }
    });
    assert_eq!(client.head().unwrap().revision, Revision::new(320));
}

#[test]
fn a_client_goes_on_when_the_server_was_started_again() {
    let server = Server::start();
    let client = server.client();
    crate::support::apply(&client, plan_request(hotreload("glm-4.6")));
    let plane = server.plane.clone();
    let folder = server.shut_down();
    let problem = client.head().unwrap_err();
    assert_eq!((problem.kind, problem.code.as_str()), (ProblemKind::Unavailable, "E_NO_SERVER"), "{problem}");
    let _server = Server::serve(std::sync::Arc::new(plane.clone()), plane, folder, ServeOptions::default());
    // Not even a request that must not be repeated is lost with the connection that was kept.
    client.open_session(&session("hotreload-test")).unwrap();
}

#[test]
fn what_is_on_the_socket_is_named() {
    let folder = tempfile::tempdir().unwrap();
    assert!(matches!(discover(folder.path()).unwrap(), Discovery::None));
    assert!(matches!(discover(folder.path().join("nowhere")).unwrap(), Discovery::None));
    let socket = folder.path().join(SOCKET_NAME);
    drop(UnixListener::bind(&socket).unwrap());
    assert!(matches!(discover(folder.path()).unwrap(), Discovery::Stale));
    let problem = Client::new(socket.clone()).head().unwrap_err();
    assert_eq!(problem.code, "E_STALE_SOCKET");
    assert!(problem.help.is_some());

    // One that is killed takes a connection with it.
    std::fs::remove_file(&socket).unwrap();
    let listener = UnixListener::bind(&socket).unwrap();
    let dying = thread::spawn(move || {
        let taken = listener.accept().unwrap();
        drop(listener);
        drop(taken);
    });
    assert!(matches!(discover(folder.path()).unwrap(), Discovery::Stale));
    dying.join().unwrap();

    for (answer, code) in [
        ("HTTP/1.1 200 OK\r\nholdfast-protocol: 2\r\ncontent-length: 0\r\n\r\n", "E_PROTOCOL"),
        ("HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n", "E_FOREIGN_SERVER"),
        // What is no HTTP was no server of ours, and asking it again changes nothing.
        ("SSH-2.0-OpenSSH_9.6\r\n", "E_FOREIGN_SERVER"),
    ] {
        std::fs::remove_file(&socket).unwrap();
        let listener = UnixListener::bind(&socket).unwrap();
        let server = thread::spawn(move || {
            // A client may ask again; each connection gets the same.
            for _ in 0..64 {
                let (mut stream, _) = listener.accept().unwrap();
                let asked = head_of(&mut stream);
                stream.write_all(answer.as_bytes()).unwrap();
                if asked.starts_with("GET /v1/verdict") {
                    break;
                }
            }
        });
        let problem = discover(folder.path()).unwrap_err();
        assert_eq!(problem.code, code, "{problem}");
        assert!(problem.help.is_some(), "{problem}");
        let mut end = std::os::unix::net::UnixStream::connect(&socket).unwrap();
        end.write_all(b"GET /v1/verdict HTTP/1.1\r\n\r\n").unwrap();
        server.join().unwrap();
    }
}

/// Reads a request's head and body, as far as its length says.
fn head_of(stream: &mut impl Read) -> String {
    let mut reader = BufReader::new(stream);
    let mut text = Vec::new();
    let mut byte = [0];
    while !text.ends_with(b"\r\n\r\n") && reader.read(&mut byte).unwrap_or(0) == 1 {
        text.push(byte[0]);
    }
    let text = String::from_utf8(text).unwrap();
    let length = text.lines().find_map(|line| line.strip_prefix("content-length: ")).map(|length| length.parse());
    let mut body = vec![0; length.transpose().unwrap().unwrap_or(0)];
    reader.read_exact(&mut body).unwrap();
    text
}

#[test]
fn a_server_that_does_not_answer_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let socket = folder.path().join(SOCKET_NAME);
    let _listener = UnixListener::bind(&socket).unwrap();
    let silent = || Client::new(socket.clone()).patience(Duration::from_millis(50)).head().unwrap_err();
    let problem = silent();
    assert_eq!((problem.kind, problem.code.as_str()), (ProblemKind::Unavailable, "E_SERVER_SILENT"));
    assert!(problem.help.unwrap().contains("if it hangs, stop it and"));
    std::fs::write(folder.path().join("server.lock"), "4711\n").unwrap();
    let problem = silent();
    assert!(problem.message.contains("(process 4711)") && problem.help.unwrap().contains("`kill 4711`"));
}

#[test]
fn p2_only_what_is_safe_is_repeated_when_the_server_goes_away() {
    let folder = tempfile::tempdir().unwrap();
    let socket = folder.path().join(SOCKET_NAME);
    let listener = UnixListener::bind(&socket).unwrap();
    let server = thread::spawn(move || {
        let mut heads = Vec::new();
        for answer in [
            // A transaction has a request id: it is sent again, and answered.
            "",
            "{\"succeeded\":true,\"revision\":1}",
            // A session has none: it is not.
            "",
        ] {
            let (mut stream, _) = listener.accept().unwrap();
            heads.push(head_of(&mut stream));
            if !answer.is_empty() {
                let length = answer.len();
                let head = "HTTP/1.1 200 OK\r\nholdfast-protocol: 1\r\nconnection: close\r\n";
                write!(stream, "{head}content-length: {length}\r\n\r\n{answer}").unwrap();
            }
        }
        heads
    });
    let client = Client::new(socket);
    let result = client.kv_txn(&txn(Vec::new(), vec![KvOp::Delete("a".to_owned())])).unwrap();
    assert!(result.succeeded);
    let problem = client.open_session(&session("a")).unwrap_err();
    assert_eq!(problem.code, "E_SERVER_LOST");
    assert!(
        problem.causes.iter().any(|cause| cause.contains("whether it was carried out is not known")),
        "{problem:?}"
    );
    let heads = server.join().unwrap();
    let id = |head: &str| head.lines().find(|line| line.starts_with("idempotency-key: ")).unwrap().to_owned();
    assert_eq!(id(&heads[0]), id(&heads[1]));
    assert!(heads[2].starts_with("POST /v1/agents/a/sessions"), "{}", heads[2]);
}
