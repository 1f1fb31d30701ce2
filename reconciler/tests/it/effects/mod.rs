//! Effects outside the store: what is committed is made at least once, in order, one call at a time for each resource; whatever is
//! lost, late, stale or killed in between.

mod crash;
mod orders;
mod perturbed;
mod recorder;
mod told;

use std::sync::Arc;
use std::time::Duration;

use holdfast_engine::{Engine, Key, Revision, Txn};
use holdfast_reconciler::Plane;
use holdfast_reconciler::actuation::{ActuateOptions, Actuation};
use holdfast_reconciler::actuator::Actuator;
use holdfast_reconciler::backoff::Backoff;
use holdfast_reconciler::plane::{Condition, ControlPlane, Status};
use holdfast_reconciler::resource::{Address, KindName, OrgId, Record, keys};
use serde_json::{Value, json};

/// A failed call is not tried again within a test, and nothing is looked at again by itself.
fn patient() -> ActuateOptions {
    let never = Duration::from_secs(100_000);
    ActuateOptions { resync: never, backoff: Backoff { first: never, most: never }, ..ActuateOptions::default() }
}

/// A failed call is tried again at once.
fn eager() -> ActuateOptions {
    let soon = Duration::from_millis(1);
    ActuateOptions { backoff: Backoff { first: soon, most: soon }, ..patient() }
}

fn kind() -> KindName {
    KindName::new("file").unwrap()
}

fn address(name: &str) -> Address {
    format!("file/{name}").parse().unwrap()
}

fn key(org: &str, name: &str) -> Key {
    Key::new(keys::live(&OrgId::new(org).unwrap(), &address(name))).unwrap()
}

fn record(fields: Value) -> Vec<u8> {
    let Value::Object(fields) = fields else { panic!("fields are an object") };
    let fields = fields.into_iter().collect();
    serde_json::to_vec(&Record { fields, owner: Some("test".to_owned()), ..Record::default() }).unwrap()
}

/// A file that comes after others.
fn file(content: &str, after: &[&str]) -> Value {
    if after.is_empty() { json!({"content": content}) } else { json!({"content": content, "after": after}) }
}

/// Commits files as they are to be; none is a delete.
fn commit(engine: &Engine, files: &[(&str, Option<Value>)]) -> Revision {
    let txn = files.iter().fold(Txn::new().author("test"), |txn, (name, fields)| match fields {
        Some(fields) => txn.put(key("default", name), record(fields.clone())),
        None => txn.delete(key("default", name)),
    });
    engine.commit(txn).unwrap().revision
}

fn put(engine: &Engine, name: &str, content: &str) -> Revision {
    commit(engine, &[(name, Some(file(content, &[])))])
}

fn act(plane: &Plane, actuator: Arc<dyn Actuator>, options: ActuateOptions) -> Actuation {
    plane.actuate(vec![actuator], options).unwrap()
}

fn status(plane: &Plane) -> Status {
    plane.status(Some(&OrgId::default())).unwrap()
}

/// Waits for something that has to come; only a test that hangs anyway ends here after a minute.
fn until(what: &str, mut holds: impl FnMut() -> bool) {
    for _ in 0..60_000 {
        if holds() {
            return;
        }
        std::thread::sleep(Duration::from_millis(1));
    }
    panic!("{what} did not come");
}

/// Waits until nothing is to be done.
fn idle(actuation: &Actuation) {
    until("rest", || actuation.is_idle());
}

/// The only condition that is not ready.
fn condition(plane: &Plane) -> Condition {
    let status = status(plane);
    assert_eq!(status.conditions.len(), 1, "{:?}", status.conditions);
    status.conditions.into_iter().next().unwrap()
}
