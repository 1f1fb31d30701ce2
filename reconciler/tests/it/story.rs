//! The product's main job on a plane in process: apply, session, change, break, mend.

use std::collections::{BTreeMap, BTreeSet};

use holdfast_engine::Revision;
use holdfast_reconciler::agents::context::CredentialSource;
use holdfast_reconciler::agents::resolver::SystemEnvironment;
use holdfast_reconciler::error::ProblemKind;
use holdfast_reconciler::plan::AgentChange;
use holdfast_reconciler::plane::{CommitsQuery, ControlPlane, Moment, SecretWrite, SessionRequest, WriteOutcome};
use holdfast_reconciler::resource::OrgId;

use serde_json::json;

use crate::planes::{agent, apply, declared, desired, request, secret, world, world_with};

const KEY: &str = "secret/provider:z-ai:apiKey";

fn look(agent: &str) -> SessionRequest {
    SessionRequest { agent: agent.to_owned(), ..SessionRequest::default() }
}

#[test]
fn p4_applied_means_effective_and_an_open_session_keeps_its_revision() {
    let world = world();
    let org = OrgId::default();
    let with = |model: &str| {
        let mut resources = agent("triage", "z-ai", model);
        resources.push(secret(KEY, "Z_AI_API_KEY", Some("canary-key")));
        request(desired("team", resources))
    };
    let (plan, receipt) = apply(&world.plane, &with("glm-4.6")).unwrap();
    assert_eq!((plan.summary.create, receipt.revision), (3, Revision::new(1)));
    assert_eq!(plan.sessions.len(), 1);
    assert_eq!(plan.sessions[0].agent_change, AgentChange::New);

    let old = world.plane.session(&org, "triage", None).unwrap();
    assert_eq!((old.context().model.id.as_str(), old.context().model.registry.as_str()), ("glm-4.6", "zai"));
    assert_eq!(old.context().credentials[0].source, CredentialSource::OrgSecret);
    assert_eq!(old.credential("z-ai").unwrap().expose(), "canary-key");

    let (plan, receipt) = apply(&world.plane, &with("glm-4.5")).unwrap();
    assert_eq!(plan.summary.changes(), 1);
    assert_eq!(plan.changes[0].fields[0].path.to_string(), "providerModelPreferences.z-ai");
    assert_eq!(plan.sessions[0].after.as_ref().unwrap().to_string(), "z-ai/glm-4.5");
    assert_eq!(receipt.revision, Revision::new(2));

    let new = world.plane.session(&org, "triage", None).unwrap();
    assert_eq!((new.context().model.id.as_str(), new.revision()), ("glm-4.5", Revision::new(2)));
    assert_eq!((old.context().model.id.as_str(), old.revision()), ("glm-4.6", Revision::new(1)));
    assert!(!old.is_current() && new.is_current());
    assert_eq!(old.refresh().unwrap().context().model.id, "glm-4.5");
    let past =
        world.plane.look(&SessionRequest { at: Some(Moment::Revision(Revision::new(1))), ..look("triage") }).unwrap();
    assert_eq!((past.model.id.as_str(), past.revision), ("glm-4.6", Revision::new(1)));
}

#[test]
fn p1_planning_again_after_an_apply_shows_no_change() {
    let world = world();
    let mut resources = agent("triage", "z-ai", "glm-4.6");
    resources.push(secret(KEY, "Z_AI_API_KEY", Some("canary-key")));
    let request = request(desired("team", resources));
    apply(&world.plane, &request).unwrap();
    let (plan, receipt) = apply(&world.plane, &request).unwrap();
    assert!(!plan.has_changes() && plan.sessions.is_empty(), "{plan:?}");
    assert_eq!((receipt.outcome, receipt.revision), (WriteOutcome::Unchanged, Revision::new(1)));
}

#[test]
fn p13_a_session_that_worked_and_would_fail_blocks_until_it_is_allowed_by_name() {
    let world = world();
    let mut resources = agent("triage", "z-ai", "glm-4.5");
    resources.push(secret(KEY, "Z_AI_API_KEY", Some("canary-key")));
    apply(&world.plane, &request(desired("team", resources))).unwrap();

    let mut without_key = request(desired("team", agent("triage", "z-ai", "glm-4.5")));
    let plan = world.plane.plan(&without_key).unwrap();
    assert!(plan.sessions[0].breaks && plan.is_blocked() && !plan.applyable, "{plan:?}");
    let refused = apply(&world.plane, &without_key).unwrap_err();
    assert_eq!(refused.kind, ProblemKind::Blocked);
    assert_eq!(world.plane.head().unwrap().revision, Revision::new(1));

    without_key.options.allow_break = BTreeSet::from(["triage".to_owned()]);
    apply(&world.plane, &without_key).unwrap();
    let failed = world.plane.look(&look("triage")).unwrap_err();
    assert_eq!(failed.message, "No provider specified for model \"glm-4.5\"");
    let tiers: Vec<String> = failed.evidence.iter().map(ToString::to_string).collect();
    assert!(tiers.iter().any(|tier| tier.contains("provider:z-ai:apiKey: absent")), "{tiers:?}");
    assert!(tiers.iter().any(|tier| tier.contains("Z_AI_API_KEY: not known here")), "{tiers:?}");

    let write = SecretWrite {
        org: None,
        name: "provider:z-ai:apiKey".to_owned(),
        value: Some(holdfast_reconciler::desired::SecretText::new("mended".to_owned())),
        expires: None,
        author: "maria".to_owned(),
        allow_break: BTreeSet::new(),
    };
    world.plane.write_secret(&write).unwrap();
    assert_eq!(world.plane.look(&look("triage")).unwrap().model.id, "glm-4.5");
    let removed = world.plane.write_secret(&SecretWrite { value: None, ..write }).unwrap_err();
    assert_eq!(removed.kind, ProblemKind::Blocked);
}

