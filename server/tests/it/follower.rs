//! Followers: they read what was applied (P4), see every commit once (P9), hold nothing of another organisation (P12), and come back
//! from whatever happens to their server, their connection and their files.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use holdfast_engine::{Revision, Timestamp};
use holdfast_reconciler::agents::resolver::SystemEnvironment;
use holdfast_reconciler::desired::SecretText;
use holdfast_reconciler::error::ProblemKind;
use holdfast_reconciler::keyfile::KeySource;
use holdfast_reconciler::plane::{
    CommitsQuery, CompactRequest, ControlPlane, FollowerStanding, KeepRule, KvOp, KvTxn, Reach, ResourcesQuery, Role,
    SecretWrite, SessionRequest, TokenRequest, TokenRevocation, not_yet,
};
use holdfast_reconciler::watch::{WatchItem, WatchRequest};
use holdfast_server::{Client, Follower, FollowerOptions, Listen, ServeOptions, mount};
use serde_json::json;
use tempfile::TempDir;

use crate::support::{SECRET, Server, apply, apply_request, eventually, hotreload, org, plan_request, plane, project};

const PATIENCE: Duration = Duration::from_secs(30);
const AGENT: &str = "hotreload-test";

fn options(server: Client, folder: &Path, keys: KeySource) -> FollowerOptions {
    let system = SystemEnvironment::Known(BTreeMap::new());
    let clock: holdfast_engine::Clock = Arc::new(|| Timestamp::from_millis(1_700_000_000_000));
    let name = Some("gateway".to_owned());
    FollowerOptions { server, folder: folder.to_owned(), name, keys, system, clock, holder: None }
}

/// The master key of a test's server.
fn key_of(server: &Server) -> KeySource {
    KeySource::File(server.folder.path().join("key/master.key"))
}

/// A follower over the socket, with the key, that has a state.
fn follow(server: &Server, folder: &Path) -> Follower {
    let follower = Follower::start(options(server.client(), folder, key_of(server))).unwrap();
    follower.ready(PATIENCE).unwrap();
    follower
}

fn model(follower: &Follower, revision: Revision) -> String {
    let session = follower.session_at_least(revision, &org("default"), AGENT, None, PATIENCE).unwrap();
    assert!(session.revision() >= revision);
    session.context().model.id.clone()
}

fn put(plane: &dyn ControlPlane, name: &str, key: &str, value: &str) -> Revision {
    let ops = vec![KvOp::Put(key.to_owned(), value.into())];
    let org = Some(org(name));
    let txn = KvTxn { org, compare: Vec::new(), ops, author: "me".to_owned(), request_id: None };
    plane.kv_txn(&txn).unwrap().revision
}

fn set_secret(plane: &dyn ControlPlane, value: Option<&str>) -> Revision {
    let write = SecretWrite {
        org: None,
        name: "provider:z-ai:apiKey".to_owned(),
        value: value.map(|value| SecretText::new(value.to_owned())),
        expires: None,
        author: "ui:maria".to_owned(),
        allow_break: [AGENT.to_owned()].into(),
    };
    plane.write_secret(&write).unwrap().revision
}

fn token(server: &Server, name: &str, role: Role, reach: Reach) -> SecretText {
    let (name, reach) = (name.to_owned(), Some(reach));
    server.plane.create_token(&TokenRequest { name, role, reach, life_ms: None, author: "t".to_owned() }).unwrap().token
}

fn remote(server: &Server, token: &SecretText) -> Client {
    Client::remote(&format!("http://{}", server.address()), Some(token), None).unwrap()
}

fn listening() -> ServeOptions {
    let listen = Some(Listen { address: "127.0.0.1:0".parse().unwrap(), tls: None });
    ServeOptions { listen, ..ServeOptions::default() }
}

/// A folder for a follower.
fn folder() -> TempDir {
    tempfile::tempdir().unwrap()
}

