//! Secrets at rest: no byte of any store file is ever a value, and what is sealed opens nowhere but where it was put.

use std::collections::BTreeSet;
use std::ops::ControlFlow;
use std::path::Path;
use std::sync::Arc;

use holdfast_engine::{Engine, Keep, Key, Options, SledOptions, SledStore, Timestamp, Txn};
use holdfast_reconciler::agents::profile::ProfileType;
use holdfast_reconciler::agents::resolver::SystemEnvironment;
use holdfast_reconciler::desired::SecretText;
use holdfast_reconciler::keyfile::KeySource;
use holdfast_reconciler::plane::{
    ControlPlane, ProfileChange, ProfileCredential, ProfileWrite, SecretWrite, SessionRequest,
};
use holdfast_reconciler::resource::OrgId;
use holdfast_reconciler::{Plane, PlaneOptions};

use crate::planes::{agent, apply, desired, request, secret, world};

const CANARIES: [&str; 4] = ["canary-declared-1", "canary-by-hand-2", "canary-overwritten-3", "canary-profile-4"];

fn set(plane: &Plane, org: &OrgId, name: &str, value: Option<&str>) {
    let (name, value, author) = (name.to_owned(), value.map(|value| SecretText::new(value.to_owned())), "t".to_owned());
    let (org, allow_break) = (Some(org.clone()), BTreeSet::from(["triage".to_owned()]));
    plane.write_secret(&SecretWrite { org, name, value, expires: None, author, allow_break }).unwrap();
}

fn profile(plane: &Plane, org: &OrgId, change: ProfileChange) {
    let (user, provider, author) = ("maria".to_owned(), "z-ai".to_owned(), "t".to_owned());
    let (org, allow_break) = (Some(org.clone()), BTreeSet::from(["triage".to_owned()]));
    plane.write_profile(&ProfileWrite { org, user, provider, model: None, change, author, allow_break }).unwrap();
}

/// No file below the folder holds a canary.
fn clean(folder: &Path, after: &str) {
    let mut folders = vec![folder.to_owned()];
    let mut files = 0;
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
                continue;
            }
            files += 1;
            let bytes = std::fs::read(&path).unwrap();
            for canary in CANARIES {
                let found = bytes.windows(canary.len()).any(|window| window == canary.as_bytes());
                assert!(!found, "{} holds `{canary}` after {after}", path.display());
            }
        }
    }
    assert!(files > 0);
}

#[test]
fn p8_no_store_file_and_no_backup_ever_holds_a_value() {
    let folder = tempfile::tempdir().unwrap();
    let store = folder.path().join("store");
    let clock: holdfast_engine::Clock = Arc::new(|| Timestamp::from_millis(1_000));
    let open = || {
        let sled = SledStore::open(&store, SledOptions::default()).unwrap();
        let engine = Engine::open(Box::new(sled), Options { clock: Arc::clone(&clock) }).unwrap();
        let keys = KeySource::File(folder.path().join("keys/master.key"));
        let (system, clock) = (SystemEnvironment::NotKnown, Arc::clone(&clock));
        Plane::new(
            engine,
            PlaneOptions { keys, system, clock, elapsed: Arc::new(|| std::time::Duration::ZERO), holder: None },
        )
    };
    let (plane, org) = (open(), OrgId::default());
    let mut resources = agent("triage", "z-ai", "glm-4.6");
    resources.push(secret("secret/provider:z-ai:apiKey", "Z_AI_API_KEY", Some(CANARIES[0])));
    apply(&plane, &request(desired("team", resources))).unwrap();
    set(&plane, &org, "own", Some(CANARIES[1]));
    let credential = ProfileCredential::Value(SecretText::new(CANARIES[3].to_owned()));
    profile(&plane, &org, ProfileChange::Set { kind: ProfileType::ApiKey, credential, expires: None });
    clean(&store, "put");
    set(&plane, &org, "own", Some(CANARIES[2]));
    clean(&store, "overwrite");
    plane.rotate_secrets("t").unwrap();
    clean(&store, "rotate");
    let back_up = |plane: &Plane, name: &str| {
        let mut file = std::fs::File::create(store.join(name)).unwrap();
        plane.engine().backup(&mut file, |_, _| ControlFlow::Continue(())).unwrap();
    };
    back_up(&plane, "backup-before");
    set(&plane, &org, "own", None);
    profile(&plane, &org, ProfileChange::Remove);
    clean(&store, "delete");
    plane.engine().compact(Keep::Newest(1)).unwrap();
    clean(&store, "compact");
    back_up(&plane, "backup-after");
    clean(&store, "backup");
    plane.engine().close();
    drop(plane);
    clean(&store, "close");
    let plane = open();
    assert_eq!(plane.session(&org, "triage", None).unwrap().credential("z-ai").unwrap().expose(), CANARIES[0]);
    clean(&store, "open");
}

#[test]
fn p8_sealed_bytes_that_were_moved_to_another_organisation_or_name_do_not_open() {
    let world = world();
    let (acme, beta) = (OrgId::new("acme").unwrap(), OrgId::new("beta").unwrap());
    for org in [&acme, &beta] {
        let mut request = request(desired("team", agent("triage", "z-ai", "glm-4.6")));
        request.org = Some(org.clone());
        apply(&world.plane, &request).unwrap();
    }
    set(&world.plane, &acme, "provider:z-ai:apiKey", Some("acmes"));
    set(&world.plane, &acme, "provider:groq:apiKey", Some("other"));
    let snapshot = world.plane.engine().snapshot();
    let from = |name: &str| snapshot.get(&format!("org/acme/live/secret/{name}")).unwrap().clone();
    // Whoever can write the store moves a record with its sealed bytes: to another organisation, and to another name.
    let forged = |key: &str, name: &str| {
        let entry = from(name);
        let txn = Txn::new().keep_sealed(Key::new(key).unwrap(), Arc::clone(entry.value()), entry.sealed().unwrap());
        world.plane.engine().commit(txn).unwrap();
    };
    let look = |org: &OrgId| {
        let asked = SessionRequest { org: Some(org.clone()), agent: "triage".to_owned(), ..SessionRequest::default() };
        world.plane.look(&asked)
    };
    assert!(look(&acme).is_ok());
    forged("org/beta/live/secret/provider:z-ai:apiKey", "provider:z-ai:apiKey");
    forged("org/acme/live/secret/provider:z-ai:apiKey", "provider:groq:apiKey");
    for org in [&acme, &beta] {
        let failed = look(org).unwrap_err();
        let steps: Vec<String> = failed.evidence.iter().map(ToString::to_string).collect();
        let told = "org secret provider:z-ai:apiKey: cannot be opened (the sealed bytes are damaged or belong to another record)";
        assert!(steps.iter().any(|step| step.contains(told)), "{org}: {steps:#?}");
    }
    let refused = world.plane.rotate_secrets("t").unwrap_err();
    assert!(refused.message.contains("`beta:secret/provider:z-ai:apiKey`"), "a rotation names it: {refused}");
}
