//! What workers are given: tokens that name their session, environments with and without values, and why.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use holdfast_reconciler::agents::resolver::SystemEnvironment;
use holdfast_reconciler::desired::SecretText;
use holdfast_reconciler::error::ProblemKind;
use holdfast_reconciler::plane::{ControlPlane, SecretWrite, SessionRequest};
use holdfast_reconciler::resource::OrgId;
use serde_json::json;

use crate::planes::{World, agent, apply, declared, desired, request, secret, world, world_with};

const KEY: &str = "secret/provider:z-ai:apiKey";

fn filled(world: &World, org: &str, model: &str) -> OrgId {
    let org = OrgId::new(org).unwrap();
    let mut resources = agent("triage", "z-ai", model);
    resources.push(secret(KEY, "Z_AI_API_KEY", Some(model)));
    let mut request = request(desired("team", resources));
    request.org = Some(org.clone());
    apply(&world.plane, &request).unwrap();
    org
}

fn put(world: &World, name: &str, value: &str) {
    let (name, value, author) = (name.to_owned(), Some(SecretText::new(value.to_owned())), "tester".to_owned());
    let allow_break = BTreeSet::new();
    world.plane.write_secret(&SecretWrite { org: None, name, value, expires: None, author, allow_break }).unwrap();
}

#[test]
fn p12_a_worker_token_gives_the_context_of_its_session_and_no_other() {
    let world = world();
    let (acme, beta) = (filled(&world, "acme", "glm-4.6"), filled(&world, "beta", "glm-4.5"));
    let open = |org: &OrgId| {
        let (org, agent, user) = (Some(org.clone()), "triage".to_owned(), Some("maria".to_owned()));
        world.plane.open_session(&SessionRequest { org, agent, user, ..SessionRequest::default() }).unwrap()
    };
    let (ours, theirs) = (open(&acme), open(&beta));
    let token = |org: &OrgId, id: &str| world.plane.worker_token(Some(org), id, Some(60_000)).map(|given| given.token);
    let (our, their) = (ours.session.as_deref().unwrap(), theirs.session.as_deref().unwrap());
    assert_eq!(token(&acme, their).unwrap_err().kind, ProblemKind::NotFound);
    let given = token(&acme, our).unwrap();
    assert_eq!(world.plane.session_context(&given).unwrap(), ours);
    filled(&world, "acme", "glm-5");
    assert_eq!(world.plane.session_context(&given).unwrap().model.id, "glm-4.6", "the session is pinned");
    world.plane.rotate_secrets("tester").unwrap();
    assert!(world.plane.session_context(&given).is_ok(), "a rotation ends no token");

    assert_eq!(world.with_another_key().session_context(&given).unwrap_err().kind, ProblemKind::Denied);
    world.plane.close_session(Some(&acme), our).unwrap();
    let closed = world.plane.session_context(&given).unwrap_err();
    assert_eq!((closed.kind, closed.code.as_str()), (ProblemKind::Denied, "E_TOKEN"));
    let expiring = token(&beta, their).unwrap();
    world.clock.set(60_000);
    assert_eq!(world.plane.session_context(&expiring).unwrap_err().message, "the worker token has expired");
}

#[test]
fn a_session_in_process_gives_a_token_that_ends_with_it() {
    let world = world();
    let org = filled(&world, "acme", "glm-4.6");
    let session = world.plane.session(&org, "triage", None).unwrap();
    let given = session.worker_token(Some(Duration::from_secs(60))).unwrap();
    let again = session.worker_token(None).unwrap();
    assert_eq!(again.expires, "1970-01-01T02:00:00.000Z");
    let context = world.plane.session_context(&given.token).unwrap();
    assert_eq!((context.model.id.as_str(), &context.org), ("glm-4.6", &org));
    assert_eq!(context.session, world.plane.session_context(&again.token).unwrap().session, "one session, one id");
    assert!(session.worker_token(Some(Duration::ZERO)).is_err());
    drop(session);
    assert_eq!(world.plane.session_context(&given.token).unwrap_err().kind, ProblemKind::Denied);
    assert!(world.plane.status(Some(&org)).unwrap().open_sessions.is_empty());
}

