//! A world that grows: two sources with their manifests, actors that edit, keys and profiles that come, go and end.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use holdfast_engine::{Engine, MemoryStore, Options, Timestamp};
use holdfast_reconciler::agents::profile::ProfileType;
use holdfast_reconciler::agents::resolver::SystemEnvironment;
use holdfast_reconciler::desired::{Declared, OnDrift, SecretText};
use holdfast_reconciler::keyfile::KeySource;
use holdfast_reconciler::plan::PlanRequest;
use holdfast_reconciler::plane::{
    ControlPlane, Edit, EditRequest, Holder, ProfileChange, ProfileCredential, ProfileWrite, SecretWrite,
};
use holdfast_reconciler::{Plane, PlaneOptions};
use serde_json::{Value, json};

use super::met::Met;
use crate::planes::{declared, desired, request, secret};

pub(super) const AGENTS: [&str; 3] = ["triage", "billing", "helper"];
pub(super) const USERS: [&str; 2] = ["maria", "otto"];
const PROVIDERS: [&str; 4] = ["z-ai", "openai", "gemini", "house"];
/// Bare, with the provider's own prefix, with another's, and the word for the default.
const MODELS: [&str; 7] = ["glm-4.6", "glm-4.5", "z-ai/glm-4.6", "openai/gpt-5", "house/one", "haus/one", "auto"];
const TEXTS: [&str; 4] = ["Kind.", "Brief.\nNever guess.\nCite.", "Brief.\nAlways guess.\nCite.", ""];

/// A generator of numbers whose sequence is fixed by its seed (SplitMix64).
pub(super) struct Random(u64);

impl Random {
    pub(super) fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0xd134_2543_de82_ef95))
    }

    fn below(&mut self, end: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((z ^ (z >> 31)) % end as u64) as usize
    }

    pub(super) fn chance(&mut self, percent: usize) -> bool {
        self.below(100) < percent
    }

    fn of<T: Copy>(&mut self, list: &[T]) -> T {
        list[self.below(list.len())]
    }
}

/// What a source declares now.
#[derive(Default)]
struct Manifest(BTreeMap<String, Declared>);

pub(super) struct Grown {
    /// Stays, as a server does: it plans from what stood before.
    pub(super) plane: Plane,
    /// Looks at everything whenever it plans.
    pub(super) whole: Plane,
    now: Arc<AtomicI64>,
    team: Manifest,
    ops: Manifest,
}

impl Grown {
    pub(super) fn new() -> Self {
        let now = Arc::new(AtomicI64::new(1_000));
        let millis = Arc::clone(&now);
        let clock: holdfast_engine::Clock = Arc::new(move || Timestamp::from_millis(millis.load(Ordering::SeqCst)));
        let engine = Engine::open(Box::new(MemoryStore::new()), Options { clock: Arc::clone(&clock) }).unwrap();
        let keys = KeySource::Text(SecretText::new("ab".repeat(32)));
        let system = SystemEnvironment::Known(BTreeMap::from([("GEMINI_API_KEY".to_owned(), "host".to_owned())]));
        let options = |holder| {
            let (keys, system, clock) = (keys.clone(), system.clone(), Arc::clone(&clock));
            PlaneOptions { keys, system, clock, elapsed: Arc::new(|| std::time::Duration::ZERO), holder }
        };
        let whole = Plane::new(engine.clone(), options(None));
        let plane = Plane::new(engine, options(Some(Holder { pid: 1, version: "test".to_owned() })));
        Self { plane, whole, now, team: Manifest::default(), ops: Manifest::default() }
    }

    /// The next plan that is asked for: one of the two sources, with something else in its manifest than before.
    pub(super) fn next_request(&mut self, random: &mut Random) -> PlanRequest {
        let ours = random.chance(85);
        let manifest = if ours { &mut self.team } else { &mut self.ops };
        for _ in 0..=random.below(3) {
            manifest.change(random, ours);
        }
        let resources: Vec<Declared> = manifest.0.values().cloned().collect();
        let mut asked = request(desired(if ours { "team" } else { "ops" }, resources));
        asked.desired.on_drift = random.of(&[OnDrift::Block, OnDrift::Block, OnDrift::Revert, OnDrift::Keep]);
        asked
    }

