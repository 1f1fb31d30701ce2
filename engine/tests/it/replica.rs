//! Replicas: fed by a watch they are what their source is (P4, P9), they tell what does not follow, and a checkpoint is read
//! whole or not at all.

use std::io::Write;
use std::sync::Arc;

use holdfast_engine::{
    AtError, Change, CheckpointError, CommitError, Digest, Engine, Entry, Head, Identity, Key, Previous, Replica,
    ReplicaChange, ReplicaCommit, ReplicaEntry, ReplicaError, ReplicaState, ResyncReason, Revision, Snapshot,
    Timestamp, Txn, Watch, WatchEvent, WatchFrom, WatchOptions, WatchedCommit, read_checkpoint, write_checkpoint,
};
use proptest::prelude::*;
use proptest::strategy::ValueTree;
use proptest::test_runner::TestRunner;

use crate::support::{Bed, MemoryBed, key, put, report};

fn block_on<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(future)
}

fn head_of(commit: &WatchedCommit) -> Head {
    Head { revision: commit.commit.revision, id: commit.commit.id, time: commit.commit.time }
}

fn fed(watched: WatchedCommit) -> ReplicaCommit {
    let head = head_of(&watched);
    let previous = |revision: Revision| (revision != Revision::ZERO).then_some(revision);
    let changes = watched
        .changes
        .into_iter()
        .map(|changed| ReplicaChange { previous: previous(changed.mark.previous), change: changed.change });
    let (author, message) = (watched.commit.author.clone(), watched.commit.message.clone());
    ReplicaCommit { head, author, message, changes: changes.collect(), sealed: Vec::new() }
}

fn state_of(engine: &Engine, prefix: &str) -> ReplicaState {
    let (snapshot, sealed) = engine.snapshot_with_sealed();
    let entries = snapshot.prefix(prefix).map(|(key, entry)| ReplicaEntry {
        key: key.clone(),
        value: Arc::clone(entry.value()),
        created: entry.created(),
        modified: entry.modified(),
        version: entry.version(),
        sealed: entry.sealed(),
    });
    let entries: Vec<_> = entries.collect();
    let sealed = entries.iter().filter_map(|entry| sealed.get(&entry.sealed?)).collect();
    ReplicaState { identity: engine.identity(), head: snapshot.head(), entries, sealed }
}

/// Feeds what is there now, as a follower does.
fn feed(watch: &mut Watch, replica: &mut Replica) {
    block_on(async {
        while let Some(event) = watch.step().await.unwrap() {
            match event {
                WatchEvent::Commit(commit) => assert!(replica.install(fed(commit)).unwrap()),
                WatchEvent::Resync { .. } => panic!("nothing is compacted"),
            }
        }
        watch.bookmark().await;
        if let Some(head) = watch.place().await.unwrap() {
            replica.advance(head).unwrap();
        }
    });
}

fn contents(snapshot: &Snapshot, prefix: &str) -> Vec<(Key, Entry)> {
    snapshot.prefix(prefix).map(|(key, entry)| (key.clone(), entry.clone())).collect()
}

fn watch(engine: &Engine, prefix: &str, from: WatchFrom) -> Watch {
    engine.watch(WatchOptions { prefix: prefix.to_owned(), from, ..WatchOptions::default() }).unwrap()
}

/// A commit of a few keys of two organisations: each a put or a delete.
fn commits() -> impl Strategy<Value = Vec<Vec<(bool, u8, bool)>>> {
    prop::collection::vec(prop::collection::vec((any::<bool>(), 0..6_u8, any::<bool>()), 1..4), 1..30)
}

fn txn(changes: &[(bool, u8, bool)], number: usize) -> Txn {
    let mut seen = std::collections::BTreeSet::new();
    let mut txn = Txn::new().author("me");
    for (ours, name, put) in changes {
        let key = key(&format!("org/{}/k{name}", if *ours { "acme" } else { "other" }));
        if !seen.insert(key.clone()) {
            continue;
        }
        txn = if *put { txn.put(key, format!("value {number}").into_bytes()) } else { txn.delete(key) };
    }
    txn
}

