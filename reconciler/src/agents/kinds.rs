//! The kinds of the agents' domain, in the order of plans.
//!
//! Never here: how a manifest spells them.

use std::collections::BTreeMap;

use crate::kind::{Effect, FieldSpec, KindSpec, Kinds};

/// The kind of an agent.
pub const AGENT: &str = "agent";
/// The kind of an agent's settings; its name is the agent's.
pub const SETTINGS: &str = "settings";
/// The kind of a shared secret, such as `secret/provider:z-ai:apiKey`.
pub const SECRET: &str = "secret";
/// The kind of an addition to the provider catalogue.
pub const PROVIDER: &str = "provider";
/// The only field of a secret.
pub const SECRET_VALUE: &str = "value";

/// The name of the shared secret that holds the key of a provider.
pub fn provider_secret(provider: &str) -> String {
    format!("provider:{provider}:apiKey")
}

/// All kinds of the domain.
pub fn kinds() -> Kinds {
    let sensitive = || FieldSpec { sensitive: true, ..FieldSpec::default() };
    let implied = || FieldSpec { implied: true, ..FieldSpec::default() };
    let providers = FieldSpec { list_key: Some("providerId"), volatile: &["installedAt"], ..FieldSpec::default() };
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
    KindSpec { name, heading, order, effect, dependent, fields: BTreeMap::from(fields) }
}