#[test]
fn a_new_agent_that_would_fail_is_told_and_does_not_block() {
    let world = world();
    let (plan, _) = apply(&world.plane, &request(desired("team", agent("triage", "z-ai", "glm-4.5")))).unwrap();
    let session = &plan.sessions[0];
    assert!(!session.breaks && session.before.is_none() && session.after.is_none());
    assert_eq!(session.error.as_deref(), Some("No provider specified for model \"glm-4.5\""));
}

#[test]
fn a_missing_value_leaves_the_plan_complete_and_refuses_the_apply() {
    let world = world();
    let mut resources = agent("triage", "z-ai", "glm-4.6");
    resources.push(secret(KEY, "Z_AI_API_KEY", None));
    let missing = request(desired("team", resources));
    let plan = world.plane.plan(&missing).unwrap();
    assert!(!plan.applyable && !plan.is_blocked() && plan.summary.create == 3);
    assert!(plan.diagnostics.iter().any(|found| found.message.contains("$Z_AI_API_KEY")), "{plan:?}");
    let refused = apply(&world.plane, &missing).unwrap_err();
    assert_eq!((refused.kind, refused.code.as_str()), (ProblemKind::Failed, "E_MISSING_VALUE"));
    assert_eq!(world.plane.head().unwrap().revision, Revision::ZERO);
    assert!(!world.folder.path().join("master.key").exists());
}

#[test]
fn an_unset_reference_keeps_what_is_sealed() {
    let world = world();
    let with = |value: Option<&str>| {
        let mut resources = agent("triage", "z-ai", "glm-4.6");
        resources.push(secret(KEY, "Z_AI_API_KEY", value));
        request(desired("team", resources))
    };
    apply(&world.plane, &with(Some("canary-key"))).unwrap();
    let (plan, _) = apply(&world.plane, &with(None)).unwrap();
    assert!(plan.applyable && !plan.has_changes(), "{plan:?}");
    assert!(plan.diagnostics.iter().any(|found| found.code == "N_KEPT_VALUE"));
}

#[test]
fn p1_a_plan_that_would_do_something_else_now_is_stale() {
    let world = world();
    let plan_for = |model: &str| request(desired("team", agent("triage", "z-ai", model)));
    let shown = world.plane.plan(&plan_for("glm-4.6")).unwrap();
    apply(&world.plane, &plan_for("glm-4.5")).unwrap();
    let refused = world.plane.apply(&holdfast_reconciler::plane::ApplyRequest {
        plan: plan_for("glm-4.6"),
        plan_id: shown.plan_id,
        confirmed_deletes: 0,
        author: "tester".to_owned(),
        message: String::new(),
        sealed: None,
        request_id: None,
    });
    assert_eq!(refused.unwrap_err().kind, ProblemKind::Stale);
}

#[test]
fn p5_an_expired_secret_does_not_count_and_the_evidence_says_so() {
    let world = world();
    apply(&world.plane, &request(desired("team", agent("triage", "z-ai", "glm-4.5")))).unwrap();
    let value = Some(holdfast_reconciler::desired::SecretText::new("short-lived".to_owned()));
    let write = SecretWrite {
        org: None,
        name: "provider:z-ai:apiKey".to_owned(),
        value,
        expires: Some(holdfast_engine::Timestamp::from_millis(1_000)),
        author: "maria".to_owned(),
        allow_break: BTreeSet::new(),
    };
    world.plane.write_secret(&write).unwrap();
    assert!(world.plane.look(&look("triage")).is_ok());
    world.clock.set(1_000);
    let failed = world.plane.look(&look("triage")).unwrap_err();
    let tiers: Vec<String> = failed.evidence.iter().map(ToString::to_string).collect();
    assert!(tiers.iter().any(|tier| tier.contains("provider:z-ai:apiKey: expired")), "{tiers:?}");
}