#[test]
fn p4_p9_a_replica_is_what_its_source_is_and_holds_nothing_of_others() {
    let mut cases = 0;
    let mut runner = TestRunner::deterministic();
    for _ in 0..200 {
        let history = commits().new_tree(&mut runner).unwrap().current();
        let source = MemoryBed::default().open();
        let mut replica = Replica::of(state_of(&source, "org/acme/"));
        let token = WatchFrom::Token(replica.token());
        let mut upstream = watch(&source, "org/acme/", token);
        let mut local = watch(replica.engine(), "org/acme/", WatchFrom::Now);
        let mut seen = Vec::new();
        for (number, changes) in history.iter().enumerate() {
            source.commit(txn(changes, number)).unwrap();
            feed(&mut upstream, &mut replica);
            let (theirs, ours) = (source.snapshot(), replica.engine().snapshot());
            assert_eq!(ours.head(), theirs.head());
            assert_eq!(contents(&ours, ""), contents(&theirs, "org/acme/"));
            cases += 1;
        }
        let mut again = watch(&source, "org/acme/", WatchFrom::After(Revision::ZERO));
        block_on(async {
            while let Some(WatchEvent::Commit(commit)) = local.step().await.unwrap() {
                seen.push(commit);
            }
            for here in seen {
                let Some(WatchEvent::Commit(there)) = again.step().await.unwrap() else { panic!("one more") };
                assert_eq!((head_of(&here), &here.commit.author), (head_of(&there), &there.commit.author));
                let changes = |commit: &WatchedCommit| -> Vec<_> {
                    commit.changes.iter().map(|changed| (changed.change.clone(), changed.mark)).collect()
                };
                assert_eq!(changes(&here), changes(&there));
                assert!(here.changes.iter().all(|changed| changed.previous == Previous::NotAsked));
            }
            assert!(again.step().await.unwrap().is_none(), "the local watch showed all");
            assert_eq!(local.bookmark().await, source.head().revision);
        });
    }
    report(&format!("{cases} commits reached a replica"));
    assert!(cases >= 2_000, "only {cases} commits");
}

#[test]
fn a_replica_takes_no_commits_and_says_that_it_has_no_history() {
    let source = MemoryBed::default().open();
    source.commit(put("a", "1")).unwrap();
    let mut replica = Replica::of(state_of(&source, ""));
    let engine = replica.engine().clone();
    assert!(matches!(engine.commit(put("b", "1")), Err(CommitError::ReadOnly)));
    let mut upstream = watch(&source, "", WatchFrom::Token(replica.token()));
    source.commit(put("a", "2")).unwrap();
    feed(&mut upstream, &mut replica);
    let (first, head) = (Revision::new(1), Revision::new(2));
    assert_eq!(engine.at(head).unwrap().revision(), head);
    assert_eq!(engine.head_at(head).unwrap(), source.head());
    let refused = [
        engine.at(first).map(drop),
        engine.head_at(first).map(drop),
        engine.commits(.., 10).map(drop),
        engine.log(.., "", 10).map(drop),
        engine.key_log(&key("a"), head, 10).map(drop),
        engine.diff(first, head).map(drop),
        engine.commit_at(head).map(drop),
    ];
    for result in refused {
        let Err(AtError::NoHistory { head: told }) = result else { panic!("{result:?}") };
        assert_eq!(told, head);
    }
    assert!(matches!(engine.at(Revision::new(3)), Err(AtError::Future { .. })));
    assert!(engine.backup(&mut Vec::new(), |_, _| std::ops::ControlFlow::Continue(())).is_err());
    assert_eq!(engine.status().durability, "replica");
}

#[test]
fn p9_a_lost_repeated_or_foreign_commit_is_told() {
    let source = MemoryBed::default().open();
    let mut replica = Replica::of(state_of(&source, ""));
    let mut upstream = watch(&source, "", WatchFrom::Token(replica.token()));
    let mut commits = Vec::new();
    for value in ["1", "2", "3"] {
        source.commit(put("a", value)).unwrap();
        let Some(WatchEvent::Commit(commit)) = block_on(upstream.step()).unwrap() else { panic!("a commit") };
        commits.push(fed(commit));
    }
    assert!(replica.install(commits[0].clone()).unwrap());
    let lost = replica.install(commits[2].clone()).unwrap_err();
    let ReplicaError::Diverged { expected, found, .. } = &lost else { panic!("{lost}") };
    assert_eq!((*expected, *found), (Some(Revision::new(2)), Some(Revision::new(1))));
    assert_eq!(replica.engine().head().revision, Revision::new(1), "nothing was changed");
    assert!(replica.install(commits[1].clone()).unwrap());
    assert!(!replica.install(commits[0].clone()).unwrap(), "an old one changes nothing");
    assert!(!replica.install(commits[1].clone()).unwrap(), "a repeated one changes nothing");
    let mut other = commits[1].clone();
    other.head.id = Digest::of(b"other");
    let revision = Revision::new(2);
    assert_eq!(replica.install(other.clone()), Err(ReplicaError::OtherCommit { revision }));
    assert_eq!(replica.advance(other.head), Err(ReplicaError::OtherCommit { revision }));
    assert!(replica.install(commits[2].clone()).unwrap());
    assert_eq!(contents(&replica.engine().snapshot(), ""), contents(&source.snapshot(), ""));
}