#[test]
fn p8_the_environment_of_a_worker_has_placeholders_unless_values_are_asked_for() {
    let system = BTreeMap::from([("MCP_REGION".to_owned(), "eu".to_owned())]);
    let world = world_with(SystemEnvironment::Known(system));
    let mut resources = agent("triage", "z-ai", "glm-4.6");
    let env = json!({"GITHUB_TOKEN": "$GH_TOKEN", "REGION": "$MCP_REGION", "MISSING": "$NOWHERE", "MODE": "fast"});
    resources[1].fields.insert("mcpServers".to_owned(), json!({"gh": {"command": "gh", "env": env}}));
    apply(&world.plane, &request(desired("team", resources))).unwrap();
    put(&world, "provider:z-ai:apiKey", "canary-key");
    put(&world, "GH_TOKEN", "canary-token");
    let session = world.plane.session(&OrgId::default(), "triage", None).unwrap();
    let shown = serde_json::to_string(session.context()).unwrap() + &format!("{session:?}");
    assert!(!shown.contains("canary"), "{shown}");
    assert_eq!(
        session.worker_placeholders(),
        BTreeMap::from([("Z_AI_API_KEY".to_owned(), "holdfast-credential:z-ai".to_owned())])
    );
    let steps: Vec<String> = session.context().evidence.iter().map(ToString::to_string).collect();
    for step in [
        "reference $GH_TOKEN in mcpServers.gh.env.GITHUB_TOKEN: found",
        "reference $MCP_REGION in mcpServers.gh.env.REGION: found",
        "reference $NOWHERE in mcpServers.gh.env.MISSING: unresolved",
    ] {
        assert!(steps.iter().any(|seen| seen.starts_with(step)), "{step}: {steps:#?}");
    }
    let values = || -> BTreeMap<String, String> {
        session.worker_env().into_iter().map(|(name, value)| (name, value.expose().to_owned())).collect()
    };
    let pair = |name: &str, value: &str| (name.to_owned(), value.to_owned());
    let (region, key) = (pair("MCP_REGION", "eu"), pair("Z_AI_API_KEY", "canary-key"));
    assert_eq!(values(), BTreeMap::from([pair("GH_TOKEN", "canary-token"), region.clone(), key.clone()]));
    put(&world, "GH_TOKEN", "rotated");
    assert_eq!(values(), BTreeMap::from([pair("GH_TOKEN", "rotated"), region, key]), "values are fetched when used");
}

#[test]
fn p5_explain_shows_the_chain_whether_or_not_there_is_a_session() {
    let world = world();
    let mut resources = agent("triage", "z-ai", "glm-4.6");
    resources[1] = declared(
        "settings/triage",
        json!({"installedProviders": [{"providerId": "z-ai"}], "modelSelection": {"mode": "pinned", "pinnedModel": "z-ai/glm-5"}}),
    );
    apply(&world.plane, &request(desired("team", resources))).unwrap();
    let asked =
        SessionRequest { agent: "triage".to_owned(), user: Some("maria".to_owned()), ..SessionRequest::default() };
    let failed = world.plane.explain(&asked).unwrap();
    assert_eq!(failed.error.as_deref(), Some("no usable credential for provider \"z-ai\""));
    assert_eq!((failed.model, failed.revision.get()), (None, 1));
    assert!(failed.help.unwrap().contains("reconcile secret set provider:z-ai:apiKey"));
    let steps: Vec<String> = failed.evidence.iter().map(ToString::to_string).collect();
    assert_eq!(
        steps,
        [
            "settings settings/triage: found (r1)",
            "z-ai: profile profile/maria: absent",
            "z-ai: org secret provider:z-ai:apiKey: absent",
            "z-ai: system environment Z_AI_API_KEY: not known here",
            "z-ai: provider the pinned model's provider: absent",
        ]
    );
    put(&world, "provider:z-ai:apiKey", "x");
    let works = world.plane.explain(&asked).unwrap();
    assert_eq!((works.error, works.model.unwrap().id.as_str()), (None, "glm-5"));
    let unknown = world.plane.explain(&SessionRequest { agent: "triag".to_owned(), ..SessionRequest::default() });
    assert_eq!(unknown.unwrap_err().kind, ProblemKind::NotFound);
}
