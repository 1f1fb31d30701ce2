//! Access tokens: what a role and its organisations are, that a revoked or expired one counts at no moment after, and that no
//! byte of a token is in the store.

use std::collections::BTreeSet;

use holdfast_reconciler::access_token::TOKEN_LIFE_MS;
use holdfast_reconciler::desired::SecretText;
use holdfast_reconciler::error::ProblemKind;
use holdfast_reconciler::plane::{ControlPlane, NewToken, Reach, Role, TokenRequest, TokenRevocation};
use holdfast_reconciler::resource::OrgId;

use crate::planes::{World, world};

fn org(name: &str) -> OrgId {
    OrgId::new(name).unwrap()
}

fn asked(name: &str, role: Role, reach: Option<Reach>) -> TokenRequest {
    TokenRequest { name: name.to_owned(), role, reach, life_ms: None, author: "maria".to_owned() }
}

fn made(world: &World, name: &str, role: Role, reach: Reach) -> NewToken {
    world.plane.create_token(&asked(name, role, Some(reach))).unwrap()
}

fn revocation(token: &str, within: Reach) -> TokenRevocation {
    TokenRevocation { token: token.to_owned(), within, author: "maria".to_owned() }
}

#[test]
fn p12_a_token_counts_from_its_commit_to_its_end_and_is_listed_without_itself() {
    let world = world();
    let before = world.plane.head().unwrap().revision;
    let NewToken { token, info } = made(&world, "ci", Role::Apply, Reach::one(org("acme")));
    assert_eq!(world.plane.head().unwrap().revision, before.next(), "a token is a commit");
    let access = world.plane.authenticate(&token).unwrap();
    assert_eq!((access.role, &access.reach, access.name.as_str()), (Role::Apply, &Reach::one(org("acme")), "ci"));
    assert_eq!((info.owner.as_str(), info.expired), ("cli:maria", false));
    let listed = world.plane.tokens(&Reach::All).unwrap();
    assert_eq!(listed, std::slice::from_ref(&info));
    assert!(!serde_json::to_string(&listed).unwrap().contains(&token.expose()[20..]));

    world.clock.set(TOKEN_LIFE_MS - 1);
    assert!(world.plane.authenticate(&token).is_ok());
    world.clock.set(TOKEN_LIFE_MS);
    assert_eq!(world.plane.authenticate(&token).unwrap_err().code, "E_ACCESS_EXPIRED");
    assert!(world.plane.tokens(&Reach::All).unwrap()[0].expired);

    world.clock.set(0);
    world.plane.revoke_token(&revocation("ci", Reach::All)).unwrap();
    let refused = world.plane.authenticate(&token).unwrap_err();
    assert_eq!((refused.kind, refused.code.as_str()), (ProblemKind::Denied, "E_ACCESS_TOKEN"));
    let gone = world.plane.revoke_token(&revocation("ci", Reach::All)).unwrap_err();
    assert_eq!(gone.kind, ProblemKind::NotFound);
    let unknown = world.plane.authenticate(&SecretText::new("hft_0123".to_owned())).unwrap_err();
    assert_eq!(unknown.code, refused.code, "a revoked token is told like one that never was");
}

#[test]
fn p12_who_has_some_organisations_sees_and_revokes_the_tokens_of_no_other() {
    let world = world();
    let acme = Reach::one(org("acme"));
    let both = Reach::Orgs(BTreeSet::from([org("acme"), org("beta")]));
    let ids: Vec<String> = [("a", acme.clone()), ("b", both.clone()), ("c", Reach::All)]
        .into_iter()
        .map(|(name, reach)| made(&world, name, Role::Read, reach).info.id)
        .collect();
    let seen = |within: &Reach| -> Vec<String> {
        world.plane.tokens(within).unwrap().into_iter().map(|token| token.name).collect()
    };
    assert_eq!((seen(&acme), seen(&both)), (vec!["a".to_owned()], vec!["a".to_owned(), "b".to_owned()]));
    assert_eq!(seen(&Reach::All).len(), 3);
    for id in &ids[1..] {
        let refused = world.plane.revoke_token(&revocation(id, acme.clone())).unwrap_err();
        assert_eq!(refused.kind, ProblemKind::NotFound, "as if it were not there");
    }
    world.plane.revoke_token(&revocation(&ids[0], acme)).unwrap();
    assert_eq!(seen(&Reach::All), ["b", "c"]);
}

