//! Profiles of users: what they change for sessions and plans, and that they go nowhere else.

use std::collections::BTreeSet;

use holdfast_engine::{Revision, Timestamp};
use holdfast_reconciler::agents::context::CredentialSource;
use holdfast_reconciler::agents::profile::ProfileType;
use holdfast_reconciler::desired::SecretText;
use holdfast_reconciler::error::{Problem, ProblemKind};
use holdfast_reconciler::plan::AgentChange;
use holdfast_reconciler::plane::{
    ControlPlane, Moment, ProfileChange, ProfileCredential, ProfileWrite, ProfilesQuery, SecretWrite, SessionRequest,
    WriteOutcome, WriteReceipt,
};
use holdfast_reconciler::resource::OrgId;
use serde_json::json;

use crate::planes::{World, agent, apply, declared, desired, request, secret, world};

const KEY: &str = "secret/provider:z-ai:apiKey";

fn write(user: &str, provider: &str, change: ProfileChange) -> ProfileWrite {
    let (user, provider, author) = (user.to_owned(), provider.to_owned(), "tester".to_owned());
    ProfileWrite { org: None, user, provider, model: None, change, author, allow_break: BTreeSet::new() }
}

fn value(value: &str) -> ProfileChange {
    let credential = ProfileCredential::Value(SecretText::new(value.to_owned()));
    ProfileChange::Set { kind: ProfileType::ApiKey, credential, expires: None }
}

fn set(world: &World, user: &str, provider: &str, model: Option<&str>, text: &str) -> WriteReceipt {
    let request = ProfileWrite { model: model.map(str::to_owned), ..write(user, provider, value(text)) };
    world.plane.write_profile(&request).unwrap()
}

fn used(world: &World, user: Option<&str>) -> Result<(CredentialSource, String), Problem> {
    let session = world.plane.session(&OrgId::default(), "triage", user)?;
    let source = session.context().credentials[0].source;
    Ok((source, session.credential(&session.context().model.provider)?.expose().to_owned()))
}

#[test]
fn p4_a_profile_counts_for_its_user_alone_and_by_its_scope() {
    let world = world();
    apply(&world.plane, &request(desired("team", agent("triage", "z-ai", "glm-4.6")))).unwrap();
    assert_eq!(used(&world, Some("maria")).unwrap_err().code, "E_NO_PROVIDER");
    set(&world, "maria", "z-ai", Some("glm-4.5"), "other-model");
    assert_eq!(used(&world, Some("maria")).unwrap().1, "other-model", "the first, for lack of a better one");
    set(&world, "maria", "z-ai", None, "all-models");
    assert_eq!(used(&world, Some("maria")).unwrap().1, "all-models");
    set(&world, "maria", "z-ai", Some("glm-4.6"), "exact");
    assert_eq!(used(&world, Some("maria")).unwrap(), (CredentialSource::Profile, "exact".to_owned()));
    set(&world, "maria", "z-ai", Some("glm-4.6"), "rotated");
    assert_eq!(used(&world, Some("maria")).unwrap().1, "rotated");
    assert_eq!(used(&world, None).unwrap_err().code, "E_NO_PROVIDER");
    assert_eq!(used(&world, Some("jon")).unwrap_err().code, "E_NO_PROVIDER");

    let listed = world.plane.profiles(&ProfilesQuery { org: None, user: Some("maria".to_owned()) }).unwrap();
    let scopes: Vec<&str> = listed.iter().map(|info| info.model.as_str()).collect();
    assert_eq!(scopes, ["glm-4.5", "*", "glm-4.6"]);
    assert!(listed.iter().all(|info| info.tag.as_ref().is_some_and(|tag| tag.len() == 12)), "{listed:?}");
    assert!(world.plane.profiles(&ProfilesQuery { org: None, user: Some("jon".to_owned()) }).unwrap().is_empty());

    let remove = ProfileWrite { model: Some("glm-4.6".to_owned()), ..write("maria", "z-ai", ProfileChange::Remove) };
    world.plane.write_profile(&remove).unwrap();
    assert_eq!(used(&world, Some("maria")).unwrap().1, "all-models");
    assert_eq!(world.plane.write_profile(&remove).unwrap().outcome, WriteOutcome::Unchanged);
}