    /// After a refusal the manifests may go back to nothing, so that a world does not stand still.
    pub(super) fn forget(&mut self, random: &mut Random) {
        if random.chance(20) {
            self.team = Manifest::default();
        }
    }

    /// What happens beside plans: time passes, actors edit, keys and profiles come and go. Refusals are fine.
    pub(super) fn live_step(&mut self, random: &mut Random, met: &mut Met) {
        if random.chance(30) {
            self.now.fetch_add(random.below(1_000) as i64, Ordering::SeqCst);
        }
        for _ in 0..random.below(3) {
            let (what, accepted) = match random.below(5) {
                0 => {
                    let write = self.secret_write(random);
                    let what = if write.value.is_some() { "keys set by hand" } else { "keys removed by hand" };
                    (what, self.plane.write_secret(&write).is_ok())
                }
                1 | 2 => {
                    let write = self.profile_write(random);
                    let removes = matches!(write.change, ProfileChange::Remove);
                    let what = if removes { "profiles removed" } else { "profiles set" };
                    (what, self.plane.write_profile(&write).is_ok())
                }
                _ => ("edits of actors", self.plane.edit(&edit(random)).is_ok()),
            };
            met.add(what, usize::from(accepted));
        }
    }

    fn expires(&self, random: &mut Random) -> Option<Timestamp> {
        let from = self.now.load(Ordering::SeqCst);
        random.chance(40).then(|| Timestamp::from_millis(from + random.below(2_000) as i64))
    }

    fn secret_write(&self, random: &mut Random) -> SecretWrite {
        let name =
            if random.chance(30) { "SHARED".to_owned() } else { format!("provider:{}:apiKey", random.of(&PROVIDERS)) };
        let value = random.chance(60).then(|| SecretText::new(format!("value-{}", random.below(3))));
        let expires = value.is_some().then(|| self.expires(random)).flatten();
        SecretWrite { org: None, name, value, expires, author: "ui:maria".to_owned(), allow_break: agents() }
    }

    fn profile_write(&self, random: &mut Random) -> ProfileWrite {
        let (user, provider) = (random.of(&USERS).to_owned(), random.of(&PROVIDERS).to_owned());
        let change = if random.chance(35) {
            ProfileChange::Remove
        } else {
            let credential = match random.chance(30) {
                true => ProfileCredential::SecretRef("SHARED".to_owned()),
                false => ProfileCredential::Value(SecretText::new(format!("own-{}", random.below(3)))),
            };
            let kind = random.of(&[ProfileType::ApiKey, ProfileType::ApiKey, ProfileType::Oauth]);
            ProfileChange::Set { kind, credential, expires: self.expires(random) }
        };
        let model = random.chance(30).then(|| random.of(&MODELS).to_owned());
        ProfileWrite { org: None, user, provider, model, change, author: "ui:otto".to_owned(), allow_break: agents() }
    }
}

fn agents() -> BTreeSet<String> {
    AGENTS.map(str::to_owned).into()
}

fn edit(random: &mut Random) -> EditRequest {
    let agent = random.of(&AGENTS);
    let (address, fields) = match random.below(4) {
        0 => (format!("agent/{agent}"), agent_fields(random)),
        _ => (format!("settings/{agent}"), settings_fields(random)),
    };
    let Value::Object(fields) = fields else { panic!("fields are an object") };
    let fields = fields.into_iter().filter(|_| random.chance(40)).collect();
    let edit = match random.below(12) {
        0 => Edit::Delete,
        1 | 2 => Edit::Create(fields),
        _ => Edit::Merge(fields),
    };
    EditRequest {
        org: None,
        address: address.parse().unwrap(),
        edit,
        if_modified: None,
        allow_delete: None,
        allow_break: agents(),
        author: random.of(&["ui:maria", "ui:otto"]).to_owned(),
        message: String::new(),
        request_id: None,
    }
}