#[test]
fn p4_a_session_on_a_follower_is_the_servers_and_reads_what_was_applied() {
    let server = Server::start();
    let folder = folder();
    let first = apply(&server.plane, plan_request(hotreload("glm-4.6")));
    let follower = follow(&server, folder.path());
    assert_eq!(model(&follower, first.revision), "glm-4.6");
    let request = SessionRequest { agent: AGENT.to_owned(), ..SessionRequest::default() };
    assert_eq!(follower.look(&request), server.plane.look(&request), "one resolver for everybody");
    assert_eq!(follower.explain(&request), server.plane.explain(&request));

    let old = follower.session(&org("default"), AGENT, None).unwrap();
    let second = apply(&server.plane, plan_request(hotreload("glm-4.5")));
    assert_eq!(model(&follower, second.revision), "glm-4.5");
    assert_eq!(old.context().model.id, "glm-4.6", "an open session keeps what it has");
    assert!(!old.is_current() && old.refresh().unwrap().context().model.id == "glm-4.5");

    // What is applied through a follower is in force there when that returns.
    let third = follower.apply(&apply_request(&follower, plan_request(hotreload("glm-4.7")))).unwrap();
    assert_eq!(follower.session(&org("default"), AGENT, None).unwrap().context().model.id, "glm-4.7");
    assert_eq!(third.revision, server.plane.head().unwrap().revision);
    let late = Revision::new(third.revision.get() + 1);
    let problem = follower.wait_for(late, Duration::from_millis(10)).unwrap_err();
    assert_eq!((problem.kind, problem.code.as_str()), (ProblemKind::Unavailable, "E_NOT_FOLLOWED_YET"));
    assert!(problem.message.contains(&late.to_string()), "{problem:?}");
}

#[test]
fn a_follower_answers_what_the_server_answers_here_or_there() {
    let server = Server::start();
    let folder = folder();
    apply(&server.plane, plan_request(hotreload("glm-4.6")));
    let follower = follow(&server, folder.path());
    let revision = put(&follower, "default", "a", "1");
    let plane = &server.plane;
    assert_eq!(follower.head(), plane.head());
    assert_eq!(follower.kv_get(None, "a", None), plane.kv_get(None, "a", None));
    let first = Some(Revision::new(1));
    assert_eq!(follower.kv_get(None, "a", first), plane.kv_get(None, "a", first), "the past is the server's");
    for at in [None, first] {
        let query = ResourcesQuery { at, ..ResourcesQuery::default() };
        assert_eq!(follower.resources(&query), plane.resources(&query));
    }
    assert_eq!(follower.commits(&CommitsQuery::default()), plane.commits(&CommitsQuery::default()));
    assert_eq!(follower.commit(None, revision), plane.commit(None, revision));
    assert_eq!(follower.secrets(None), plane.secrets(None));
    let request = plan_request(hotreload("glm-4.5"));
    assert_eq!(follower.plan(&request), plane.plan(&request));
    assert!(follower.verify().unwrap().damage.is_empty());
    let status = follower.status(None).unwrap();
    let following = status.following.clone().unwrap();
    assert_eq!((following.connected, following.revision), (true, Some(revision)));
    assert_eq!(status.head, plane.status(None).unwrap().head);
}

#[test]
fn p9_a_watch_on_a_follower_shows_every_commit_once_and_whole() {
    let server = Server::start();
    let folder = folder();
    let follower = follow(&server, folder.path());
    let mut watch = follower.watch(&WatchRequest::default()).unwrap();
    let written: Vec<Revision> =
        (0..200).map(|number| put(&server.plane, "default", "k", &number.to_string())).collect();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let seen: Vec<Revision> = runtime.block_on(async {
        let mut seen = Vec::new();
        while seen.len() < written.len() {
            match watch.next().await.unwrap() {
                WatchItem::Commit(commit) => seen.push(commit.revision),
                WatchItem::Resync(resync) => panic!("{resync:?}"),
            }
        }
        seen
    });
    assert_eq!(seen, written);
}

#[test]
fn p4_p8_a_value_is_fetched_from_the_head_and_a_removed_or_rotated_one_works_at_once() {
    let server = Server::start();
    let folder = folder();
    apply(&server.plane, plan_request(hotreload("glm-4.6")));
    let follower = follow(&server, folder.path());
    let session = follower.session(&org("default"), AGENT, None).unwrap();
    let value = || session.credential("z-ai").map(|value| value.expose().to_owned());
    assert_eq!(value().unwrap(), SECRET);
    let mut fetched = 0;
    for round in 0..50 {
        let rotated = format!("sk-hidden-round-{round}");
        set_secret(&server.plane, Some(&rotated));
        // No wait for the revision: the follower asks for the head itself.
        assert_eq!(value().unwrap(), rotated);
        fetched += 1;
    }
    assert_eq!(fetched, 50);
    set_secret(&server.plane, None);
    assert_eq!(value().unwrap_err().code, "E_NO_CREDENTIAL");
    assert!(session.worker_env().is_empty());
    set_secret(&server.plane, Some("sk-hidden-again"));
    // Everything is sealed anew under another key, which lies where both look.
    server.plane.rotate_secrets("maria").unwrap();
    assert_eq!(value().unwrap(), "sk-hidden-again");
    let head = server.plane.head().unwrap().revision;
    assert_eq!(model(&follower, head), "glm-4.6");
    // Without its server a follower goes on with what it has.
    let gone = server.shut_down();
    assert_eq!(value().unwrap(), "sk-hidden-again");
    follower.shutdown();
    drop(gone);
    for entry in std::fs::read_dir(folder.path()).unwrap() {
        let bytes = std::fs::read(entry.unwrap().path()).unwrap();
        assert!(!String::from_utf8_lossy(&bytes).contains("sk-hidden"), "a value lies in clear");
    }
}