#[test]
fn p5_a_profile_that_does_not_count_is_named_in_the_evidence() {
    let world = world();
    let mut resources = agent("triage", "z-ai", "glm-4.6");
    resources[0] = declared("agent/triage", json!({"name": "triage", "owner": "olga"}));
    apply(&world.plane, &request(desired("team", resources))).unwrap();
    let timed = |kind, expires| ProfileChange::Set {
        kind,
        credential: ProfileCredential::Value(SecretText::new("x".to_owned())),
        expires: Some(Timestamp::from_millis(expires)),
    };
    world.plane.write_profile(&write("maria", "z-ai", timed(ProfileType::DeviceCode, 10))).unwrap();
    world.plane.write_profile(&write("olga", "z-ai", timed(ProfileType::Oauth, 1_000))).unwrap();
    assert!(used(&world, Some("maria")).is_ok());
    world.clock.set(10);
    let failed = used(&world, Some("maria")).unwrap_err();
    let evidence: Vec<String> = failed.evidence.iter().map(ToString::to_string).collect();
    let says = |text: &str| assert!(evidence.iter().any(|step| step.contains(text)), "{text}: {evidence:#?}");
    says("z-ai: profile profile/maria/z-ai device-code *: expired");
    says("z-ai: owner profile profile/olga/z-ai oauth *: not looked at (an owner shares keys only");
    says("org secret provider:z-ai:apiKey: absent");

    set(&world, "olga", "z-ai", None, "olgas-key");
    assert_eq!(used(&world, Some("maria")).unwrap(), (CredentialSource::OwnerProfile, "olgas-key".to_owned()));
    assert_eq!(used(&world, None).unwrap().0, CredentialSource::OwnerProfile);
    assert_eq!(used(&world, Some("olga")).unwrap().0, CredentialSource::Profile);

    let stranger = world.with_another_key();
    let asked =
        SessionRequest { agent: "triage".to_owned(), user: Some("olga".to_owned()), ..SessionRequest::default() };
    let failed = stranger.look(&asked).unwrap_err();
    assert!(failed.evidence.iter().any(|step| step.to_string().contains("cannot be opened")), "{failed:?}");
    let refused = stranger.check_keys().unwrap_err();
    assert!(refused.message.contains("`profile/olga/z-ai`"), "{refused:?}");
    assert_eq!(stranger.write_profile(&write("olga", "z-ai", value("y"))).unwrap_err().code, "E_MASTER_KEY");
}

#[test]
fn p13_a_profile_whose_removal_breaks_a_session_is_kept_until_the_agent_is_named() {
    let world = world();
    apply(&world.plane, &request(desired("team", agent("triage", "z-ai", "glm-4.6")))).unwrap();
    set(&world, "maria", "z-ai", None, "hers");
    set(&world, "jon", "z-ai", None, "his");
    let mut remove = write("maria", "z-ai", ProfileChange::Remove);
    let refused = world.plane.write_profile(&remove).unwrap_err();
    assert_eq!(refused.kind, ProblemKind::Blocked);
    assert!(refused.message.contains("sessions of `triage for maria` work now and would fail"), "{}", refused.message);
    assert!(refused.help.unwrap().contains("--allow-break triage"));
    remove.allow_break.insert("triage".to_owned());
    let removed = world.plane.write_profile(&remove).unwrap();
    assert_eq!(used(&world, Some("maria")).unwrap_err().code, "E_NO_PROVIDER");
    assert!(used(&world, Some("jon")).is_ok());
    let past = Moment::Revision(removed.revision.previous());
    let asked =
        SessionRequest { agent: "triage".to_owned(), user: Some("maria".to_owned()), ..SessionRequest::default() };
    assert!(world.plane.look(&SessionRequest { at: Some(past), ..asked }).is_ok(), "it is told as it was");
}

