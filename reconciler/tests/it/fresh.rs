//! Sessions read the newest revision: creators against committers, each session held against the newest commit that was
//! acknowledged before it was asked for. And what an open session knows of its being current.
//!
//! The short form opens 200,000 sessions, a million where `CI` is set; `HOLDFAST_LONG` opens ten million.

use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::task::{Context, Poll, Wake, Waker};

use holdfast_engine::{Key, Revision, Txn};
use holdfast_reconciler::desired::SecretText;
use holdfast_reconciler::plane::{ControlPlane, SecretWrite};
use holdfast_reconciler::resource::{Address, OrgId};
use holdfast_reconciler::session::Session;
use serde::Deserialize;
use serde_json::json;

use crate::planes::{World, agent, apply, desired, request, world};

const AGENTS: usize = 10;
const CREATORS: u64 = 4;
const COMMITTERS: u64 = 2;

fn sessions() -> u64 {
    let set = |name: &str| std::env::var_os(name).is_some();
    match (set("HOLDFAST_LONG"), set("CI")) {
        (true, _) => 10_000_000,
        (false, true) => 1_000_000,
        (false, false) => 200_000,
    }
}

fn put_key(world: &World, name: &str) {
    let (name, value, author) = (name.to_owned(), Some(SecretText::new("a-key".to_owned())), "tester".to_owned());
    let write = SecretWrite { org: None, name, value, expires: None, author, allow_break: Default::default() };
    world.plane.write_secret(&write).unwrap();
}

/// All agents to one model, in one commit.
fn change(world: &World, model: &str) -> Revision {
    let txn = (0..AGENTS).fold(Txn::new().author("hammer"), |txn, index| {
        let settings = json!({"fields": {
            "installedProviders": [{"providerId": "z-ai"}], "providerModelPreferences": {"z-ai": model},
        }});
        txn.put(
            Key::new(format!("org/default/live/settings/agent-{index}")).unwrap(),
            settings.to_string().into_bytes(),
        )
    });
    world.plane.engine().commit(txn).unwrap().revision
}

/// The model that an agent's settings name in the snapshot that a session is pinned to.
fn model_of(session: &Session, index: usize) -> String {
    #[derive(Deserialize)]
    struct Settings {
        #[serde(rename = "providerModelPreferences")]
        models: std::collections::BTreeMap<String, String>,
    }
    let address: Address = format!("settings/agent-{index}").parse().unwrap();
    session.get::<Settings>(&address).unwrap().models["z-ai"].clone()
}

#[test]
fn p4_no_session_is_older_than_the_newest_acknowledged_commit_and_none_is_torn() {
    let world = world();
    put_key(&world, "provider:z-ai:apiKey");
    let acknowledged = AtomicU64::new(change(&world, "model-0").get());
    let (done, commits) = (AtomicBool::new(false), AtomicU64::new(0));
    let (all, org) = (sessions(), OrgId::default());
    let opened = AtomicU64::new(0);
    std::thread::scope(|scope| {
        for committer in 0..COMMITTERS {
            let (world, acknowledged, done, commits) = (&world, &acknowledged, &done, &commits);
            scope.spawn(move || {
                let mut count = 0;
                while !done.load(Ordering::Relaxed) {
                    count += 1;
                    let revision = change(world, &format!("model-{committer}-{count}"));
                    acknowledged.fetch_max(revision.get(), Ordering::SeqCst);
                    commits.fetch_add(1, Ordering::Relaxed);
                }
            });
        }
        let creators: Vec<_> = (0..CREATORS)
            .map(|creator| {
                let (world, acknowledged, opened, org) = (&world, &acknowledged, &opened, &org);
                scope.spawn(move || {
                    for round in 0..all / CREATORS {
                        let newest = acknowledged.load(Ordering::SeqCst);
                        let mine = ((round * 7 + creator) % AGENTS as u64) as usize;
                        let session = world.plane.session(org, &format!("agent-{mine}"), None).unwrap();
                        assert!(session.revision().get() >= newest, "{} is older than r{newest}", session.revision());
                        let model = &session.context().model.id;
                        let others =
                            if round % 16 == 0 { 0..AGENTS } else { (mine + 1) % AGENTS..(mine + 1) % AGENTS + 1 };
                        for other in others {
                            assert_eq!(*model, model_of(&session, other), "agent-{mine} and agent-{other}");
                        }
                        opened.fetch_add(1, Ordering::Relaxed);
                    }
                })
            })
            .collect();
        creators.into_iter().for_each(|creator| creator.join().unwrap());
        done.store(true, Ordering::Relaxed);
    });
    let (opened, commits) = (opened.into_inner(), commits.into_inner());
    println!("{opened} sessions, none old and none torn, while {commits} commits went on");
    assert_eq!(opened, all, "too few sessions were opened");
    assert!(commits > 100, "only {commits} commits went on meanwhile");
}