fn entry(name: &str, modified: u64) -> ReplicaEntry {
    let revision = Revision::new(modified);
    ReplicaEntry {
        key: key(name),
        value: name.as_bytes().into(),
        created: revision,
        modified: revision,
        version: 1,
        sealed: None,
    }
}

fn state(store: u128, epoch: u64, revision: u64, entries: Vec<ReplicaEntry>) -> ReplicaState {
    let identity = Identity { store: uuid::Uuid::from_u128(store), epoch };
    let id = Digest::of(&revision.to_le_bytes());
    ReplicaState {
        identity,
        head: Head { revision: Revision::new(revision), id, time: Timestamp::ZERO },
        entries,
        sealed: Vec::new(),
    }
}

#[test]
fn p4_a_resync_raises_the_counters_of_what_differs_and_begins_watches_again() {
    let mut replica = Replica::of(state(1, 1, 5, vec![entry("o/same", 2), entry("o/gone", 3), entry("o/new", 4)]));
    let engine = replica.engine().clone();
    let kept = engine.snapshot().get("o/same").unwrap().clone();
    let decoded = kept.decoded(|bytes| Ok::<_, ()>(bytes.len())).unwrap();
    let counter = |name: &str| engine.counter(name);
    let (same, gone, new, all) = (counter("o/same"), counter("o/gone"), counter("o/new"), counter("o/"));
    let before = same.get();
    let mut local = watch(&engine, "o/", WatchFrom::Now);
    replica.reset(state(1, 1, 9, vec![entry("o/same", 2), entry("o/new", 8)]));
    let now = Revision::new(9);
    assert_eq!((same.get(), gone.get(), new.get(), all.get()), (before, now, now, now));
    let again = engine.snapshot().get("o/same").unwrap().decoded(|_| Err::<usize, _>(())).unwrap();
    assert!(Arc::ptr_eq(&decoded, &again), "what is as it was stays decoded");
    match block_on(local.next()).unwrap() {
        WatchEvent::Resync { reason: ResyncReason::Compacted { .. }, snapshot } => assert_eq!(snapshot.revision(), now),
        other => panic!("{other:?}"),
    }
    replica.reset(state(1, 1, 12, vec![entry("o/same", 2), entry("o/new", 8)]));
    assert_eq!(all.get(), now, "nothing differs");
    assert!(block_on(local.step()).unwrap().is_none(), "nothing differs");
    assert_eq!(block_on(local.bookmark()), Revision::new(12));
}

