//! Sealed plans: a plan as a file that is looked at today and applied tomorrow, exactly as it was or not at all.
//!
//! The file holds the plan, the request that it answers without secret values, the state of every record that the plan
//! depends on, and a digest over all of it. Never here: comparing it with a store (`control/applying.rs`), and reading or
//! writing a file.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use holdfast_engine::{Digest, Revision, Snapshot};
use serde::{Deserialize, Serialize};

use crate::desired::{Declared, SecretOrigin};
use crate::diagnostic::Diagnostic;
use crate::naming;
use crate::plan::{Plan, PlanRequest, SessionChange, SessionModel};
use crate::planner::Planned;
use crate::resource::{Address, OrgId, SourceName, keys};
use crate::secret::KeyRing;

/// The format of the file.
const FORMAT: &str = "holdfast/plan";
/// Its version.
const VERSION: u32 = 1;
/// How many references a finding names.
const ORIGINS_MAX: usize = 5;

/// The state that a plan was made on, as far as the plan depends on it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Seal {
    /// The revision.
    pub revision: Revision,
    /// The id of its commit, in hex: a store that has another one there is another store.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub commit: Option<String>,
    /// The id of the store; none if there was none yet, or in a plan of an earlier build.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub store: Option<String>,
    /// The digest of the keys that the plan depends on, each with the revision that touched it last, in hex.
    pub reads: String,
    /// The id of the master key that the tags were made with; none without tags, or in a plan of an earlier build.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key: Option<String>,
    /// The tag of every secret value that was known, by resource and path.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub tags: Tags,
    /// What was foreseen for sessions, by whom it is about; none in a plan of an earlier build. Only told from: the plan's id
    /// decides.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub foreseen: Option<BTreeMap<String, String>>,
}

/// The tags of secret values, by resource and path. Without one there was a value and no master key to make its tag with.
pub type Tags = BTreeMap<Address, BTreeMap<String, Option<String>>>;

/// Puts a plan together with the state that it depends on. `store` is the id of the store, if there is one; the request's values are
/// tagged with `ring`, and if there is none, a finding of the plan says that they are not covered.
pub(crate) fn seal(
    planned: Planned,
    (snapshot, store): (&Snapshot, Option<String>),
    (org, source): (&OrgId, &SourceName),
    ring: Option<&KeyRing>,
    request: &PlanRequest,
) -> Sealed {
    let Planned { mut plan, reads, writes: _ } = planned;
    let tags = tags(ring, org, request);
    plan.diagnostics.extend(uncovered(request, &tags));
    let seal = Seal {
        revision: plan.base.revision,
        commit: store.is_some().then(|| plan.base.commit.clone()),
        store,
        reads: reads_digest(snapshot, org, source, &reads),
        key: ring.filter(|_| !tags.is_empty()).map(|ring| ring.newest().to_string()),
        tags,
        foreseen: Some(foreseen(&plan)),
    };
    Sealed { plan, seal }
}

/// Says that values which are not tagged may be others when the plan is applied, and how they would not be.
fn uncovered(request: &PlanRequest, tags: &Tags) -> Option<Diagnostic> {
    let untagged = |declared: &Declared, path: &String| {
        tags.get(&declared.address).and_then(|tags| tags.get(path)).is_some_and(Option::is_none)
    };
    let origins = request.desired.resources.iter().flat_map(|declared| {
        let secrets = declared.secrets.iter().filter(|(path, _)| untagged(declared, path));
        secrets.map(|(_, secret)| format!("`{}`", secret.origin))
    });
    let origins: BTreeSet<String> = origins.collect();
    if origins.is_empty() {
        return None;
    }
    let message = format!(
        "the sealed plan does not cover the values of {}: without a master key there is nothing to compare them \
         by, so an apply takes what they are by then",
        naming::some(&origins, ORIGINS_MAX)
    );
    let help = "give a master key (HOLDFAST_KEY or HOLDFAST_KEY_FILE) here, and the same one where the plan is applied";
    Some(Diagnostic::warning("W_UNCOVERED_VALUE", message).help(help))
}