#[test]
fn p8_without_the_key_or_what_is_sealed_a_session_is_resolved_and_no_value_given_out() {
    let server = Server::start_with(listening());
    apply(&server.plane, plan_request(hotreload("glm-4.6")));
    let reader = token(&server, "reader", Role::Read, Reach::All);
    let admin = token(&server, "admin", Role::Admin, Reach::All);
    let none = KeySource::None("none".to_owned());
    let cases = [
        (server.client(), none.clone(), true),
        (remote(&server, &admin), none, true),
        (remote(&server, &reader), key_of(&server), false),
    ];
    for (client, keys, sealed) in cases {
        let folder = folder();
        let follower = Follower::start(options(client, folder.path(), keys)).unwrap();
        follower.ready(PATIENCE).unwrap();
        let session = follower.session(&org("default"), AGENT, None).unwrap();
        assert_eq!(session.context().credentials[0].source.as_text(), "org-secret");
        let problem = session.credential("z-ai").unwrap_err();
        assert_eq!(problem.code, "E_MASTER_KEY");
        assert!(problem.help.as_ref().unwrap().contains("HOLDFAST_KEY"), "{problem:?}");
        let engine = follower.plane().unwrap().engine();
        let digests: Vec<_> = engine.snapshot().iter().filter_map(|(_, entry)| entry.sealed()).collect();
        assert!(!digests.is_empty());
        assert!(digests.iter().all(|digest| engine.sealed(digest).is_some() == sealed), "sealed bytes need the role");
        // A commit with a sealed value is not waited for where its bytes never come.
        let revision = set_secret(&server.plane, Some("sk-hidden-other"));
        follower.wait_for(revision, PATIENCE).unwrap();
        follower.shutdown();
    }
}

#[test]
fn p12_a_follower_with_a_token_of_one_organisation_holds_nothing_of_another() {
    let server = Server::start_with(listening());
    put(&server.plane, "acme", "ours", "of acme");
    put(&server.plane, "beta", "theirs-before", "of beta");
    let folder = folder();
    let acme = token(&server, "acme-admin", Role::Admin, Reach::one(org("acme")));
    let client = remote(&server, &acme);
    let follower = Follower::start(options(client, folder.path(), KeySource::None("none".to_owned()))).unwrap();
    follower.ready(PATIENCE).unwrap();
    put(&server.plane, "acme", "ours-too", "of acme");
    let last = put(&server.plane, "beta", "theirs-after", "of beta");
    follower.wait_for(last, PATIENCE).unwrap();
    assert_eq!(follower.state().revision(), Some(last), "the revision numbers are shared");
    let plane = follower.plane().unwrap().clone();
    let snapshot = plane.engine().snapshot();
    let keys: Vec<_> = snapshot.iter().map(|(key, _)| key.as_str().to_owned()).collect();
    assert_eq!(keys, ["org/acme/kv/ours", "org/acme/kv/ours-too"], "no token, and nothing of beta");
    assert_eq!(follower.kv_get(Some(&org("beta")), "theirs-after", None).unwrap(), None);

    // Who it is for sees it, and nobody else.
    let shown = |name: &str| server.plane.status(Some(&org(name))).unwrap().followers;
    eventually("the report", || shown("acme").first().is_some_and(|shown| shown.revision == Some(last)));
    assert!(shown("beta").is_empty());
    follower.shutdown();
    assert!(shown("acme").is_empty(), "it said that it goes");
    for entry in std::fs::read_dir(folder.path()).unwrap() {
        let bytes = std::fs::read(entry.unwrap().path()).unwrap();
        let text = String::from_utf8_lossy(&bytes).into_owned();
        assert!(!text.contains("beta") && !text.contains("theirs"), "a file holds something of beta");
    }
    // Another organisation is refused, whatever it asks for.
    let problem = remote(&server, &acme).kv_get(Some(&org("beta")), "theirs-after", None).unwrap_err();
    assert_eq!(problem.code, "E_FOREIGN_ORG");
}

