//! Organisations do not see each other: whatever exists in others, what one is answered is the same but for revisions.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use holdfast_engine::{Engine, MemoryStore, Options, Timestamp};
use holdfast_reconciler::agents::profile::ProfileType;
use holdfast_reconciler::agents::resolver::SystemEnvironment;
use holdfast_reconciler::desired::SecretText;
use holdfast_reconciler::keyfile::KeySource;
use holdfast_reconciler::plane::{
    ControlPlane, ProfileChange, ProfileCredential, ProfileWrite, ProfilesQuery, ResourcesQuery, SecretWrite,
    SessionRequest,
};
use holdfast_reconciler::resource::OrgId;
use holdfast_reconciler::{Plane, PlaneOptions};
use serde::Serialize;
use serde_json::{Value, json};

use crate::planes::{agent, desired, request, secret};

const ORGS: [&str; 3] = ["acme", "acme-2", "beta"];
const AGENTS: [&str; 3] = ["triage", "billing", "triage-2"];
const USERS: [&str; 4] = ["maria", "jon", "a/b", "%"];
const PROVIDERS: [&str; 3] = ["z-ai", "groq", "openai"];
const WORLDS: u64 = 40;

struct Random(u64);

impl Random {
    fn below(&mut self, end: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((z ^ (z >> 31)) % end as u64) as usize
    }

    fn of<T: Copy>(&mut self, list: &[T]) -> T {
        list[self.below(list.len())]
    }
}

fn plane() -> Plane {
    let clock: holdfast_engine::Clock = Arc::new(|| Timestamp::from_millis(1_000));
    let engine = Engine::open(Box::new(MemoryStore::new()), Options { clock: Arc::clone(&clock) }).unwrap();
    let keys = KeySource::Text(SecretText::new("ab".repeat(32)));
    let system = SystemEnvironment::Known(BTreeMap::from([("GROQ_API_KEY".to_owned(), "host".to_owned())]));
    Plane::new(
        engine,
        PlaneOptions { keys, system, clock, elapsed: Arc::new(|| std::time::Duration::ZERO), holder: None },
    )
}

/// One write of one organisation.
#[derive(Clone, Debug)]
enum Write {
    Apply { model: usize, agents: usize, key: bool },
    Secret { provider: usize, value: usize },
    Profile { user: usize, provider: usize, value: usize },
}

fn write(random: &mut Random) -> Write {
    match random.below(3) {
        0 => Write::Apply { model: random.below(4), agents: random.below(4), key: random.below(2) == 0 },
        1 => Write::Secret { provider: random.below(3), value: random.below(3) },
        _ => Write::Profile { user: random.below(4), provider: random.below(3), value: random.below(3) },
    }
}

/// Carries a write out; refusals are as much an answer as anything else.
fn carry_out(plane: &Plane, org: &OrgId, write: &Write) -> Value {
    let (author, allow_break) = ("tester".to_owned(), BTreeSet::from(AGENTS.map(str::to_owned)));
    let told = |result: Result<_, holdfast_reconciler::error::Problem>| match result {
        Ok(_) => json!("done"),
        Err(problem) => json!(problem),
    };
    match write {
        Write::Apply { model, agents, key } => {
            let request = apply_request(org, *model, *agents, *key);
            told(crate::planes::apply(plane, &request).map(drop))
        }
        Write::Secret { provider, value } => {
            let (name, value) = (format!("provider:{}:apiKey", PROVIDERS[*provider]), format!("value-{value}"));
            let (org, value) = (Some(org.clone()), Some(SecretText::new(value)));
            told(plane.write_secret(&SecretWrite { org, name, value, expires: None, author, allow_break }).map(drop))
        }
        Write::Profile { user, provider, value } => {
            let credential = ProfileCredential::Value(SecretText::new(format!("value-{value}")));
            let change = ProfileChange::Set { kind: ProfileType::ApiKey, credential, expires: None };
            let (user, provider, org) = (USERS[*user].to_owned(), PROVIDERS[*provider].to_owned(), Some(org.clone()));
            told(
                plane
                    .write_profile(&ProfileWrite { org, user, provider, model: None, change, author, allow_break })
                    .map(drop),
            )
        }
    }
}

