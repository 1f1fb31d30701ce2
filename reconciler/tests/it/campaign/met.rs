//! What the cases of the campaign were about, counted by name: a campaign that meets nothing proves nothing.
//!
//! Never here: judging a plan or a session; what is counted was held against reality already.

use std::collections::BTreeMap;

use holdfast_reconciler::agents::context::SessionContext;
use holdfast_reconciler::agents::evidence::{Evidence, Outcome, Step};
use holdfast_reconciler::error::Problem;
use holdfast_reconciler::plan::{Action, Plan, Reason};
use serde_json::Value;

/// How many of each thing the short form must meet, at least; the long form is 50 times as long and meets far more.
const LEAST: [(&str, u64); 51] = [
    ("cases", 20_000),
    ("plans made twice", 10_000),
    ("plans that got their places afterwards", 4_000),
    ("applied", 10_000),
    ("blocked plans", 500),
    ("plans that lack a value", 100),
    ("changed resources", 20_000),
    ("creates", 5_000),
    ("updates", 5_000),
    ("deletes", 2_000),
    ("deletes of agents", 500),
    ("deletes of keys", 500),
    ("deletes of providers", 200),
    ("adoptions", 300),
    ("fields taken over", 200),
    ("drift repaired", 100),
    ("fields taken by name", 100),
    ("rollbacks", 2_000),
    ("fields put back and compared", 10_000),
    ("rows of sessions", 5_000),
    ("rows of users", 200),
    ("sessions that break", 500),
    ("edits of actors", 2_000),
    ("keys set by hand", 500),
    ("keys removed by hand", 200),
    ("profiles set", 1_000),
    ("profiles removed", 300),
    ("sessions looked up", 100_000),
    ("sessions that get a model", 20_000),
    ("pinned to an installed provider", 500),
    ("pinned to a provider that is not installed", 500),
    ("pinned without a provider", 500),
    ("a bare reference", 1_000),
    ("a reference with its provider's own prefix", 500),
    ("a reference with another's prefix", 500),
    ("the word for the default", 300),
    ("the provider's default model", 500),
    ("runs on a user's profile", 1_000),
    ("runs on a profile of the owner", 300),
    ("runs on a shared key", 5_000),
    ("runs on a reference", 500),
    ("runs on the host's environment", 500),
    ("expired profiles that do not count", 500),
    ("expired profiles of owners that do not count", 100),
    ("expired keys that do not count", 500),
    ("expired keys behind references that do not count", 20),
    ("references that resolve nowhere", 500),
    ("fails: no provider", 5_000),
    ("fails: no credential for the pinned provider", 500),
    ("fails: no model", 20),
    ("fails: no such agent", 1_000),
];