#[test]
fn p12_a_folder_keeps_nothing_that_the_token_of_today_is_not_for() {
    let server = Server::start_with(listening());
    put(&server.plane, "acme", "ours", "of acme");
    put(&server.plane, "beta", "theirs", "of beta");
    let folder = folder();
    let none = || KeySource::None("none".to_owned());
    let broad = token(&server, "broad", Role::Admin, Reach::All);
    let narrow = token(&server, "narrow", Role::Read, Reach::one(org("acme")));
    let both = token(&server, "both", Role::Read, orgs(&["acme", "beta"]));
    let keys = |follower: &Follower| -> Vec<String> {
        let engine = follower.plane().unwrap().engine();
        engine.snapshot().iter().map(|(key, _)| key.as_str().to_owned()).collect()
    };
    let cases = [
        (&broad, vec!["org/acme/kv/ours", "org/beta/kv/theirs", "token/"]),
        (&narrow, vec!["org/acme/kv/ours"]),
        (&both, vec!["org/acme/kv/ours", "org/beta/kv/theirs"]),
        (&narrow, vec!["org/acme/kv/ours"]),
    ];
    for (token, expected) in cases {
        let follower = Follower::start(options(remote(&server, token), folder.path(), none())).unwrap();
        eventually("a state for the token", || follower.state().resyncs == 1);
        let mut shown = keys(&follower);
        shown.iter_mut().filter(|key| key.starts_with("token/")).for_each(|key| key.truncate("token/".len()));
        shown.dedup();
        assert_eq!(shown, expected);
        follower.shutdown();
        let files = std::fs::read_dir(folder.path()).unwrap();
        let told = files.map(|file| std::fs::read(file.unwrap().path()).unwrap());
        let beta = told.filter(|bytes| String::from_utf8_lossy(bytes).contains("theirs")).count();
        assert_eq!(beta, usize::from(expected.contains(&"org/beta/kv/theirs")));
        // The same token again goes on where it was.
        let follower = Follower::start(options(remote(&server, token), folder.path(), none())).unwrap();
        eventually("a connection", || follower.state().connected);
        assert_eq!(follower.state().resyncs, 0);
        follower.shutdown();
    }
}

fn orgs(names: &[&str]) -> Reach {
    Reach::Orgs(names.iter().map(|name| org(name)).collect())
}

#[test]
fn a_restart_goes_on_from_the_folder_also_without_the_server_and_a_damaged_file_costs_a_resync() {
    let server = Server::start();
    let folder = folder();
    apply(&server.plane, plan_request(hotreload("glm-4.6")));
    let follower = follow(&server, folder.path());
    assert_eq!(follower.state().resyncs, 1, "the first state");
    let problem = Follower::start(options(server.client(), folder.path(), key_of(&server))).unwrap_err();
    assert_eq!(problem.code, "E_LOCKED");
    follower.shutdown();

    // What was written while it was away comes as commits.
    let revision = put(&server.plane, "default", "a", "1");
    let follower = follow(&server, folder.path());
    follower.wait_for(revision, PATIENCE).unwrap();
    assert_eq!(follower.state().resyncs, 0, "it went on where it was");
    let id = server.plane.status(None).unwrap().followers.first().map(|shown| shown.id.clone());
    follower.shutdown();

    let client = Client::new(folder.path().join("nobody.sock"));
    let follower = Follower::start(options(client, folder.path(), key_of(&server))).unwrap();
    let session = follower.session(&org("default"), AGENT, None).unwrap();
    assert_eq!(session.revision(), revision, "the state of before, at once");
    assert_eq!(session.credential("z-ai").unwrap().expose(), SECRET, "what is sealed lies there too");
    let problem = follower.secrets(None).unwrap_err();
    assert_eq!(problem.kind, ProblemKind::Unavailable, "the rest is the server's");
    eventually("an error", || follower.state().error.is_some());
    assert!(!follower.state().connected);
    assert_eq!(follower.status(None).unwrap().head.revision, revision);
    follower.shutdown();

    let path = folder.path().join("follower.state");
    let whole = std::fs::read(&path).unwrap();
    let mut damaged = 0;
    for part in 0..24 {
        let at = whole.len() * part / 24;
        let mut bytes = whole[..if part % 2 == 0 { at } else { whole.len() }].to_vec();
        if part % 2 == 1 {
            bytes[at] ^= 0x40;
        }
        std::fs::write(&path, &bytes).unwrap();
        let follower = follow(&server, folder.path());
        assert_eq!(follower.state().resyncs, 1, "part {part}");
        follower.wait_for(revision, PATIENCE).unwrap();
        let shown = server.plane.status(None).unwrap().followers;
        assert!(shown.iter().all(|shown| Some(&shown.id) == id.as_ref()), "it keeps its id");
        follower.shutdown();
        damaged += 1;
    }
    assert_eq!(damaged, 24);
}

