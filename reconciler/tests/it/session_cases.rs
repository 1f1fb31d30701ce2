//! The cases of `testdata/sessions`: which credential counts, and which provider and model a session gets.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use holdfast_engine::Timestamp;
use holdfast_reconciler::agents::profile::{EphemeralProfile, ProfileType};
use holdfast_reconciler::agents::resolver::SystemEnvironment;
use holdfast_reconciler::desired::SecretText;
use holdfast_reconciler::plane::{
    ControlPlane, ProfileChange, ProfileCredential, ProfileWrite, SecretWrite, SessionRequest,
};
use holdfast_reconciler::resource::OrgId;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use crate::planes::{World, apply, declared, desired, request, world_with};

const NOW: i64 = 1_000_000_000;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Given {
    user: Option<String>,
    provider: String,
    #[serde(default, rename = "type")]
    kind: ProfileType,
    value: Option<String>,
    secret_ref: Option<String>,
    expires_in_s: Option<i64>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Secret {
    org: OrgId,
    name: String,
    value: String,
    expires_in_s: Option<i64>,
    #[serde(default)]
    other_key: bool,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Credentials {
    case: String,
    org: OrgId,
    provider: String,
    user: Option<String>,
    owner: Option<String>,
    #[serde(default)]
    profiles: Vec<Given>,
    #[serde(default)]
    ephemeral: Vec<Given>,
    #[serde(default)]
    secrets: Vec<Secret>,
    #[serde(default)]
    system: BTreeMap<String, String>,
    value: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Choice {
    case: String,
    settings: Value,
    credentials: Vec<String>,
    #[serde(default)]
    system: BTreeMap<String, String>,
    #[serde(default)]
    declared: BTreeMap<String, Value>,
    expect: BTreeMap<String, Option<String>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct NotOurs {
    family: String,
    case: String,
    why: String,
}

fn cases<T: DeserializeOwned>(name: &str) -> Vec<T> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../testdata/sessions").join(name);
    serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap()
}

fn expiry(seconds: Option<i64>) -> Option<Timestamp> {
    seconds.map(|seconds| Timestamp::from_millis(NOW + seconds * 1000))
}

fn text(value: &str) -> SecretText {
    SecretText::new(value.to_owned())
}

fn put_secret(plane: &dyn ControlPlane, org: &OrgId, name: &str, value: &str, expires: Option<Timestamp>) {
    let (name, value, author) = (name.to_owned(), Some(text(value)), "tester".to_owned());
    let org = Some(org.clone());
    plane.write_secret(&SecretWrite { org, name, value, expires, author, allow_break: Default::default() }).unwrap();
}

/// An agent `bot` with the settings, applied to an organisation.
fn applied(world: &World, org: &OrgId, owner: Option<&str>, settings: Value, providers: &BTreeMap<String, Value>) {
    let agent = owner.map_or(json!({"name": "bot"}), |owner| json!({"name": "bot", "owner": owner}));
    let mut resources = vec![declared("agent/bot", agent), declared("settings/bot", settings)];
    resources.extend(providers.iter().map(|(id, fields)| declared(&format!("provider/{id}"), fields.clone())));
    let mut request = request(desired("team", resources));
    request.org = Some(org.clone());
    apply(&world.plane, &request).unwrap();
}

fn given(world: &World, case: &Credentials) {
    let org = &case.org;
    let strangers = case.secrets.iter().filter(|secret| secret.other_key);
    for secret in strangers {
        put_secret(&world.with_another_key(), &secret.org, &secret.name, &secret.value, expiry(secret.expires_in_s));
    }
    for secret in case.secrets.iter().filter(|secret| !secret.other_key) {
        put_secret(&world.plane, &secret.org, &secret.name, &secret.value, expiry(secret.expires_in_s));
    }
    for profile in &case.profiles {
        let credential = match (&profile.value, &profile.secret_ref) {
            (Some(value), None) => ProfileCredential::Value(text(value)),
            (None, Some(name)) => ProfileCredential::SecretRef(name.clone()),
            _ => panic!("{}: either a value or a reference", case.case),
        };
        let change = ProfileChange::Set { kind: profile.kind, credential, expires: expiry(profile.expires_in_s) };
        let (user, provider) = (profile.user.clone().unwrap(), profile.provider.clone());
        let (org, author) = (Some(org.clone()), "tester".to_owned());
        let write = ProfileWrite { org, user, provider, model: None, change, author, allow_break: Default::default() };
        world.plane.write_profile(&write).unwrap();
    }
}

#[test]
fn p4_the_credential_that_counts_is_that_of_the_table() {
    for case in cases::<Credentials>("credentials.json") {
        let world = world_with(SystemEnvironment::Known(case.system.clone()));
        world.clock.set(NOW);
        let settings = json!({
            "installedProviders": [{"providerId": case.provider}],
            "providerModelPreferences": {case.provider.clone(): "glm-4.6"},
        });
        applied(&world, &case.org, case.owner.as_deref(), settings, &BTreeMap::new());
        given(&world, &case);
        let ephemeral = case.ephemeral.iter().map(|given| EphemeralProfile {
            provider: given.provider.clone(),
            model: "*".to_owned(),
            expires: expiry(given.expires_in_s),
            value: text(given.value.as_deref().unwrap()),
        });
        let asked = SessionRequest {
            org: Some(case.org.clone()),
            agent: "bot".to_owned(),
            user: case.user.clone(),
            ephemeral: ephemeral.collect(),
            ..SessionRequest::default()
        };
        let opened = world.plane.open(&asked);
        match &case.value {
            Some(value) => {
                let session = opened.unwrap_or_else(|problem| panic!("{}: {problem:?}", case.case));
                assert_eq!(session.credential(&case.provider).unwrap().expose(), value, "{}", case.case);
                assert_eq!(session.context().credentials.len(), 1, "{}", case.case);
            }
            None => {
                let problem = opened.expect_err(&case.case);
                assert_eq!(problem.message, "No provider specified for model \"glm-4.6\"", "{}", case.case);
                assert!(!problem.evidence.is_empty(), "{}", case.case);
            }
        }
    }
}

/// Each case of the field is told once: as one or more of ours (`, ` begins what makes them differ), or with the reason why not.
#[test]
fn every_case_of_the_field_is_told() {
    let mut told: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    let mut tell = |family: &str, case: &str| told.entry(family.to_owned()).or_default().insert(case.to_owned());
    let mut tests = 0;
    for case in cases::<Credentials>("credentials.json") {
        assert!(tell("credentials", &case.case), "{} stands there twice", case.case);
        tests += 1;
    }
    for case in cases::<Choice>("choices.json") {
        let (family, name) = case.case.split_once(": ").unwrap();
        tell(family, name.split_once(", ").map_or(name, |(name, _)| name));
        tests += 1;
    }
    for NotOurs { family, case, why } in cases("not-ours.json") {
        assert!(tell(&family, &case) && !why.is_empty(), "{case} is ours, or has no reason");
    }
    let counts: Vec<(&str, usize)> = told.iter().map(|(family, cases)| (family.as_str(), cases.len())).collect();
    println!("{tests} tests of {counts:?}");
    assert_eq!(counts, [("credentials", 21), ("effective", 13), ("primary", 9), ("reference", 33)]);
    assert_eq!(tests, 82);
}

#[test]
fn p4_provider_reference_and_model_are_those_of_the_table() {
    let org = OrgId::default();
    for case in cases::<Choice>("choices.json") {
        let world = world_with(SystemEnvironment::Known(case.system.clone()));
        applied(&world, &org, None, case.settings.clone(), &case.declared);
        for provider in &case.credentials {
            put_secret(&world.plane, &org, &format!("provider:{provider}:apiKey"), "a-key", None);
        }
        let opened = world.plane.session(&org, "bot", None);
        let wanted = |name: &str| case.expect.get(name).and_then(Option::as_deref);
        if let Some(error) = wanted("error") {
            let problem = opened.expect_err(&case.case);
            assert!(problem.message.starts_with(error), "{}: {}", case.case, problem.message);
            continue;
        }
        let session = opened.unwrap_or_else(|problem| panic!("{}: {problem:?}", case.case));
        let model = &session.context().model;
        let got = [
            ("provider", &model.provider),
            ("reference", &model.reference),
            ("model", &model.id),
            ("registry", &model.registry),
        ];
        for (name, got) in got {
            assert!(wanted(name).is_none_or(|wanted| wanted == got), "{}: {name} is {got}", case.case);
        }
    }
}