/// Counts by name.
#[derive(Default)]
pub(super) struct Met(BTreeMap<&'static str, u64>);

impl Met {
    pub(super) fn add(&mut self, what: &'static str, count: usize) {
        *self.0.entry(what).or_default() += count as u64;
    }

    pub(super) fn merge(&mut self, other: Met) {
        for (what, count) in other.0 {
            *self.0.entry(what).or_default() += count;
        }
    }

    /// All counts, a line each.
    pub(super) fn figures(&self) -> String {
        self.0.iter().map(|(what, count)| format!("{count} {what}\n")).collect()
    }

    /// Requires the least of each.
    pub(super) fn check(&self) {
        let few = LEAST.iter().map(|(what, least)| (what, self.0.get(what).copied().unwrap_or(0), least));
        let few: Vec<_> = few.filter(|(_, count, least)| count < least).collect();
        assert!(few.is_empty(), "a campaign meets more than (what, met, least): {few:?}");
        let unnamed: Vec<_> = self.0.keys().filter(|what| !LEAST.iter().any(|(name, _)| name == *what)).collect();
        assert!(unnamed.is_empty(), "what is counted is required: {unnamed:?}");
    }

    /// Counts what a plan that was applied was about.
    pub(super) fn count_plan(&mut self, plan: &Plan) {
        self.add("applied", 1);
        self.add("changed resources", plan.changes.len());
        self.add("adoptions", plan.adopts.len());
        self.add("rows of sessions", plan.sessions.len());
        self.add("rows of users", plan.sessions.iter().filter(|session| session.user.is_some()).count());
        self.add("sessions that break", plan.sessions.iter().filter(|session| session.breaks).count());
        for change in &plan.changes {
            self.add("fields taken over", change.fields.iter().filter(|field| field.owner.is_some()).count());
            match change.reason {
                Reason::DriftRepair => self.add("drift repaired", 1),
                Reason::Take => self.add("fields taken by name", 1),
                _ => {}
            }
            match (change.action, change.kind.as_str()) {
                (Action::Create, _) => self.add("creates", 1),
                (Action::Update, _) => self.add("updates", 1),
                (Action::Delete, kind) => {
                    self.add("deletes", 1);
                    match kind {
                        "agent" => self.add("deletes of agents", 1),
                        "secret" => self.add("deletes of keys", 1),
                        "provider" => self.add("deletes of providers", 1),
                        _ => {}
                    }
                }
                (Action::Move, _) => {}
            }
        }
    }

    /// Counts how a session came to what it gets.
    pub(super) fn count_session(&mut self, found: Result<&SessionContext, &Problem>) {
        self.add("sessions looked up", 1);
        let evidence = match found {
            Ok(context) => {
                self.add("sessions that get a model", 1);
                self.add(reference(context), 1);
                pin(context).into_iter().for_each(|what| self.add(what, 1));
                let own = context.credentials.iter().find(|credential| credential.provider == context.model.provider);
                let source = own.expect("a session without credentials was not asked for").source.as_text();
                self.add(
                    match source {
                        "profile" => "runs on a user's profile",
                        "owner-profile" => "runs on a profile of the owner",
                        "org-secret" => "runs on a shared key",
                        "reference" => "runs on a reference",
                        _ => "runs on the host's environment",
                    },
                    1,
                );
                &context.evidence
            }
            Err(problem) => {
                self.add(
                    match problem.code.as_str() {
                        "E_UNKNOWN_AGENT" => "fails: no such agent",
                        "E_NO_PROVIDER" => "fails: no provider",
                        "E_NO_CREDENTIAL" => "fails: no credential for the pinned provider",
                        "E_NO_MODEL" => "fails: no model",
                        other => panic!("a session fails with {other}: {}", problem.message),
                    },
                    1,
                );
                &problem.evidence
            }
        };
        evidence.iter().filter_map(passed_over).for_each(|what| self.add(what, 1));
    }
}

/// Which sort of reference a session runs on.
fn reference(context: &SessionContext) -> &'static str {
    let model = &context.model;
    let own = |prefix: &str| prefix == model.provider || model.provider == "house" && prefix == "haus";
    let preferences = context.settings.fields().get("providerModelPreferences");
    let preferred = preferences.is_some_and(|all| all.get(&model.provider).is_some());
    match model.reference.split_once('/') {
        _ if model.reference == "auto" => "the word for the default",
        _ if !preferred && pin(context) != Some("pinned to an installed provider") => "the provider's default model",
        None => "a bare reference",
        Some((prefix, _)) if own(prefix) => "a reference with its provider's own prefix",
        Some(_) => "a reference with another's prefix",
    }
}

/// What a pinned model is, if there is one.
fn pin(context: &SessionContext) -> Option<&'static str> {
    let selection = context.settings.fields().get("modelSelection")?;
    let pin = selection.get("pinnedModel").and_then(Value::as_str).filter(|_| selection["mode"] == "pinned")?;
    Some(match pin.contains('/') {
        true if pin == context.model.reference => "pinned to an installed provider",
        true => "pinned to a provider that is not installed",
        false => "pinned without a provider",
    })
}

/// What was there and did not count.
fn passed_over(evidence: &Evidence) -> Option<&'static str> {
    match (evidence.step, evidence.outcome) {
        (Step::Profile, Outcome::Expired) => Some("expired profiles that do not count"),
        (Step::OwnerProfile, Outcome::Expired) => Some("expired profiles of owners that do not count"),
        (Step::OrgSecret, Outcome::Expired) => Some("expired keys that do not count"),
        (Step::Reference, Outcome::Expired) => Some("expired keys behind references that do not count"),
        (Step::Reference, Outcome::Unresolved) => Some("references that resolve nowhere"),
        _ => None,
    }
}