#[test]
fn p5_a_plan_foresees_the_sessions_of_users_too() {
    let world = world();
    set(&world, "maria", "z-ai", None, "hers");
    set(&world, "jon", "z-ai", Some("glm-4.5"), "his");
    set(&world, "ada", "openai", None, "adas");
    let (plan, _) = apply(&world.plane, &request(desired("team", agent("triage", "z-ai", "glm-4.6")))).unwrap();
    let rows: Vec<_> =
        plan.sessions.iter().map(|row| (row.who(), row.users, row.error.as_deref(), row.breaks)).collect();
    assert_eq!(rows[0], ("triage".to_owned(), Some(2), None, false), "two users have their own: {rows:?}");
    assert_eq!(rows[1].0, "triage for jon and 1 more");
    assert_eq!((rows.len(), plan.sessions[0].agent_change), (2, AgentChange::New));

    let moved = request(desired("team", agent("triage", "groq", "llama")));
    let plan = world.plane.plan(&moved).unwrap();
    let broken: Vec<_> = plan.sessions.iter().filter(|row| row.breaks).map(|row| row.who()).collect();
    assert_eq!(broken, ["triage for jon and 1 more"], "{:?}", plan.sessions);
    assert!(plan.is_blocked() && plan.blocked[0].message.contains("triage for jon and 1 more"), "{:?}", plan.blocked);

    let renamed = world.plane.plan(&request(desired("team", agent("triage", "z-ai", "glm-4.5")))).unwrap();
    let row = &renamed.sessions[0];
    assert_eq!((renamed.sessions.len(), row.users), (1, Some(2)), "{:?}", renamed.sessions);
    let ends = |model: &str| Some(format!("z-ai/{model}"));
    let shown = |model: &Option<holdfast_reconciler::plan::SessionModel>| model.as_ref().map(ToString::to_string);
    assert_eq!((shown(&row.before), shown(&row.after)), (ends("glm-4.6"), ends("glm-4.5")));
}

#[test]
fn p13_a_shared_key_that_only_some_users_can_do_without_is_still_missed() {
    let world = world();
    let mut resources = agent("triage", "z-ai", "glm-4.6");
    resources.push(secret(KEY, "Z_AI_API_KEY", Some("shared")));
    apply(&world.plane, &request(desired("team", resources))).unwrap();
    set(&world, "maria", "z-ai", None, "hers");
    let name = "provider:z-ai:apiKey".to_owned();
    let (author, allow_break) = ("tester".to_owned(), BTreeSet::new());
    let remove = SecretWrite { org: None, name, value: None, expires: None, author, allow_break };
    assert_eq!(world.plane.write_secret(&remove).unwrap_err().kind, ProblemKind::Blocked);
}

#[test]
fn a_profile_of_a_shared_secret_follows_it_and_an_open_session_uses_what_is_there_now() {
    let world = world();
    apply(&world.plane, &request(desired("team", agent("triage", "z-ai", "glm-4.6")))).unwrap();
    let reference = |name: &str| ProfileChange::Set {
        kind: ProfileType::ApiKey,
        credential: ProfileCredential::SecretRef(name.to_owned()),
        expires: None,
    };
    world.plane.write_profile(&write("maria", "z-ai", reference("team-key"))).unwrap();
    assert_eq!(used(&world, Some("maria")).unwrap_err().code, "E_NO_PROVIDER");
    let put = |text: &str| {
        let (name, value) = ("team-key".to_owned(), Some(SecretText::new(text.to_owned())));
        let (author, allow_break) = ("tester".to_owned(), BTreeSet::new());
        world.plane.write_secret(&SecretWrite { org: None, name, value, expires: None, author, allow_break }).unwrap()
    };
    put("first");
    let open = world.plane.session(&OrgId::default(), "triage", Some("maria")).unwrap();
    assert_eq!(open.credential("z-ai").unwrap().expose(), "first");
    put("second");
    assert_eq!(open.credential("z-ai").unwrap().expose(), "second", "a rotated secret works at once");
    set(&world, "maria", "z-ai", None, "her-own");
    assert_eq!(open.credential("z-ai").unwrap().expose(), "her-own");
    let uninstalled = request(desired("team", agent("triage", "groq", "llama")));
    let mut allowed = uninstalled.clone();
    allowed.options.allow_break.insert("triage".to_owned());
    apply(&world.plane, &allowed).unwrap();
    assert_eq!(open.credential("z-ai").unwrap().expose(), "her-own", "settings are pinned with the session");
    assert_eq!(open.revision(), Revision::new(3));
}

#[test]
fn names_that_are_none_are_refused() {
    let world = world();
    for (user, provider, model) in
        [("", "z-ai", None), ("a\nb", "z-ai", None), ("a", "Z", None), ("a", "z-ai", Some(""))]
    {
        let request = ProfileWrite { model: model.map(str::to_owned), ..write(user, provider, value("x")) };
        let refused = world.plane.write_profile(&request).unwrap_err();
        assert_eq!((refused.kind, refused.code.as_str()), (ProblemKind::Invalid, "E_NAME"), "{user:?} {provider:?}");
    }
    assert_eq!(world.plane.write_profile(&write("a", "z-ai", value(""))).unwrap_err().code, "E_EMPTY_SECRET");
    assert_eq!(world.plane.head().unwrap().revision, Revision::ZERO);
}