#[test]
fn p4_p9_a_follower_comes_back_from_a_restart_from_compaction_and_from_another_store() {
    let mut server = Server::start();
    let folder = folder();
    let follower_folder = tempfile::tempdir().unwrap();
    drop(folder);
    apply(&server.plane, plan_request(hotreload("glm-4.6")));
    let follower = follow(&server, follower_folder.path());
    for round in 0..3 {
        // The same store behind a new server.
        let plane = server.plane.clone();
        let kept = server.shut_down();
        eventually("the loss", || !follower.state().connected);
        let revision = put(&plane, "default", "a", &round.to_string());
        server = Server::serve(Arc::new(plane.clone()), plane, kept, ServeOptions::default());
        follower.wait_for(revision, PATIENCE).unwrap();
        assert_eq!(follower.state().resyncs, 1, "a restart is no resync");
    }
    // What it missed is compacted away.
    let plane = server.plane.clone();
    let kept = server.shut_down();
    eventually("the loss", || !follower.state().connected);
    put(&plane, "default", "b", "1");
    let revision = put(&plane, "default", "b", "2");
    plane.compact(&CompactRequest { keep: KeepRule::Newest(0), dry_run: false }).unwrap();
    server = Server::serve(Arc::new(plane.clone()), plane, kept, ServeOptions::default());
    follower.wait_for(revision, PATIENCE).unwrap();
    assert_eq!(follower.state().resyncs, 2);
    assert_eq!(follower.kv_get(None, "b", None), server.plane.kv_get(None, "b", None));

    // Another store, whose head is further back: the state is swapped as a whole, and what was read before is not current.
    let session = follower.session(&org("default"), AGENT, None).unwrap();
    let kept = server.shut_down();
    let other = plan_other(kept.path());
    let identity = other.engine().identity();
    server = Server::serve(Arc::new(other.clone()), other, kept, ServeOptions::default());
    eventually("the other store", || follower.state().place.is_some_and(|place| place.identity == identity));
    assert!(!session.is_current());
    assert_eq!(follower.head(), server.plane.head());
    assert_eq!(follower.kv_get(None, "b", None).unwrap(), None);
    let problem = follower.session(&org("default"), AGENT, None).unwrap_err();
    assert!(problem.message.contains("unknown agent"), "{problem:?}");
}

/// Another store with the same key, that has one commit.
fn plan_other(folder: &Path) -> holdfast_reconciler::Plane {
    let plane = plane(folder);
    put(&plane, "default", "other", "1");
    plane
}

#[test]
fn p4_what_waits_for_a_revision_everywhere_waits_for_every_follower() {
    let server = Server::start();
    let folder = folder();
    let follower = follow(&server, folder.path());
    let revision = put(&server.plane, "default", "a", "1");
    let waits = |revision| not_yet(&server.plane.status(None).unwrap(), revision);
    follower.wait_for(revision, PATIENCE).unwrap();
    eventually("the report", || waits(revision).is_empty());
    let shown = server.plane.status(None).unwrap().followers;
    assert_eq!((shown.len(), shown[0].name.as_str(), shown[0].state), (1, "gateway", FollowerStanding::Following));

    // One that lags is named, with where it is; nobody may tell of a revision that is not there.
    let token = follower.state().place.unwrap();
    let report = |id: &str, place: String| {
        let body = json!({"name": id, "place": place}).to_string();
        crate::support::http::send(&server, "PUT", &format!("/v1/followers/{id}"), &[], body.as_bytes())
    };
    let at = |revision: u64| format!("{}:{}:{revision}", token.identity.store, token.identity.epoch);
    assert_eq!(report("laggard", at(0)).status, 204);
    let lags = |runs: &str| {
        let waits = waits(revision);
        assert!(waits.len() == 1 && waits[0].starts_with(&format!("follower `laggard` runs {runs}, as it told at")));
    };
    lags("r0");
    assert_eq!(report("laggard", at(999)).status, 204);
    lags("an unknown revision");
    report("laggard", "x".to_owned()).problem(400, "E_TOKEN");
    report("LAGGARD", at(0)).problem(400, "E_NAME");
    let gone = crate::support::http::send(&server, "DELETE", "/v1/followers/laggard", &[], b"");
    assert_eq!((gone.status, waits(revision)), (204, Vec::new()));
    follower.shutdown();
    assert!(server.plane.status(None).unwrap().followers.is_empty());
}

