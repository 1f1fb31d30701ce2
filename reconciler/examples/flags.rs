//! Feature flags of your own: a kind of resource, and a resolver that says what each user gets. Nothing of it is about agents.
//!
//! `flags maria tom` opens a session for each user, then takes one flag to all of them and shows what the open sessions know of it.

use std::collections::BTreeMap;
use std::error::Error;
use std::io::{Write, stdout};
use std::sync::Arc;
use std::time::{Instant, UNIX_EPOCH};

use holdfast_engine::{Digest, Engine, Key, MemoryStore, Options, Revision, Timestamp, Txn};
use holdfast_reconciler::agents::resolver::SystemEnvironment;
use holdfast_reconciler::error::Problem;
use holdfast_reconciler::keyfile::KeySource;
use holdfast_reconciler::resource::{Address, KindName, OrgId, Record, ResourceName, keys};
use holdfast_reconciler::session::{Reading, Resolver, Session};
use holdfast_reconciler::{Plane, PlaneOptions};
use serde::Deserialize;
use serde_json::json;

/// The fields of a flag.
#[derive(Deserialize)]
struct Flag {
    /// For how many of a hundred users it is on.
    rollout: u8,
}

/// Says which flags are on for a user. A user who has a flag keeps it as long as its rollout does not fall.
#[derive(Clone)]
struct Flags {
    kind: KindName,
}

impl Resolver for Flags {
    type Request = String;
    type Context = BTreeMap<String, bool>;

    fn resolve(&self, reading: &mut Reading<'_>, user: &String) -> Result<Self::Context, Problem> {
        let mut flags = BTreeMap::new();
        for name in reading.names(&self.kind) {
            let Some(flag) = reading.get::<Flag>(&Address::new(self.kind.clone(), name.clone()))? else { continue };
            let digest = Digest::of_parts("flags", &[name.as_str().as_bytes(), user.as_bytes()]);
            flags.insert(name.to_string(), digest.as_bytes()[0] % 100 < flag.rollout);
        }
        Ok(flags)
    }
}

fn main() -> Result<(), Box<dyn Error>> {
    let engine = Engine::open(Box::new(MemoryStore::new()), Options::new(now))?;
    let (keys, system) = (KeySource::None("flags have no secrets".to_owned()), SystemEnvironment::NotKnown);
    let begun = Instant::now();
    let plane = Plane::new(
        engine,
        PlaneOptions { keys, system, clock: Arc::new(now), elapsed: Arc::new(move || begun.elapsed()), holder: None },
    );
    let (org, flags) = (OrgId::default(), Flags { kind: KindName::new("feature-flag")? });

    set(&plane, &org, &flags, &[("dark-mode", 100), ("new-ui", 50), ("old-api", 0)])?;
    let sessions: Vec<Session<Flags>> =
        std::env::args().skip(1).map(|user| plane.session_with(flags.clone(), &org, user)).collect::<Result<_, _>>()?;
    sessions.iter().try_for_each(show)?;

    // Something else changes: nobody is told. A flag changes: every session knows, and keeps what it has until it asks anew.
    plane.engine().commit(Txn::new().put(Key::new("org/default/kv/other")?, *b"1"))?;
    sessions.iter().try_for_each(show)?;
    let revision = set(&plane, &org, &flags, &[("new-ui", 100)])?;
    writeln!(stdout(), "new-ui goes to all in {revision}")?;
    for session in &sessions {
        show(session)?;
        show(&session.refresh()?)?;
    }
    Ok(())
}

/// Writes flags as one commit. A manifest with `[kinds.feature-flag]` and `reconcile set` come to the same records.
fn set(plane: &Plane, org: &OrgId, flags: &Flags, rollouts: &[(&str, u8)]) -> Result<Revision, Box<dyn Error>> {
    let mut txn = Txn::new().author("example:flags");
    for (name, rollout) in rollouts {
        let fields = BTreeMap::from([("rollout".to_owned(), json!(rollout))]);
        let record = Record { fields, owner: Some("example:flags".to_owned()), ..Record::default() };
        let address = Address::new(flags.kind.clone(), ResourceName::new(name)?);
        txn = txn.put(Key::new(keys::live(org, &address))?, serde_json::to_vec(&record)?);
    }
    Ok(plane.engine().commit(txn)?.revision)
}

fn show(session: &Session<Flags>) -> std::io::Result<()> {
    let on = session.context().iter().filter(|(_, on)| **on).map(|(name, _)| name.as_str()).collect::<Vec<_>>();
    let state = if session.is_current() { "current" } else { "outdated" };
    writeln!(stdout(), "{} at {}: {} ({state})", session.request(), session.revision(), on.join(", "))
}

fn now() -> Timestamp {
    Timestamp::from_millis(UNIX_EPOCH.elapsed().map_or(0, |since| since.as_millis() as i64))
}
