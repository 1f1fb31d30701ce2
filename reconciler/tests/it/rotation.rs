//! Rotation of the master key: what is sealed opens before, amid and after it, and no plan sees a difference.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::Arc;

use holdfast_reconciler::agents::profile::ProfileType;
use holdfast_reconciler::agents::resolver::SystemEnvironment;
use holdfast_reconciler::desired::SecretText;
use holdfast_reconciler::keyfile::KeySource;
use holdfast_reconciler::plan::PlanRequest;
use holdfast_reconciler::plane::{
    ControlPlane, ProfileChange, ProfileCredential, ProfileWrite, SecretWrite, WriteOutcome,
};
use holdfast_reconciler::resource::OrgId;
use holdfast_reconciler::secret::KeyRing;
use holdfast_reconciler::{Plane, PlaneOptions};

use crate::planes::{World, agent, apply, desired, request, secret, world};

fn key_file(world: &World) -> PathBuf {
    world.folder.path().join("master.key")
}

fn keys_of(world: &World) -> Vec<String> {
    std::fs::read_to_string(key_file(world)).unwrap().lines().map(str::to_owned).collect()
}

/// The same store in another process: nothing of the keys is remembered.
fn again(world: &World, keys: KeySource) -> Plane {
    let clock: holdfast_engine::Clock = Arc::new(|| holdfast_engine::Timestamp::ZERO);
    let (system, holder) = (SystemEnvironment::NotKnown, None);
    Plane::new(
        world.plane.engine().clone(),
        PlaneOptions { keys, system, clock, elapsed: Arc::new(|| std::time::Duration::ZERO), holder },
    )
}

/// An organisation with a declared secret, one set by hand, and a profile.
fn fill(plane: &Plane, org: &str) -> PlanRequest {
    let mut resources = agent("triage", "z-ai", "glm-4.6");
    resources.push(secret("secret/provider:z-ai:apiKey", "Z_AI_API_KEY", Some("declared-value")));
    let mut request = request(desired("team", resources));
    let org = OrgId::new(org).unwrap();
    request.org = Some(org.clone());
    apply(plane, &request).unwrap();
    set(plane, &org, "by-hand");
    let credential = ProfileCredential::Value(SecretText::new("profile-value".to_owned()));
    let change = ProfileChange::Set { kind: ProfileType::ApiKey, credential, expires: None };
    let (user, provider, author) = ("maria".to_owned(), "z-ai".to_owned(), "tester".to_owned());
    let (org, allow_break) = (Some(org), BTreeSet::new());
    plane.write_profile(&ProfileWrite { org, user, provider, model: None, change, author, allow_break }).unwrap();
    request
}

fn set(plane: &Plane, org: &OrgId, name: &str) {
    let (name, value, author) = (name.to_owned(), Some(SecretText::new("hand-value".to_owned())), "tester".to_owned());
    let org = Some(org.clone());
    plane.write_secret(&SecretWrite { org, name, value, expires: None, author, allow_break: BTreeSet::new() }).unwrap();
}

/// Every value of an organisation opens, and planning again changes nothing.
fn whole(plane: &Plane, request: &PlanRequest) {
    let org = request.org.clone().unwrap();
    plane.check_keys().unwrap();
    let shared = plane.session(&org, "triage", None).unwrap();
    assert_eq!(shared.credential("z-ai").unwrap().expose(), "declared-value");
    let own = plane.session(&org, "triage", Some("maria")).unwrap();
    assert_eq!(own.credential("z-ai").unwrap().expose(), "profile-value");
    let plan = plane.plan(request).unwrap();
    assert!(!plan.has_changes() && plan.sessions.is_empty(), "{:?}", plan.changes);
}

#[test]
fn p8_a_rotation_seals_everything_anew_and_no_plan_sees_a_difference() {
    let world = world();
    let (acme, beta) = (fill(&world.plane, "acme"), fill(&world.plane, "beta"));
    let before = keys_of(&world);
    let rotated = world.plane.rotate_secrets("maria").unwrap();
    let told: Vec<_> = rotated.organisations.iter().map(|org| (org.org.as_str(), org.records)).collect();
    assert_eq!((told, rotated.resumed), (vec![("acme", 3), ("beta", 3)], false));
    let after = keys_of(&world);
    assert_eq!((after.len(), &after[1..]), (2, &before[..]), "the new key stands in front, the old one stays");
    for plane in [&world.plane, &again(&world, KeySource::File(key_file(&world)))] {
        whole(plane, &acme);
        whole(plane, &beta);
    }
    // The new key alone opens everything, the old one nothing.
    let alone = |line: &str| again(&world, KeySource::Text(SecretText::new(line.to_owned())));
    whole(&alone(&after[0]), &acme);
    let refused = alone(&before[0]).check_keys().unwrap_err();
    assert!(
        refused.message.contains("`secret/by-hand`") && refused.message.contains("`profile/maria/z-ai`"),
        "{refused}"
    );
    // New values go under the new key, with it alone too.
    set(&world.plane, acme.org.as_ref().unwrap(), "later");
    alone(&after[0]).check_keys().unwrap();
    let commit = world.plane.commit(acme.org.as_ref(), rotated.organisations[0].revision).unwrap();
    assert!(commit.message.starts_with("secret rotate to key ") && commit.author == "cli:maria", "{commit:?}");
    assert!(commit.changes.iter().all(|change| !change.key.contains("beta")), "{commit:?}");
}