#[test]
fn p12_a_name_tells_nothing_of_the_tokens_of_others() {
    let world = world();
    let acme = Reach::one(org("acme"));
    let both = Reach::Orgs(BTreeSet::from([org("acme"), org("beta")]));
    made(&world, "ci", Role::Read, Reach::one(org("beta")));
    made(&world, "root", Role::Admin, Reach::All);
    made(&world, "two", Role::Read, both.clone());
    // Whoever may make a token of `acme` sees none of these.
    let ours: Vec<_> =
        ["ci", "root", "two"].iter().map(|name| made(&world, name, Role::Read, acme.clone()).info.id).collect();
    let taken = |name: &str, reach: &Reach| {
        world.plane.create_token(&asked(name, Role::Read, Some(reach.clone()))).unwrap_err().code
    };
    assert_eq!(
        (taken("ci", &acme), taken("ci", &both), taken("two", &Reach::All)),
        ("E_EXISTS".to_owned(), "E_EXISTS".to_owned(), "E_EXISTS".to_owned())
    );
    // Who sees two of one name says which is meant; who sees one need not.
    let refused = world.plane.revoke_token(&revocation("ci", Reach::All)).unwrap_err();
    assert_eq!((refused.kind, refused.code.as_str()), (ProblemKind::Invalid, "E_AMBIGUOUS"));
    world.plane.revoke_token(&revocation(&ours[0], Reach::All)).unwrap();
    world.plane.revoke_token(&revocation("root", acme.clone())).unwrap();
    let left: Vec<_> = world.plane.tokens(&Reach::All).unwrap().into_iter().map(|token| token.name).collect();
    assert_eq!(left, ["ci", "root", "two", "two"]);
    assert!(
        world.plane.tokens(&Reach::All).unwrap().iter().any(|token| token.name == "root" && token.reach == Reach::All)
    );
}

#[test]
fn what_a_token_may_not_be_is_refused() {
    let world = world();
    made(&world, "ci", Role::Read, Reach::All);
    let cases = [
        (asked("ci", Role::Read, Some(Reach::All)), ProblemKind::Conflict, "E_EXISTS"),
        (asked("", Role::Read, None), ProblemKind::Invalid, "E_NAME"),
        (asked("A b", Role::Read, None), ProblemKind::Invalid, "E_NAME"),
        (asked("x", Role::Read, Some(Reach::Orgs(BTreeSet::new()))), ProblemKind::Invalid, "E_ORG"),
        (TokenRequest { life_ms: Some(0), ..asked("x", Role::Read, None) }, ProblemKind::Invalid, "E_TOKEN_LIFE"),
        (
            TokenRequest { life_ms: Some(i64::MAX), ..asked("x", Role::Read, None) },
            ProblemKind::Invalid,
            "E_TOKEN_LIFE",
        ),
    ];
    for (request, kind, code) in cases {
        let refused = world.plane.create_token(&request).unwrap_err();
        assert_eq!((refused.kind, refused.code.as_str()), (kind, code), "{request:?}");
        assert!(refused.help.is_some());
    }
    // Nobody named an organisation: the plane's rule does.
    let default = world.plane.create_token(&asked("x", Role::Read, None)).unwrap();
    assert_eq!(default.info.reach, Reach::one(OrgId::default()));
}

#[test]
fn p8_no_byte_of_a_token_is_in_the_store() {
    let world = world();
    let NewToken { token, info } = made(&world, "ci", Role::Admin, Reach::All);
    let secret = token.expose().rsplit_once(&format!("{}_", info.id)).unwrap().1;
    let mut backup = Vec::new();
    world.plane.backup(&mut backup).unwrap();
    assert!(!backup.windows(secret.len()).any(|window| window == secret.as_bytes()));
    assert!(backup.windows(info.id.len()).any(|window| window == info.id.as_bytes()), "the search finds what is there");
}