struct Flag(AtomicBool);

impl Wake for Flag {
    fn wake(self: Arc<Self>) {
        self.0.store(true, Ordering::SeqCst);
    }
}

#[test]
fn an_open_session_is_current_until_something_that_it_looked_at_is_touched() {
    let world = world();
    apply(&world.plane, &request(desired("team", agent("triage", "z-ai", "glm-4.6")))).unwrap();
    put_key(&world, "provider:z-ai:apiKey");
    let org = OrgId::default();
    let foreign = || {
        let txn =
            Txn::new().put(Key::new("org/default/kv/a").unwrap(), *b"x").put(Key::new("org/b/kv/a").unwrap(), *b"x");
        world.plane.engine().commit(txn).unwrap()
    };
    let touches: [(&str, &dyn Fn()); 4] = [
        ("settings", &|| {
            change_model(&world, "glm-5");
        }),
        ("secret", &|| put_key(&world, "provider:z-ai:apiKey")),
        ("secret that was not there", &|| {
            let txn =
                Txn::new().put(Key::new("org/default/live/provider/z-ai").unwrap(), b"{\"fields\":{}}".as_slice());
            world.plane.engine().commit(txn).unwrap();
        }),
        ("agent", &|| {
            let txn = Txn::new().delete(Key::new("org/default/live/agent/triage").unwrap());
            world.plane.engine().commit(txn).unwrap();
        }),
    ];
    for (what, touch) in touches {
        // One that asks early and is told, one that never asked before.
        let (early, late) =
            (world.plane.session(&org, "triage", None).unwrap(), world.plane.session(&org, "triage", None).unwrap());
        assert!(early.is_current(), "{what}");
        let flag = Arc::new(Flag(AtomicBool::new(false)));
        let waker = Waker::from(Arc::clone(&flag));
        let mut changed = pin!(early.changed());
        foreign();
        assert!(early.is_current() && changed.as_mut().poll(&mut Context::from_waker(&waker)).is_pending(), "{what}");
        touch();
        assert!(!early.is_current() && !late.is_current(), "{what}");
        assert!(flag.0.load(Ordering::SeqCst), "{what} wakes who waits");
        assert_eq!(changed.as_mut().poll(&mut Context::from_waker(&waker)), Poll::Ready(()), "{what}");
        foreign();
        assert!(!early.is_current(), "{what}: a later foreign commit changes nothing about it");
        assert!(early.refresh().unwrap().is_current(), "{what}");
    }
}

fn change_model(world: &World, model: &str) -> Revision {
    let settings = json!({"fields": {
        "installedProviders": [{"providerId": "z-ai"}], "providerModelPreferences": {"z-ai": model},
    }});
    let key = Key::new("org/default/live/settings/triage").unwrap();
    world.plane.engine().commit(Txn::new().put(key, settings.to_string().into_bytes())).unwrap().revision
}