fn apply_request(org: &OrgId, model: usize, agents: usize, key: bool) -> holdfast_reconciler::plan::PlanRequest {
    let mut resources = Vec::new();
    for name in &AGENTS[..agents] {
        resources.extend(agent(name, PROVIDERS[model % 3], &format!("model-{model}")));
    }
    if key {
        resources.push(secret("secret/provider:openai:apiKey", "OPENAI_API_KEY", Some("declared")));
    }
    let mut request = request(desired("team", resources));
    request.org = Some(org.clone());
    request.options.allow_break = BTreeSet::from(AGENTS.map(str::to_owned));
    request
}

/// Everything that the organisation can ask, without revisions.
fn answers(plane: &Plane, org: &OrgId) -> Value {
    let mut all = Vec::new();
    for agent in AGENTS.iter().chain(&["nobody", "triag"]) {
        for user in std::iter::once(None).chain(USERS.map(Some)) {
            let (asked, user) = (Some(org.clone()), user.map(str::to_owned));
            let request = SessionRequest { org: asked, agent: (*agent).to_owned(), user, ..SessionRequest::default() };
            all.push(told(&plane.look(&request)));
            all.push(told(&plane.explain(&request)));
            if let Ok(session) = plane.open(&request) {
                let provider = session.context().model.provider.clone();
                all.push(json!(session.credential(&provider).unwrap().expose()));
            }
        }
    }
    all.push(told(&plane.secrets(Some(org))));
    all.push(told(&plane.profiles(&ProfilesQuery { org: Some(org.clone()), user: None })));
    all.push(told(&plane.resources(&ResourcesQuery { org: Some(org.clone()), ..ResourcesQuery::default() })));
    all.push(told(&plane.status(Some(org)).map(|status| (status.resources, status.keys))));
    for model in 0..3 {
        all.push(told(&plane.plan(&apply_request(org, model, 2, true))));
    }
    let mut all = Value::Array(all);
    strip(&mut all);
    all
}

fn told<T: Serialize>(answer: &Result<T, holdfast_reconciler::error::Problem>) -> Value {
    match answer {
        Ok(answer) => json!(answer),
        Err(problem) => json!(problem),
    }
}

/// Revision numbers are shared and visible; nothing else is.
fn strip(value: &mut Value) {
    match value {
        Value::Object(members) => {
            // A plan's id covers the texts of its conflicts, which name revisions.
            for name in ["revision", "commit", "base", "created", "modified", "plan_id"] {
                members.remove(name);
            }
            let step_of_settings = members.get("step").is_some_and(|step| step == "settings");
            members.retain(|name, _| !(step_of_settings && name == "detail"));
            members.values_mut().for_each(strip);
        }
        Value::Array(items) => items.iter_mut().for_each(strip),
        Value::String(text) => *text = without_revisions(text),
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}

/// A text with each `r41` in it as `rN`.
fn without_revisions(text: &str) -> String {
    let part = |char: char| char.is_ascii_alphanumeric();
    let is_revision = |word: &str| {
        word.strip_prefix('r').is_some_and(|rest| !rest.is_empty() && rest.bytes().all(|byte| byte.is_ascii_digit()))
    };
    let mut done = String::new();
    let mut rest = text;
    while !rest.is_empty() {
        let word = rest.find(|char| !part(char)).unwrap_or(rest.len());
        done.push_str(if is_revision(&rest[..word]) { "rN" } else { &rest[..word] });
        let next = rest[word..].find(part).map_or(rest.len(), |at| word + at);
        done.push_str(&rest[word..next]);
        rest = &rest[next..];
    }
    done
}

#[test]
fn p12_what_one_organisation_is_answered_does_not_depend_on_what_is_in_others() {
    for seed in 0..WORLDS {
        let mut random = Random(seed);
        let ours = OrgId::new(random.of(&ORGS)).unwrap();
        let (alone, shared) = (plane(), plane());
        for _ in 0..6 {
            for other in ORGS.iter().filter(|org| **org != ours.as_str()) {
                for _ in 0..random.below(3) {
                    carry_out(&shared, &OrgId::new(other).unwrap(), &write(&mut random));
                }
            }
            let write = write(&mut random);
            let mut both = [carry_out(&alone, &ours, &write), carry_out(&shared, &ours, &write)];
            both.iter_mut().for_each(strip);
            assert_eq!(both[0], both[1], "world {seed}: {write:?}");
        }
        let (alone, shared) = (answers(&alone, &ours), answers(&shared, &ours));
        for (left, right) in alone.as_array().unwrap().iter().zip(shared.as_array().unwrap()) {
            assert_eq!(left, right, "world {seed}");
        }
    }
}