/// What a plan foresees for sessions, in words: the model that one gets, or that it fails.
pub(crate) fn foreseen(plan: &Plan) -> BTreeMap<String, String> {
    let one = |session: &SessionChange| {
        let whom = match &session.user {
            Some(user) => format!("{} for {user}", session.agent),
            None => session.agent.clone(),
        };
        let what = match (&session.after, &session.error) {
            (Some(SessionModel { provider, model }), _) => format!("{provider}/{model}"),
            (None, Some(error)) => format!("failing, {error}"),
            (None, None) => "no session".to_owned(),
        };
        (whom, what)
    };
    plan.sessions.iter().map(one).collect()
}

/// Where two foresights differ, one line each.
pub(crate) fn foreseen_otherwise(then: &BTreeMap<String, String>, now: &BTreeMap<String, String>) -> Vec<String> {
    let all: BTreeSet<&String> = then.keys().chain(now.keys()).collect();
    let other = all.into_iter().filter(|whom| then.get(*whom) != now.get(*whom));
    other
        .map(|whom| {
            let then = then.get(whom).map_or("no change".to_owned(), |what| format!("`{what}`"));
            let now = now.get(whom).map_or("they do not change".to_owned(), |what| format!("it is `{what}`"));
            format!("sessions of `{whom}`: the plan foresaw {then}, here {now}")
        })
        .collect()
}

/// A plan with the state that it was made on.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Sealed {
    /// What would happen.
    pub plan: Plan,
    /// The state.
    pub seal: Seal,
}

/// A sealed plan as a file has it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SealedPlan {
    format: String,
    version: u32,
    /// What would happen.
    pub plan: Plan,
    /// The state that it was made on.
    pub seal: Seal,
    /// What was asked; its secret values are not there and are read again.
    pub request: PlanRequest,
    digest: String,
}

/// A file that is no sealed plan, or a plan that cannot be one.
#[derive(Debug, thiserror::Error)]
pub enum SealedPlanError {
    /// It is something else.
    #[error("it is no sealed plan")]
    Form(#[source] serde_json::Error),
    /// Another format or version.
    #[error("it has the format `{format}` version {version}, this program reads `{FORMAT}` version {VERSION}")]
    Version {
        /// The format.
        format: String,
        /// The version.
        version: u32,
    },
    /// Somebody changed it.
    #[error("it was changed after it was written")]
    Changed,
    /// A secret stands in the manifest itself, so that it would have to stand in the file.
    #[error("`{path}` of `{address}` is a secret that stands in the manifest itself")]
    Literal {
        /// The resource.
        address: Address,
        /// The path of the value.
        path: String,
    },
}

impl SealedPlan {
    /// Makes the file's content; the request's secret values are left out.
    ///
    /// # Errors
    /// A secret that stands in the manifest as a literal could not be read again.
    pub fn new(sealed: Sealed, mut request: PlanRequest) -> Result<Self, SealedPlanError> {
        let Sealed { plan, seal } = sealed;
        for declared in request.desired.resources.iter_mut().filter(|declared| !declared.secrets.is_empty()) {
            let declared = Arc::make_mut(declared);
            for (path, secret) in &mut declared.secrets {
                if secret.origin == SecretOrigin::Literal {
                    let (address, path) = (declared.address.clone(), path.clone());
                    return Err(SealedPlanError::Literal { address, path });
                }
                secret.value = None;
            }
        }
        let (format, version) = (FORMAT.to_owned(), VERSION);
        let mut made = Self { format, version, plan, seal, request, digest: String::new() };
        made.digest = made.digest();
        Ok(made)
    }