fn agent_fields(random: &mut Random) -> Value {
    let owner = random.of(&["maria", "otto", ""]);
    json!({"name": random.of(&["A", "B"]), "description": random.of(&TEXTS), "owner": owner})
}

fn settings_fields(random: &mut Random) -> Value {
    let mut ids: Vec<&str> = Vec::new();
    for _ in 0..random.below(4) {
        let id = random.of(&PROVIDERS);
        if !ids.contains(&id) {
            ids.push(id);
        }
    }
    let row = |id: &&str, shared: bool| {
        if shared { json!({"providerId": id, "secretRef": "SHARED"}) } else { json!({"providerId": id}) }
    };
    let installed: Vec<Value> = ids.iter().map(|id| row(id, random.chance(20))).collect();
    let mut preferences = serde_json::Map::new();
    for id in ids.iter().chain(&["openai"]) {
        if random.chance(70) {
            preferences.insert((*id).to_owned(), json!(random.of(&MODELS)));
        }
    }
    let selection = match random.below(4) {
        0 => json!({"mode": "pinned", "pinnedModel": random.of(&MODELS)}),
        _ => json!({"mode": "auto"}),
    };
    let domains: Vec<String> = (0..random.below(4)).map(|n| format!("{}.example", (n + random.below(2)) % 5)).collect();
    json!({
        "installedProviders": installed,
        "providerModelPreferences": preferences,
        "modelSelection": selection,
        "soulMd": random.of(&TEXTS),
        "guardrails": domains,
        "networkConfig": {"allowedDomains": domains, "judges": {"shop": random.of(&TEXTS)}},
    })
}

impl Manifest {
    /// One change of what is declared: a resource more, another one, or one less.
    fn change(&mut self, random: &mut Random, ours: bool) {
        if !ours {
            // The second source shares keys with the first, and has an agent that only it declares.
            let address = "secret/provider:z-ai:apiKey";
            match random.below(4) {
                0 => drop(self.0.remove(address)),
                1 => self.put(secret(address, "Z_AI_API_KEY", Some("value-0"))),
                _ => self.put(declared("agent/other", json!({"name": random.of(&["A", "B"])}))),
            }
            return;
        }
        let agent = random.of(&AGENTS);
        match random.below(10) {
            0 => {
                self.0.remove(&format!("agent/{agent}"));
                self.0.remove(&format!("settings/{agent}"));
            }
            1 | 2 => self.put(declared(&format!("agent/{agent}"), agent_fields(random))),
            3 => {
                let fields = json!({"default_model": random.of(&MODELS), "slug": "haus"});
                self.put(declared("provider/house", fields));
            }
            4 => drop(self.0.remove("provider/house")),
            5 => drop(self.0.remove(&format!("secret/provider:{}:apiKey", random.of(&PROVIDERS)))),
            6 | 7 => {
                let address = format!("secret/provider:{}:apiKey", random.of(&PROVIDERS));
                let value = format!("value-{}", random.below(3));
                self.put(secret(&address, "A_KEY", Some(value.as_str()).filter(|_| random.chance(90))));
            }
            _ => {
                let Value::Object(mut fields) = settings_fields(random) else { panic!("fields are an object") };
                let optional = ["soulMd", "guardrails", "networkConfig"];
                optional.iter().filter(|_| random.chance(40)).for_each(|name| drop(fields.remove(*name)));
                let settings = declared(&format!("settings/{agent}"), Value::Object(fields));
                match self.0.get_mut(&settings.address.to_string()).filter(|_| random.chance(60)) {
                    // One field of what is there, so that most of it stays.
                    Some(there) => {
                        let count = settings.fields.len();
                        let one = settings.fields.into_iter().nth(random.below(count.max(1)));
                        there.fields.extend(one);
                    }
                    None => self.put(settings),
                }
            }
        }
    }

    fn put(&mut self, declared: Declared) {
        self.0.insert(declared.address.to_string(), declared);
    }
}