#[test]
fn p12_a_follower_on_the_network_lets_in_whom_its_server_does_and_no_further() {
    let server = Server::start_with(listening());
    let folder = folder();
    let follower = follow(&server, folder.path());
    let served =
        Server::serve(Arc::new(follower.clone()), server.plane.clone(), tempfile::tempdir().unwrap(), listening());
    let acme = token(&server, "acme", Role::Admin, Reach::one(org("acme")));
    let broad = token(&server, "broad", Role::Admin, Reach::All);
    follower.wait_for(server.plane.head().unwrap().revision, PATIENCE).unwrap();
    let ours = remote(&served, &acme);
    let revision = put(&ours, "acme", "a", "1");
    assert_eq!(server.plane.kv_get(Some(&org("acme")), "a", None).unwrap().unwrap().modified, revision);
    assert_eq!(ours.kv_get(Some(&org("beta")), "a", None).unwrap_err().code, "E_FOREIGN_ORG");
    // The follower may everything at its server: what a token of less may revoke is looked at before.
    let revocation = TokenRevocation { token: "broad".to_owned(), within: Reach::All, author: "t".to_owned() };
    assert_eq!(ours.revoke_token(&revocation).unwrap_err().code, "E_NOT_FOUND");
    assert!(server.plane.authenticate(&broad).is_ok());
    let own = TokenRevocation { token: "acme".to_owned(), ..revocation };
    let revoked = remote(&served, &broad).revoke_token(&own).unwrap();
    follower.wait_for(revoked.revision, PATIENCE).unwrap();
    assert_eq!(ours.kv_get(Some(&org("acme")), "a", None).unwrap_err().kind, ProblemKind::Denied);
    served.shut_down();
}

#[test]
fn a_plan_through_a_follower_has_the_places_of_its_findings() {
    let server = Server::start();
    let folder = folder();
    apply(&server.plane, plan_request(hotreload("glm-4.6")));
    let follower = follow(&server, folder.path());
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let served = runtime.block_on(mount(Arc::new(follower.clone()), folder.path(), ServeOptions::default())).unwrap();
    // The key has no value here, and stays as it is sealed.
    let request = plan_request(project("glm-4.5", None));
    let here = server.plane.plan(&request).unwrap();
    assert!(here.diagnostics.iter().any(|found| !found.labels.is_empty()), "{:?}", here.diagnostics);
    for (way, through) in [("a server", server.client()), ("a follower", Client::new(served.socket().to_owned()))] {
        assert_eq!(through.plan(&request).unwrap(), here, "through {way}");
    }
    runtime.block_on(served.shutdown());
    follower.shutdown();
}

#[test]
fn nothing_is_answered_before_there_is_a_state_and_a_store_is_no_folder_for_one() {
    let folder = folder();
    let none = || KeySource::None("none".to_owned());
    let client = || Client::new(folder.path().join("nobody.sock"));
    let follower = Follower::start(options(client(), folder.path(), none())).unwrap();
    let problem = follower.session(&org("default"), AGENT, None).unwrap_err();
    assert_eq!((problem.kind, problem.code.as_str()), (ProblemKind::Unavailable, "E_NOT_FOLLOWED_YET"));
    assert_eq!(follower.head().unwrap_err().kind, ProblemKind::Unavailable);
    assert_eq!(follower.ready(Duration::from_millis(20)).unwrap_err().code, "E_NOT_FOLLOWED_YET");
    assert_eq!(follower.state().revision(), None);
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let served = runtime.block_on(mount(Arc::new(follower.clone()), folder.path(), ServeOptions::default())).unwrap();
    let problem = Client::new(served.socket().to_owned()).head().unwrap_err();
    assert_eq!(problem.code, "E_NOT_FOLLOWED_YET");
    runtime.block_on(served.shutdown());
    follower.shutdown();
    let store = tempfile::tempdir().unwrap();
    std::fs::write(store.path().join("db"), b"").unwrap();
    let problem = Follower::start(options(client(), store.path(), none())).unwrap_err();
    assert_eq!(problem.code, "E_FOLLOW_FOLDER");
}