    /// Reads a file's content.
    ///
    /// # Errors
    /// It is no sealed plan, one of another version, or was changed.
    pub fn parse(bytes: &[u8]) -> Result<Self, SealedPlanError> {
        #[derive(Deserialize)]
        struct Head {
            format: String,
            version: u32,
        }
        let Head { format, version } = serde_json::from_slice(bytes).map_err(SealedPlanError::Form)?;
        if format != FORMAT || version != VERSION {
            return Err(SealedPlanError::Version { format, version });
        }
        let mut read: Self = serde_json::from_slice(bytes).map_err(SealedPlanError::Form)?;
        // The digest is of what was understood. What was not, such as a member that nobody knows, shows in the bytes only.
        if read.digest != read.digest() || read.to_json() != bytes {
            return Err(SealedPlanError::Changed);
        }
        // A plan of an earlier build says it there only.
        let begun = read.plan.base.revision > Revision::ZERO;
        read.seal.commit = read.seal.commit.take().or_else(|| begun.then(|| read.plan.base.commit.clone()));
        Ok(read)
    }

    /// The file's content.
    pub fn to_json(&self) -> Vec<u8> {
        let mut bytes = serde_json::to_vec_pretty(self).expect("a plan is always JSON");
        bytes.push(b'\n');
        bytes
    }