#[test]
fn p4_a_state_of_another_store_or_from_before_ends_what_was_read() {
    let mut cases = 0;
    for (store, epoch, revision) in [(2, 1, 3), (1, 2, 1_000), (1, 1, 3), (2, 1, 50)] {
        let mut replica = Replica::of(state(1, 1, 5, vec![entry("o/a", 2)]));
        let engine = replica.engine().clone();
        let mut local = watch(&engine, "o/", WatchFrom::Now);
        let old = engine.counter("o/a");
        assert!(old.get() <= Revision::new(5));
        replica.reset(state(store, epoch, revision, vec![entry("o/a", 2)]));
        assert!(old.get() > Revision::new(5), "who read before is not current any more");
        assert_eq!(engine.identity().epoch, epoch);
        let fresh = engine.counter("o/a");
        assert!(fresh.get() <= Revision::new(revision), "who reads now is");
        match block_on(local.next()).unwrap() {
            WatchEvent::Resync { snapshot, .. } => assert_eq!(snapshot.revision(), Revision::new(revision)),
            other => panic!("{other:?}"),
        }
        // It goes on in the new state, commit by commit.
        let mut event = None;
        let change = Change::Put { key: key("o/a"), value: b"2".as_slice().into(), sealed: None };
        let head = Head { revision: Revision::new(revision + 4), id: Digest::of(b"next"), time: Timestamp::ZERO };
        let changes = vec![ReplicaChange { change, previous: Some(Revision::new(2)) }];
        let (author, message) = ("me".into(), String::new());
        replica.install(ReplicaCommit { head, author, message, changes, sealed: Vec::new() }).unwrap();
        while event.is_none() {
            match block_on(local.next()).unwrap() {
                WatchEvent::Commit(commit) => event = Some(commit.commit.revision),
                WatchEvent::Resync { snapshot, .. } => assert_eq!(snapshot.revision(), Revision::new(revision)),
            }
        }
        assert_eq!(event, Some(head.revision));
        assert_eq!(fresh.get(), head.revision);
        cases += 1;
    }
    assert_eq!(cases, 4);
}

/// A commit with its sealed bytes, as far as the source still has them.
fn fed_with_sealed(source: &Engine, watched: WatchedCommit) -> ReplicaCommit {
    let mut commit = fed(watched);
    let digests = commit.changes.iter().filter_map(|changed| match &changed.change {
        Change::Put { sealed, .. } => *sealed,
        Change::Delete { .. } => None,
    });
    commit.sealed = digests.filter_map(|digest| source.sealed(&digest)).collect();
    commit
}

#[test]
fn p4_sealed_bytes_come_with_their_commit_and_go_with_their_last_name() {
    let source = MemoryBed::default().open();
    let sealed = |name: &str, bytes: &str| {
        source.commit(Txn::new().put_sealed(key(name), b"tag".as_slice(), bytes.as_bytes().to_vec())).unwrap();
        Digest::of(bytes.as_bytes())
    };
    let first = sealed("o/a", "ciphertext 1");
    let mut replica = Replica::of(state_of(&source, ""));
    let engine = replica.engine().clone();
    assert_eq!(engine.sealed(&first).as_deref(), Some(b"ciphertext 1".as_slice()), "it came with the state");
    let mut upstream = watch(&source, "", WatchFrom::Token(replica.token()));
    let mut next = || match block_on(upstream.next()).unwrap() {
        WatchEvent::Commit(commit) => fed_with_sealed(&source, commit),
        WatchEvent::Resync { .. } => panic!("nothing is compacted"),
    };

    let second = sealed("o/a", "ciphertext 2");
    assert!(replica.install(next()).unwrap());
    assert_eq!(
        (engine.sealed(&first), engine.sealed(&second).is_some()),
        (None, true),
        "overwritten bytes are not kept"
    );

    // Two at once, of which the source has only the last one's bytes: nobody sees the state between them.
    let (_gone, last) = (sealed("o/a", "ciphertext 3"), sealed("o/a", "ciphertext 4"));
    let commits = vec![next(), next()];
    assert!(commits[0].sealed.is_empty() && commits[1].sealed.len() == 1, "{commits:?}");
    let mut local = watch(&engine, "", WatchFrom::Now);
    assert_eq!(replica.install_all(commits.clone()).unwrap(), 2);
    assert_eq!(replica.install_all(commits).unwrap(), 0, "a repeated group changes nothing");
    assert!(engine.sealed(&last).is_some());
    let shown: Vec<_> = (0..2).map(|_| block_on(local.next()).unwrap()).collect();
    assert!(matches!(&shown[..], [WatchEvent::Commit(one), WatchEvent::Commit(two)]
        if (one.commit.revision.get(), two.commit.revision.get()) == (3, 4)));

    let mut bytes = Vec::new();
    write_checkpoint(&engine, &mut bytes).unwrap();
    let again = Replica::of(read_checkpoint(&mut bytes.as_slice()).unwrap());
    assert!(again.engine().sealed(&last).is_some(), "it is in the checkpoint");

    let mut unasked = state_of(&source, "");
    unasked.sealed.push(b"named by nothing".as_slice().into());
    replica.reset(unasked);
    assert_eq!(engine.sealed(&Digest::of(b"named by nothing")), None, "what nothing names is not kept");
    source.commit(Txn::new().delete(key("o/a"))).unwrap();
    replica.reset(state_of(&source, ""));
    assert_eq!(engine.sealed(&last), None);
}

