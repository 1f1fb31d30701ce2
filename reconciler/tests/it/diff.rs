//! The three-way diff, as cases: what was declared before, what is declared now, what is live, and what should become of it.

use std::collections::BTreeMap;

use holdfast_engine::Revision;
use holdfast_reconciler::agents::kinds::kinds;
use holdfast_reconciler::desired::{Declared, OnDrift};
use holdfast_reconciler::diff::{Inputs, NewTag, Outcome, diff};
use holdfast_reconciler::plan::Reason;
use holdfast_reconciler::resource::{Declaration, Record};
use serde_json::{Value, json};

use crate::planes::{declared, secret};

const SOURCE: &str = "team";

/// A live record whose fields belong to who `owners` says, else to the source.
fn live(fields: Value, owners: Value) -> Record {
    let Value::Object(fields) = fields else { panic!("fields are an object") };
    let owner_of = |name: &String| owners.get(name).and_then(Value::as_str).unwrap_or(SOURCE).to_owned();
    let owners = fields.keys().filter(|name| owners.get(*name) != Some(&Value::Null));
    Record {
        owners: owners.map(|name| (name.clone(), owner_of(name))).collect(),
        fields: fields.clone().into_iter().collect(),
        owner: Some(SOURCE.to_owned()),
        ..Record::default()
    }
}

fn declaration(fields: Value) -> Declaration {
    let Value::Object(fields) = fields else { panic!("fields are an object") };
    Declaration { fields: fields.into_iter().collect(), ..Declaration::default() }
}

struct Case<'c> {
    before: Option<Value>,
    now: Value,
    live: Option<Record>,
    on_drift: OnDrift,
    what: &'c str,
}

fn run(case: &Case<'_>) -> (String, Record) {
    let now = declared("settings/triage", case.now.clone());
    let before = case.before.clone().map(declaration);
    run_declared(&now, before.as_ref(), case.live.as_ref(), case.on_drift, &BTreeMap::new())
}

fn run_declared(
    now: &Declared,
    before: Option<&Declaration>,
    live: Option<&Record>,
    on_drift: OnDrift,
    tags: &BTreeMap<String, NewTag>,
) -> (String, Record) {
    let kinds = kinds();
    let kind = kinds.get(now.address.kind.as_str()).unwrap();
    let live = live.map(|record| (record, Revision::new(7)));
    let takes = BTreeMap::new();
    let outcome = diff(Inputs { kind, source: SOURCE, on_drift, now, before, live, tags, takes: &takes, others: &[] });
    (told(&outcome), outcome.record.into_owned())
}