    fn digest(&self) -> String {
        let Self { format, version, plan, seal, request, digest: _ } = self;
        let bytes = serde_json::to_vec(&(format, version, plan, seal, request)).expect("a plan is always JSON");
        Digest::of_parts("holdfast sealed plan", &[&bytes]).to_string()
    }
}

/// The digest of the state of all that a plan depends on: the keys that it read, and all that its source declares.
pub(crate) fn reads_digest(snapshot: &Snapshot, org: &OrgId, source: &SourceName, reads: &BTreeSet<String>) -> String {
    let prefix = keys::desired_prefix(org, source);
    let declared = snapshot.prefix(&prefix).map(|(key, entry)| (key.as_str(), entry.modified()));
    let state = |key: &String| snapshot.get(key).map_or(Revision::ZERO, |entry| entry.modified());
    let mut all: BTreeMap<&str, Revision> = reads.iter().map(|key| (key.as_str(), state(key))).collect();
    all.extend(declared);
    let bytes = serde_json::to_vec(&all).expect("names and numbers are always JSON");
    Digest::of_parts("holdfast plan reads", &[&bytes]).to_string()
}

/// The tag of every secret value that the request has; without a key each has none.
pub(crate) fn tags(ring: Option<&KeyRing>, org: &OrgId, request: &PlanRequest) -> Tags {
    let of = |declared: &Arc<Declared>| {
        let known = declared.secrets.iter().filter_map(|(path, secret)| Some((path, secret.value.as_ref()?)));
        let tag = |path: &str, value| ring.map(|ring| ring.tag(org, &declared.address, path, value));
        let tags: BTreeMap<String, Option<String>> =
            known.map(|(path, value)| (path.clone(), tag(path, value))).collect();
        (!tags.is_empty()).then(|| (declared.address.clone(), tags))
    };
    request.desired.resources.iter().filter_map(of).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::desired::{Desired, Lifecycle, OnDrift, SecretInput, SecretText, SourceHint};
    use crate::plan::{Base, FORMAT_VERSION, PlanOptions, Source, Summary};

    fn sealed(origin: SecretOrigin) -> Result<SealedPlan, SealedPlanError> {
        let source = SourceName::new("team").unwrap();
        let plan = Plan {
            format_version: FORMAT_VERSION.to_owned(),
            plan_id: "7c1e93ab".to_owned(),
            applyable: true,
            org: OrgId::default(),
            base: Base { revision: Revision::new(41), commit: String::new() },
            source: Source { name: source.clone(), git: None, digest: String::new() },
            rollback: None,
            summary: Summary::default(),
            kinds: Vec::new(),
            changes: Vec::new(),
            unmanaged: Vec::new(),
            unchanged: crate::addresses::Addresses::default(),
            adopts: Vec::new(),
            blocked: Vec::new(),
            sessions: Vec::new(),
            diagnostics: Vec::new(),
            unplaced: Vec::new(),
        };
        let value = Some(SecretText::new("canary-4711".to_owned()));
        let declared = Declared {
            address: "secret/provider:z-ai:apiKey".parse().unwrap(),
            fields: BTreeMap::new(),
            secrets: [("value".to_owned(), SecretInput { origin, value })].into(),
            at: None,
            field_at: Default::default(),
            lifecycle: Lifecycle::default(),
        };
        let desired = Desired {
            source: SourceHint { name: None, directory: Some(source) },
            org: None,
            git: None,
            digest: String::new(),
            on_drift: OnDrift::default(),
            protect: Vec::new(),
            loop_policy: Default::default(),
            moved: Vec::new(),
            kinds: Vec::new(),
            resources: vec![Arc::new(declared)],
            diagnostics: Vec::new(),
        };
        let request = PlanRequest { org: None, fallback_org: None, desired, options: PlanOptions::default() };
        let seal = Seal {
            revision: Revision::new(41),
            commit: Some("c0ffee".to_owned()),
            store: None,
            reads: "ab".to_owned(),
            key: None,
            tags: BTreeMap::new(),
            foreseen: Some(BTreeMap::new()),
        };
        SealedPlan::new(Sealed { plan, seal }, request)
    }

    #[test]
    fn p8_a_sealed_plan_holds_references_and_no_values() {
        let file = sealed(SecretOrigin::Env("Z_KEY".to_owned())).unwrap().to_json();
        assert!(!String::from_utf8(file.clone()).unwrap().contains("canary-4711"));
        let read = SealedPlan::parse(&file).unwrap();
        assert_eq!(read.to_json(), file);
        assert!(matches!(sealed(SecretOrigin::Literal), Err(SealedPlanError::Literal { .. })));
    }

    #[test]
    fn p1_a_changed_file_is_no_plan_any_more() {
        let file = String::from_utf8(sealed(SecretOrigin::Env("Z_KEY".to_owned())).unwrap().to_json()).unwrap();
        for (from, to) in [("7c1e93ab", "7c1e93ac"), ("Z_KEY", "Y_KEY"), ("\"reads\": \"ab\"", "\"reads\": \"ac\"")] {
            assert!(file.contains(from), "{from}");
            let error = SealedPlan::parse(file.replace(from, to).as_bytes()).unwrap_err();
            assert!(matches!(error, SealedPlanError::Changed), "{error}");
        }
        // What this program does not know is a change too, wherever it stands.
        let unknown = "\"unknown\": 1, ";
        for place in ["\"format_version\"", "\"reads\"", "\"desired\"", "\"origin\"", "\"create\""] {
            let more = file.replacen(place, &format!("{unknown}{place}"), 1);
            assert_ne!(more, file, "{place}");
            let error = SealedPlan::parse(more.as_bytes()).unwrap_err();
            assert!(matches!(error, SealedPlanError::Changed), "{place}: {error}");
        }
        assert!(matches!(SealedPlan::parse(file.trim_end().as_bytes()), Err(SealedPlanError::Changed)));
        let later = file.replace("\"version\": 1", "\"version\": 2");
        assert!(matches!(SealedPlan::parse(later.as_bytes()), Err(SealedPlanError::Version { version: 2, .. })));
        assert!(matches!(SealedPlan::parse(b"{}"), Err(SealedPlanError::Form(_))));
    }

    #[test]
    fn a_file_of_an_earlier_build_is_read_and_says_what_it_knows() {
        let file = include_bytes!("../../testdata/plans/earlier-build.json");
        let SealedPlan { plan, seal, .. } = SealedPlan::parse(file).unwrap();
        let Seal { revision, commit, store, reads: _, key, tags, foreseen } = seal;
        assert_eq!((revision, commit), (Revision::new(1), Some(plan.base.commit)));
        assert_eq!((store, key), (None, None));
        assert_eq!(tags.values().next().unwrap()["value"].as_deref(), Some("ba3a2ad9a988"));
        assert_eq!(foreseen.unwrap()["triage"], "z-ai/glm-4.5");
    }
}
