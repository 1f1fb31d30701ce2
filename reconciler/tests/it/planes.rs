//! What the tests share: a plane over a memory store with a fixed clock, and desired state made by hand.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use holdfast_engine::{Engine, MemoryStore, Options, Timestamp};
use holdfast_reconciler::agents::resolver::SystemEnvironment;
use holdfast_reconciler::desired::{
    Declared, Desired, Lifecycle, LoopPolicy, OnDrift, SecretInput, SecretOrigin, SecretText, SourceHint,
};
use holdfast_reconciler::error::Problem;
use holdfast_reconciler::keyfile::KeySource;
use holdfast_reconciler::plan::{Plan, PlanOptions, PlanRequest};
use holdfast_reconciler::plane::{ApplyRequest, ControlPlane, WriteReceipt};
use holdfast_reconciler::resource::SourceName;
use holdfast_reconciler::{Plane, PlaneOptions};
use serde_json::{Value, json};

/// A clock that stands until somebody moves it.
#[derive(Clone, Default)]
pub(crate) struct StandingClock(Arc<AtomicI64>);

impl StandingClock {
    pub(crate) fn set(&self, millis: i64) {
        self.0.store(millis, Ordering::SeqCst);
    }

    fn clock(&self) -> holdfast_engine::Clock {
        let millis = Arc::clone(&self.0);
        Arc::new(move || Timestamp::from_millis(millis.load(Ordering::SeqCst)))
    }
}

/// A plane over a memory store, with a key file of its own.
pub(crate) struct World {
    pub(crate) plane: Plane,
    pub(crate) clock: StandingClock,
    pub(crate) folder: tempfile::TempDir,
}

impl World {
    /// A plane over the same store that was given another master key.
    pub(crate) fn with_another_key(&self) -> Plane {
        self.with(KeySource::Text(SecretText::new("ab".repeat(32))))
    }

    /// A plane over the same store that has no master key and nowhere to make one.
    pub(crate) fn without_key(&self) -> Plane {
        self.with(KeySource::None("a test took it away".to_owned()))
    }

    fn with(&self, keys: KeySource) -> Plane {
        let (system, clock) = (SystemEnvironment::NotKnown, self.clock.clock());
        Plane::new(
            self.plane.engine().clone(),
            PlaneOptions { keys, system, clock, elapsed: Arc::new(|| std::time::Duration::ZERO), holder: None },
        )
    }
}

pub(crate) fn world() -> World {
    world_with(SystemEnvironment::NotKnown)
}

pub(crate) fn world_with(system: SystemEnvironment) -> World {
    let clock = StandingClock::default();
    let engine = Engine::open(Box::new(MemoryStore::new()), Options { clock: clock.clock() }).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let keys = KeySource::File(folder.path().join("master.key"));
    let plane = Plane::new(
        engine,
        PlaneOptions {
            keys,
            system,
            clock: clock.clock(),
            elapsed: Arc::new(|| std::time::Duration::ZERO),
            holder: None,
        },
    );
    World { plane, clock, folder }
}

pub(crate) fn declared(address: &str, fields: Value) -> Declared {
    let Value::Object(fields) = fields else { panic!("fields are an object") };
    Declared {
        address: address.parse().unwrap(),
        fields: fields.into_iter().collect(),
        secrets: BTreeMap::new(),
        at: None,
        field_at: Default::default(),
        lifecycle: Lifecycle::default(),
    }
}

pub(crate) fn secret(address: &str, variable: &str, value: Option<&str>) -> Declared {
    let value = value.map(|value| SecretText::new(value.to_owned()));
    let input = SecretInput { origin: SecretOrigin::Env(variable.to_owned()), value };
    Declared { secrets: BTreeMap::from([("value".to_owned(), input)]), ..declared(address, json!({})) }
}

/// An agent with one provider, as the manifest grammar makes it.
pub(crate) fn agent(name: &str, provider: &str, model: &str) -> Vec<Declared> {
    vec![
        declared(&format!("agent/{name}"), json!({"name": name})),
        declared(
            &format!("settings/{name}"),
            json!({
                "installedProviders": [{"providerId": provider}],
                "modelSelection": {"mode": "auto"},
                "providerModelPreferences": {provider: model},
            }),
        ),
    ]
}

pub(crate) fn desired(source: &str, mut resources: Vec<Declared>) -> Desired {
    resources.sort_by(|left, right| left.address.cmp(&right.address));
    let name = SourceName::new(source).unwrap();
    Desired {
        source: SourceHint { name: Some(name.clone()), directory: Some(name) },
        org: None,
        git: None,
        digest: String::new(),
        on_drift: OnDrift::Block,
        protect: Vec::new(),
        loop_policy: LoopPolicy::default(),
        moved: Vec::new(),
        kinds: Vec::new(),
        resources: resources.into_iter().map(Arc::new).collect(),
        diagnostics: Vec::new(),
    }
}

pub(crate) fn request(desired: Desired) -> PlanRequest {
    PlanRequest { org: None, fallback_org: None, desired, options: PlanOptions::default() }
}

pub(crate) fn apply(plane: &dyn ControlPlane, request: &PlanRequest) -> Result<(Plan, WriteReceipt), Problem> {
    let plan = plane.plan(request)?;
    let receipt = apply_planned(plane, request, &plan)?;
    Ok((plan, receipt))
}

/// Applies what a plan showed.
pub(crate) fn apply_planned(
    plane: &dyn ControlPlane,
    request: &PlanRequest,
    plan: &Plan,
) -> Result<WriteReceipt, Problem> {
    plane.apply(&ApplyRequest {
        plan: request.clone(),
        plan_id: plan.plan_id.clone(),
        confirmed_deletes: plan.summary.delete,
        author: "tester".to_owned(),
        message: String::new(),
        sealed: None,
        request_id: None,
    })
}