#[test]
fn p9_a_group_of_commits_is_taken_whole_or_not_at_all() {
    let source = MemoryBed::default().open();
    let mut replica = Replica::of(state_of(&source, ""));
    let mut upstream = watch(&source, "", WatchFrom::Token(replica.token()));
    let mut commits = Vec::new();
    for value in ["1", "2", "3"] {
        source.commit(put("a", value)).unwrap();
        let Some(WatchEvent::Commit(commit)) = block_on(upstream.step()).unwrap() else { panic!("a commit") };
        commits.push(fed(commit));
    }
    let lacking = vec![commits[0].clone(), commits[2].clone()];
    assert!(matches!(replica.install_all(lacking), Err(ReplicaError::Diverged { .. })));
    assert_eq!(replica.engine().head(), Head::default(), "nothing of it was taken");
    assert_eq!(replica.install_all(commits).unwrap(), 3);
    assert_eq!(contents(&replica.engine().snapshot(), ""), contents(&source.snapshot(), ""));
}

#[test]
fn p9_a_watch_tells_that_the_head_moved_over_what_it_does_not_show() {
    let engine = MemoryBed::default().open();
    let mut watch = watch(&engine, "a/", WatchFrom::Now);
    block_on(async {
        engine.commit(put("b/1", "1")).unwrap();
        assert!(watch.next_or_moved().await.unwrap().is_none());
        assert_eq!(watch.place().await.unwrap(), Some(engine.head()));
        engine.commit(put("b/2", "1")).unwrap();
        engine.commit(put("a/1", "1")).unwrap();
        engine.commit(put("b/3", "1")).unwrap();
        let Some(WatchEvent::Commit(commit)) = watch.next_or_moved().await.unwrap() else { panic!("a commit first") };
        assert_eq!(commit.commit.revision, Revision::new(3));
        assert!(watch.next_or_moved().await.unwrap().is_none());
        assert_eq!(watch.place().await.unwrap(), Some(engine.head()));
        let mut nothing = std::pin::pin!(watch.next_or_moved());
        assert!(
            std::future::poll_fn(|context| std::task::Poll::Ready(nothing.as_mut().poll(context).is_pending())).await
        );
    });
}

#[test]
fn a_checkpoint_is_read_whole_or_not_at_all() {
    let source = MemoryBed::default().open();
    for number in 0..40 {
        source.commit(put(&format!("org/acme/{number}"), &"v".repeat(number * 7))).unwrap();
    }
    source.commit(Txn::new().delete(key("org/acme/3")).put(key("org/acme/4"), b"again".as_slice())).unwrap();
    let replica = Replica::of(state_of(&source, ""));
    let mut bytes = Vec::new();
    assert_eq!(write_checkpoint(replica.engine(), &mut bytes).unwrap(), replica.token());
    let again = Replica::of(read_checkpoint(&mut bytes.as_slice()).unwrap());
    assert_eq!(again.token(), replica.token());
    assert_eq!(contents(&again.engine().snapshot(), ""), contents(&source.snapshot(), ""));
    assert_eq!(again.engine().head(), source.head());

    let mut refused = 0;
    let mut refuse = |bytes: &[u8]| match read_checkpoint(&mut &*bytes) {
        Err(CheckpointError::Damaged(_)) => refused += 1,
        other => panic!("{other:?}"),
    };
    for at in 0..bytes.len() {
        let mut damaged = bytes.clone();
        damaged[at] ^= 1 << (at % 8);
        refuse(&damaged);
        refuse(&bytes[..at]);
    }
    let mut backup = Vec::new();
    source.backup(&mut backup, |_, _| std::ops::ControlFlow::Continue(())).unwrap();
    refuse(&backup);
    report(&format!("{refused} damaged checkpoints refused"));
    assert!(refused > 2_000, "only {refused} damaged checkpoints");

    struct Full;
    impl Write for Full {
        fn write(&mut self, _: &[u8]) -> std::io::Result<usize> {
            Err(std::io::Error::from(std::io::ErrorKind::StorageFull))
        }
        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }
    assert_eq!(write_checkpoint(replica.engine(), &mut Full).unwrap_err().kind(), std::io::ErrorKind::StorageFull);
}