#[test]
fn p12_an_organisation_sees_nothing_of_another() {
    let world = world();
    let acme = OrgId::new("acme").unwrap();
    let beta = OrgId::new("beta").unwrap();
    let plan_of = |org: &OrgId, model: &str| {
        let mut resources = agent("triage", "z-ai", model);
        resources.push(secret(KEY, "Z_AI_API_KEY", Some(model)));
        let mut request = request(desired("team", resources));
        request.org = Some(org.clone());
        request
    };
    let (alone, _) = apply(&world.plane, &plan_of(&acme, "glm-4.6")).unwrap();
    let (plan, _) = apply(&world.plane, &plan_of(&beta, "glm-4.5")).unwrap();
    assert_eq!((alone.summary.create, plan.summary.create, plan.summary.unmanaged), (3, 3, 0));
    let look = |org: &OrgId| world.plane.look(&SessionRequest { org: Some(org.clone()), ..look("triage") }).unwrap();
    assert_eq!((look(&acme).model.id.as_str(), look(&beta).model.id.as_str()), ("glm-4.6", "glm-4.5"));
    let key = |org: &OrgId| world.plane.session(org, "triage", None).unwrap().credential("z-ai").unwrap();
    assert_eq!((key(&acme).expose(), key(&beta).expose()), ("glm-4.6", "glm-4.5"));
    let commits = world.plane.commits(&CommitsQuery { org: Some(acme.clone()), ..CommitsQuery::default() }).unwrap();
    assert_eq!(commits.commits.iter().map(|commit| commit.revision.get()).collect::<Vec<_>>(), [1]);
    assert_eq!(world.plane.commit(Some(&acme), Revision::new(2)).unwrap_err().kind, ProblemKind::NotFound);
    let other = OrgId::new("other").unwrap();
    let failed = world.plane.look(&SessionRequest { org: Some(other), ..self::look("triag") }).unwrap_err();
    assert!(!failed.help.unwrap().contains("triage"), "near matches come from one's own organisation");
}

#[test]
fn p5_a_reference_that_resolves_nowhere_is_told_with_its_name() {
    let world = world_with(SystemEnvironment::Known(BTreeMap::from([("SET".to_owned(), "x".to_owned())])));
    let headers = json!({"A": "$GH_TOKEN", "B": "$SET", "C": "literal $NOT"});
    let settings = declared("settings/triage", json!({"mcpServers": {"gh": {"url": "https://x", "headers": headers}}}));
    let plan = world.plane.plan(&request(desired("team", vec![settings]))).unwrap();
    let codes: Vec<&str> = plan.diagnostics.iter().map(|found| found.code.as_str()).collect();
    assert_eq!(codes, ["W_UNRESOLVED_REFERENCE"], "{:?}", plan.diagnostics);
    assert!(plan.diagnostics[0].message.contains("`$GH_TOKEN`"), "{:?}", plan.diagnostics);
}

#[test]
fn p13_with_another_master_key_nothing_is_written_until_what_is_lost_is_given_up_by_name() {
    let world = world();
    let mut resources = agent("triage", "z-ai", "glm-4.5");
    resources.push(secret(KEY, "Z_AI_API_KEY", Some("canary-key")));
    apply(&world.plane, &request(desired("team", resources))).unwrap();
    let stranger = world.with_another_key();
    let mut write = SecretWrite {
        org: None,
        name: "provider:z-ai:apiKey".to_owned(),
        value: Some(holdfast_reconciler::desired::SecretText::new("other".to_owned())),
        expires: None,
        author: "maria".to_owned(),
        allow_break: BTreeSet::new(),
    };
    assert_eq!(stranger.write_secret(&write).unwrap_err().code, "E_MASTER_KEY");
    let without = request(desired("team", agent("triage", "z-ai", "glm-4.5")));
    assert_eq!(stranger.plan(&without).unwrap_err().code, "E_MASTER_KEY");
    assert_eq!(stranger.check_keys().unwrap_err().code, "E_MASTER_KEY");
    write.value = None;
    assert_eq!(stranger.write_secret(&write).unwrap_err().code, "E_MASTER_KEY");
    assert_eq!(world.plane.look(&look("triage")).unwrap().revision, Revision::new(1));
    write.allow_break.insert("triage".to_owned());
    assert_eq!(stranger.write_secret(&write).unwrap().revision, Revision::new(2));
    assert!(stranger.check_keys().is_ok());
}

#[test]
fn the_name_of_an_agent_whose_session_does_not_break_confirms_no_delete() {
    let world = world();
    let mut resources = agent("triage", "z-ai", "glm-4.5");
    resources.push(secret(KEY, "Z_AI_API_KEY", Some("canary-key")));
    apply(&world.plane, &request(desired("team", resources))).unwrap();
    let mut resources = agent("triage", "openai", "gpt-5");
    resources.push(secret("secret/provider:openai:apiKey", "OPENAI_API_KEY", Some("another-key")));
    let mut moved = request(desired("team", resources));
    moved.options.allow_break = BTreeSet::from(["triage".to_owned()]);
    let plan = world.plane.plan(&moved).unwrap();
    assert_eq!((plan.summary.delete, plan.deletes_to_confirm(&moved.options.allow_break)), (1, 1));
    moved.options.allow_delete = Some(5);
    assert_eq!(apply(&world.plane, &moved).unwrap_err().blocked[0].code, "E_DELETES");
    moved.options.allow_delete = Some(1);
    apply(&world.plane, &moved).unwrap();
}
