//! The kinds of the agents' domain, in the order of plans.
//!
//! Never here: how a manifest spells them.

use std::sync::LazyLock;

use crate::kind::{Effect, FieldSpec, KindSpec, Kinds};
use crate::resource::{Address, KindName, is_id};

/// The kind of an agent.
pub const AGENT: &str = "agent";
/// The kind of an agent's settings; its name is the agent's.
pub const SETTINGS: &str = "settings";
/// The kind of a shared secret, such as `secret/provider:z-ai:apiKey`.
pub const SECRET: &str = "secret";
/// The kind of an addition to the provider catalogue.
pub const PROVIDER: &str = "provider";
/// The kind of a chat surface; its name is `<agent>/<stable id>`.
pub const PLATFORM: &str = "platform";
/// The kind of a type of things in memory.
pub const ENTITY_TYPE: &str = "entity-type";
/// The kind of a type of relations in memory.
pub const RELATIONSHIP_TYPE: &str = "relationship-type";
/// The kind of a scheduled prompt.
pub const WATCHER: &str = "watcher";
/// The kind of a data source's code.
pub const CONNECTOR_DEFINITION: &str = "connector-definition";
/// The kind of a data source's credentials.
pub const AUTH_PROFILE: &str = "auth-profile";
/// The kind of a configured data source.
pub const CONNECTION: &str = "connection";
/// The kind of a scheduled stream of a connection; its name is `<connection>/<feed key>`.
pub const FEED: &str = "feed";
/// The word under which the profiles of users lie; they are no resources, so no manifest declares them.
pub const PROFILE: &str = "profile";
/// The only field of a secret.
pub const SECRET_VALUE: &str = "value";

/// The name of the shared secret that holds the key of a provider.
pub fn provider_secret(provider: &str) -> String {
    ["provider:", provider, ":apiKey"].concat()
}

/// The kinds that `--only` knows under one word, and so does the field: connectors are in neither group.
pub fn group(word: &str) -> Option<&'static [&'static str]> {
    match word {
        "agents" => Some(&[PROVIDER, AGENT, SETTINGS, PLATFORM, SECRET]),
        "memory" => Some(&[ENTITY_TYPE, RELATIONSHIP_TYPE, WATCHER]),
        _ => None,
    }
}

/// Whether the resolution of a session can look at resources of a kind; the resolver looks at no others.
pub(crate) fn is_read_by_sessions(kind: &str) -> bool {
    matches!(kind, AGENT | SETTINGS | PROVIDER | SECRET)
}

static PROFILE_KIND: LazyLock<KindName> = LazyLock::new(|| fixed(PROFILE));
static SECRET_KIND: LazyLock<KindName> = LazyLock::new(|| fixed(SECRET));
static SETTINGS_KIND: LazyLock<KindName> = LazyLock::new(|| fixed(SETTINGS));

fn fixed(name: &str) -> KindName {
    KindName::new(name).expect("the names of the built-in kinds are valid")
}

/// The kind part of a profile's address.
pub(crate) fn profile_kind() -> KindName {
    PROFILE_KIND.clone()
}

/// The kind part of a secret's address.
pub(crate) fn secret_kind() -> KindName {
    SECRET_KIND.clone()
}

/// The kind part of an address of settings.
pub(crate) fn settings_kind() -> KindName {
    SETTINGS_KIND.clone()
}

/// The resources that go with one when an actor deletes it: exact addresses, and prefixes that end in `/`.
pub fn dependents(address: &Address) -> Vec<String> {
    let name = &address.name;
    match address.kind.as_str() {
        AGENT => vec![format!("{SETTINGS}/{name}"), format!("{PLATFORM}/{name}/")],
        CONNECTION => vec![format!("{FEED}/{name}/")],
        _ => Vec::new(),
    }
}

/// Holds the name of a new resource against the rule of its kind; the error is the rule.
pub(crate) fn check_name(address: &Address) -> Result<(), &'static str> {
    const RULE: &str = "use lower-case letters, digits and `-`, at most 63, not starting with `-`";
    let name = address.name.as_str();
    let parts: Vec<&str> = match address.kind.as_str() {
        PLATFORM | FEED => match name.split_once('/') {
            Some((parent, own)) => vec![parent, own],
            None => return Err("write it as `parent/name`"),
        },
        // A definition is called as its code declares, and a secret as its consumer looks for it.
        CONNECTOR_DEFINITION | SECRET => return Ok(()),
        _ => vec![name],
    };
    if parts.into_iter().all(is_id) { Ok(()) } else { Err(RULE) }
}

/// All kinds of the domain.
pub fn kinds() -> Kinds {
    let sensitive = || FieldSpec { sensitive: true, ..FieldSpec::default() };
    let implied = || FieldSpec { implied: true, ..FieldSpec::default() };
    let providers =
        FieldSpec { list_key: Some("providerId".into()), volatile: &["installedAt"], ..FieldSpec::default() };
    let immutable = || FieldSpec { immutable: true, ..FieldSpec::default() };
    Kinds::new([
        kind(10, PROVIDER, "providers", Effect::NextSession, false, []),
        kind(20, AGENT, "agents", Effect::NextSession, false, []),
        kind(
            30,
            SETTINGS,
            "settings",
            Effect::NextSession,
            true,
            [("installedProviders", providers), ("modelSelection", implied())],
        ),
        // What came from a reference is secret value by value; the loader says which.
        kind(40, PLATFORM, "platforms", Effect::Restart, true, []),
        kind(50, ENTITY_TYPE, "entity types", Effect::Immediate, false, []),
        kind(60, RELATIONSHIP_TYPE, "relationship types", Effect::Immediate, false, []),
        kind(70, WATCHER, "watchers", Effect::Immediate, false, []),
        kind(80, CONNECTOR_DEFINITION, "connector definitions", Effect::Immediate, false, []),
        kind(
            90,
            AUTH_PROFILE,
            "auth profiles",
            Effect::Immediate,
            false,
            [("connector", immutable()), ("kind", immutable()), ("credentials", sensitive())],
        ),
        kind(100, CONNECTION, "connections", Effect::Immediate, false, [("connector", immutable())]),
        kind(110, FEED, "feeds", Effect::Immediate, true, []),
        kind(130, SECRET, "secrets", Effect::Immediate, true, [(SECRET_VALUE, sensitive())]),
    ])
}

fn kind<const N: usize>(
    order: u32,
    name: &'static str,
    heading: &'static str,
    effect: Effect,
    dependent: bool,
    fields: [(&'static str, FieldSpec); N],
) -> KindSpec {
    let fields = fields.into_iter().map(|(name, spec)| (name.into(), spec)).collect();
    KindSpec { name: name.into(), heading: heading.into(), order, effect, dependent, fields, definition: None }
}