#[test]
fn p7_a_field_is_taken_only_from_the_revision_that_was_looked_at() {
    let kinds = kinds();
    let kind = kinds.get("settings").unwrap();
    let record = live(json!({"soulMd": "c", "userMd": "d"}), json!({"soulMd": "ui:maria", "userMd": "ui:maria"}));
    let before = declaration(json!({"soulMd": "a", "userMd": "b"}));
    let now = declared("settings/triage", json!({"soulMd": "a", "userMd": "b"}));
    let (tags, seen) = (BTreeMap::new(), Revision::new(7));
    let taking = |takes: &[(&'static str, u64)], on_drift| {
        let takes = takes.iter().map(|(field, revision)| (*field, Revision::new(*revision))).collect();
        let (source, live, before) = (SOURCE, Some((&record, seen)), Some(&before));
        let outcome =
            diff(Inputs { kind, source, on_drift, now: &now, before, live, tags: &tags, takes: &takes, others: &[] });
        let owners: Vec<Option<&str>> = outcome.fields.iter().map(|field| field.owner.as_deref()).collect();
        (told(&outcome), outcome.reason, format!("{owners:?}"))
    };
    let both = [("soulMd", 7), ("userMd", 7)];
    let told = r#"soulMd "c" -> "a"; userMd "d" -> "b""#.to_owned();
    let owners = r#"[Some("ui:maria"), Some("ui:maria")]"#.to_owned();
    assert_eq!(taking(&both, OnDrift::Block), (told.clone(), Some(Reason::Take), owners.clone()));
    assert_eq!(taking(&both, OnDrift::Keep), (told.clone(), Some(Reason::Take), owners.clone()));
    assert_eq!(taking(&[], OnDrift::Revert), (told, Some(Reason::DriftRepair), owners));
    for stale in [6, 8] {
        let (told, ..) = taking(&[("soulMd", stale), ("userMd", 7)], OnDrift::Block);
        assert_eq!(told, r#"userMd "d" -> "b"; conflict soulMd ui:maria"#);
    }
}

/// The outcome of a diff as one line a person can read.
fn told(outcome: &Outcome<'_>) -> String {
    let value = |value: &Option<Value>| value.as_ref().map_or("-".to_owned(), ToString::to_string);
    let mut told: Vec<String> = outcome
        .fields
        .iter()
        .map(|field| match field.sensitive {
            true => format!("{} ({:?} -> {:?})", field.path, field.before_tag, field.after_tag),
            false => format!("{} {} -> {}", field.path, value(&field.before), value(&field.after)),
        })
        .collect();
    told.extend(outcome.conflicts.iter().map(|conflict| format!("conflict {} {}", conflict.path, conflict.owner)));
    told.extend(outcome.yielded.iter().map(|(field, owner)| format!("yields {field} {owner}")));
    if outcome.adopts {
        told.push("adopts".to_owned());
    }
    told.join("; ")
}

#[test]
fn p7_each_field_goes_by_its_owner() {
    let case =
        |what, before: Option<Value>, now, live, on_drift| Case { before, now, live: Some(live), on_drift, what };
    let maria = json!({"soulMd": "ui:maria"});
    let (a, b) = (json!({"soulMd": "a"}), json!({"soulMd": "b"}));
    let block = OnDrift::Block;
    let cases = [
        (case("equal", Some(a.clone()), a.clone(), live(a.clone(), json!({})), block), ""),
        (case("ours", Some(a.clone()), b.clone(), live(a.clone(), json!({})), block), r#"soulMd "a" -> "b""#),
        (
            case("drift blocks", Some(a.clone()), b.clone(), live(json!({"soulMd": "c"}), maria.clone()), block),
            "conflict soulMd ui:maria",
        ),
        (
            case("drift reverts", Some(a.clone()), a.clone(), live(b.clone(), maria.clone()), OnDrift::Revert),
            r#"soulMd "b" -> "a""#,
        ),
        (
            case("drift stays", Some(a.clone()), a.clone(), live(b.clone(), maria.clone()), OnDrift::Keep),
            "yields soulMd ui:maria",
        ),
        (case("first contact", None, b.clone(), live(a.clone(), maria.clone()), block), r#"soulMd "a" -> "b""#),
        (case("first contact of an equal value", None, a.clone(), live(a.clone(), maria.clone()), block), "adopts"),
        (case("of nobody", None, b.clone(), live(a.clone(), json!({"soulMd": null})), block), r#"soulMd "a" -> "b""#),
        (
            case("of another source", None, b.clone(), live(a.clone(), json!({"soulMd": "other"})), block),
            "conflict soulMd other",
        ),
        (
            case("no longer declared", Some(a.clone()), json!({}), live(a.clone(), json!({})), block),
            r#"soulMd "a" -> -"#,
        ),
        (case("no longer declared, theirs now", Some(a.clone()), json!({}), live(b.clone(), maria.clone()), block), ""),
        (case("never declared", None, json!({}), live(a.clone(), maria), block), ""),
        (
            case("cleared", Some(a.clone()), json!({"soulMd": ""}), live(a.clone(), json!({})), block),
            r#"soulMd "a" -> -"#,
        ),
        (case("null is absent", None, json!({"soulMd": null}), live(json!({}), json!({})), block), ""),
    ];
    for (case, expected) in cases {
        assert_eq!(run(&case).0, expected, "{}", case.what);
    }
}

#[test]
fn nested_values_differ_by_path_and_keyed_lists_by_their_key() {
    let live_with = |fields: Value| Some(live(fields, json!({})));
    let case = |live_fields: Value, now: Value| Case {
        before: Some(live_fields.clone()),
        now,
        live: live_with(live_fields),
        on_drift: OnDrift::Block,
        what: "",
    };
    let providers = |ids: &[&str]| json!({"installedProviders": ids.iter().map(|id| json!({"providerId": id})).collect::<Vec<_>>()});
    let cases = [
        (
            case(
                json!({"networkConfig": {"allowedDomains": ["a", "b"], "judges": {"x": "1"}}}),
                json!({"networkConfig": {"allowedDomains": ["a", "c", "d"], "judges": {"x": "1", "y": null}}}),
            ),
            r#"networkConfig.allowedDomains[1] "b" -> "c"; networkConfig.allowedDomains[2] - -> "d""#,
        ),
        (case(providers(&["a", "b"]), providers(&["a", "c", "b"])), r#"installedProviders[1] - -> {"providerId":"c"}"#),
        (case(providers(&["a", "b"]), providers(&["b"])), r#"installedProviders[0] {"providerId":"a"} -> -"#),
        (
            case(providers(&["a", "b"]), providers(&["b", "a"])),
            r#"installedProviders [{"providerId":"a"},{"providerId":"b"}] -> [{"providerId":"b"},{"providerId":"a"}]"#,
        ),
        (case(json!({"installedProviders": [{"providerId": "a", "installedAt": 5}]}), providers(&["a"])), ""),
        (
            case(json!({"toolsConfig": {"strictMode": true}}), json!({"toolsConfig": {"strictMode": 1}})),
            "toolsConfig.strictMode true -> 1",
        ),
    ];
    for (case, expected) in cases {
        assert_eq!(run(&case).0, expected);
    }
}

#[test]
fn an_implied_value_yields_to_a_live_owner_and_never_blocks() {
    let live = live(json!({"modelSelection": {"mode": "pinned"}}), json!({"modelSelection": "ui:maria"}));
    let before = Some(json!({"modelSelection": {"mode": "auto"}}));
    let now = json!({"modelSelection": {"mode": "auto"}});
    let (told, record) = run(&Case { before, now, live: Some(live), on_drift: OnDrift::Block, what: "" });
    assert_eq!(told, "yields modelSelection ui:maria");
    assert_eq!(record.fields["modelSelection"]["mode"], "pinned");
}

#[test]
fn an_implied_value_that_differs_under_the_same_manifest_is_a_changed_default() {
    let kinds = kinds();
    let reason = |kind: &str, before: Option<Value>, now: Value, live_fields: Value| {
        let now = declared(&format!("{kind}/triage"), now);
        let (before, record) = (before.map(declaration), live(live_fields, json!({})));
        let (tags, takes) = (BTreeMap::new(), BTreeMap::new());
        let inputs = Inputs {
            kind: kinds.get(kind).unwrap(),
            source: SOURCE,
            on_drift: OnDrift::Block,
            now: &now,
            before: before.as_ref(),
            live: Some((&record, Revision::new(7))),
            tags: &tags,
            takes: &takes,
            others: &[],
        };
        let outcome = diff(inputs);
        (told(&outcome), outcome.reason)
    };
    let (auto, first) = (json!({"mode": "auto"}), json!({"mode": "first"}));
    let old = json!({"soulMd": "a", "modelSelection": first});
    let told = r#"modelSelection.mode "first" -> "auto""#.to_owned();
    let now = json!({"soulMd": "a", "modelSelection": auto});
    let with = |soul: &str| json!({"soulMd": soul, "modelSelection": auto});
    assert_eq!(reason("settings", Some(old.clone()), now, old.clone()), (told.clone(), Some(Reason::DefaultChanged)));
    // Anything else that is declared otherwise is the reason.
    let both = (format!(r#"{told}; soulMd "a" -> "b""#), Some(Reason::ManifestChanged));
    assert_eq!(reason("settings", Some(old.clone()), with("b"), old.clone()), both);
    assert_eq!(reason("settings", None, with("a"), old.clone()), (told, Some(Reason::ManifestChanged)));
    // A value that is implied no longer, or from now on.
    let gone = reason("settings", Some(old.clone()), json!({"soulMd": "a"}), old.clone());
    assert_eq!(gone, (r#"modelSelection {"mode":"first"} -> -"#.to_owned(), Some(Reason::DefaultChanged)));
    let soul = json!({"soulMd": "a"});
    let new = reason("settings", Some(soul.clone()), with("a"), soul.clone());
    assert_eq!(new, (r#"modelSelection - -> {"mode":"auto"}"#.to_owned(), Some(Reason::DefaultChanged)));
    // A value that the manifest writes is never a default.
    assert_eq!(
        reason("settings", Some(soul.clone()), json!({"soulMd": "b"}), soul),
        (r#"soulMd "a" -> "b""#.to_owned(), Some(Reason::ManifestChanged))
    );
}

#[test]
fn a_create_lists_every_declared_field_that_is_not_empty() {
    let now = json!({"soulMd": "x", "guardrails": [], "toolsConfig": {"strictMode": true}});
    let (told, record) = run(&Case { before: None, now, live: None, on_drift: OnDrift::Block, what: "" });
    assert_eq!(told, r#"soulMd - -> "x"; toolsConfig - -> {"strictMode":true}"#);
    assert_eq!(record.owner.as_deref(), Some(SOURCE));
    assert!(!record.fields.contains_key("guardrails"));
}

#[test]
fn p8_a_secret_differs_by_its_tag_alone() {
    let now = secret("secret/provider:z-ai:apiKey", "Z_AI_API_KEY", Some("value"));
    let tag = |tag: &str| BTreeMap::from([("value".to_owned(), NewTag::Known(tag.to_owned()))]);
    let record = |owner: &str| Record {
        owner: Some(owner.to_owned()),
        owners: BTreeMap::from([("value".to_owned(), owner.to_owned())]),
        tags: BTreeMap::from([("value".to_owned(), "aaaa".to_owned())]),
        ..Record::default()
    };
    let before =
        Declaration { tags: BTreeMap::from([("value".to_owned(), "aaaa".to_owned())]), ..Declaration::default() };
    let told_with = |live: &Record, tags: &BTreeMap<String, NewTag>| {
        run_declared(&now, Some(&before), Some(live), OnDrift::Block, tags).0
    };
    assert_eq!(told_with(&record(SOURCE), &tag("aaaa")), "");
    assert_eq!(told_with(&record(SOURCE), &tag("bbbb")), r#"value (Some("aaaa") -> Some("bbbb"))"#);
    assert_eq!(told_with(&record(SOURCE), &BTreeMap::new()), "", "an unset reference keeps what is sealed");
    assert_eq!(told_with(&record("other"), &tag("aaaa")), "", "two sources may hold one value");
    assert_eq!(told_with(&record("other"), &tag("bbbb")), "conflict  other");
    assert_eq!(told_with(&record("cli:maria"), &tag("bbbb")), "conflict value cli:maria; adopts");
}