#[test]
fn p8_a_rotation_that_was_cut_off_leaves_everything_readable_and_is_gone_on_with() {
    let world = world();
    let acme = fill(&world.plane, "acme");
    // Cut off after the key was written and before anything was sealed under it.
    let (_, new) = KeyRing::generate().unwrap();
    let old = std::fs::read_to_string(key_file(&world)).unwrap();
    std::fs::write(key_file(&world), format!("{}{old}", *new)).unwrap();
    let plane = again(&world, KeySource::File(key_file(&world)));
    whole(&plane, &acme);
    set(&plane, acme.org.as_ref().unwrap(), "amid");
    whole(&again(&world, KeySource::Text(SecretText::new(old.clone()))), &acme);
    let rotated = plane.rotate_secrets("maria").unwrap();
    assert!(rotated.resumed && rotated.organisations[0].records == 4, "{rotated:?}");
    assert_eq!(keys_of(&world).len(), 2, "no third key");
    whole(&plane, &acme);
    whole(&again(&world, KeySource::Text(SecretText::new(new.to_string()))), &acme);
    // Nothing is left to go on with, so the next one makes a key.
    assert!(!plane.rotate_secrets("maria").unwrap().resumed);
    assert_eq!(keys_of(&world).len(), 3);
    whole(&plane, &acme);
}

#[test]
fn p8_another_store_with_the_same_key_file_stays_readable() {
    let (world, other) = (world(), crate::planes::world());
    let acme = fill(&world.plane, "acme");
    std::fs::copy(key_file(&world), key_file(&other)).unwrap();
    let beta = fill(&other.plane, "beta");
    world.plane.rotate_secrets("maria").unwrap();
    std::fs::copy(key_file(&world), key_file(&other)).unwrap();
    let plane = again(&other, KeySource::File(key_file(&other)));
    whole(&plane, &beta);
    let rotated = plane.rotate_secrets("maria").unwrap();
    assert!(rotated.resumed, "it takes the key that is there");
    whole(&plane, &beta);
    whole(&world.plane, &acme);
}

#[test]
fn a_rotation_without_the_right_key_begins_nothing() {
    let world = world();
    let acme = fill(&world.plane, "acme");
    let head = world.plane.head().unwrap().revision;
    let refused = world.with_another_key().rotate_secrets("maria").unwrap_err();
    assert_eq!(refused.code, "E_MASTER_KEY");
    assert!(refused.message.contains("`secret/provider:z-ai:apiKey`"), "{refused}");
    let text = SecretText::new(keys_of(&world).join("\n"));
    let given = again(&world, KeySource::Text(text)).rotate_secrets("maria").unwrap_err();
    assert!(given.message.contains("HOLDFAST_KEY") && given.help.unwrap().contains("in front"), "{}", given.message);
    assert_eq!(world.plane.head().unwrap().revision, head);
    whole(&world.plane, &acme);

    let (_, new) = KeyRing::generate().unwrap();
    let both = SecretText::new(format!("{}{}", *new, keys_of(&world).join("\n")));
    let rotated = again(&world, KeySource::Text(both.clone())).rotate_secrets("maria").unwrap();
    assert_eq!((rotated.resumed, rotated.organisations.len()), (true, 1));
    whole(&again(&world, KeySource::Text(both)), &acme);
}

#[test]
fn where_nothing_was_sealed_there_is_nothing_to_rotate() {
    let world = world();
    let rotated = world.plane.rotate_secrets("maria").unwrap();
    assert!(rotated.key.is_none() && rotated.organisations.is_empty() && !key_file(&world).exists());
    let acme = fill(&world.plane, "acme");
    world.plane.rotate_secrets("maria").unwrap();
    let (plan, receipt) = apply(&world.plane, &acme).unwrap();
    assert!(!plan.has_changes() && receipt.outcome == WriteOutcome::Unchanged);
}
