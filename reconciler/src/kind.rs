//! Kinds of resources: which fields they have, what is sensitive, immutable, volatile or keyed, and when a change of them
//! takes effect.
//!
//! Never here: values of a resource, and the built-in kinds themselves (`agents/kinds.rs` lists them).

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// When a change of a resource reaches its consumers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Effect {
    /// Sessions that start after the apply read it.
    #[default]
    NextSession,
    /// Open sessions read it too.
    Immediate,
    /// What it configures is restarted.
    Restart,
    /// Nothing reads it at run time.
    None,
}

impl Effect {
    /// The word that plans and manifests use.
    pub fn as_text(self) -> &'static str {
        match self {
            Self::NextSession => "next-session",
            Self::Immediate => "immediate",
            Self::Restart => "restart",
            Self::None => "none",
        }
    }
}

/// What is special about a field.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FieldSpec {
    /// The value is a secret: it is sealed and shown by its tag only.
    pub sensitive: bool,
    /// A change of the value is refused.
    pub immutable: bool,
    /// The value is worked out from other fields: it yields to a live owner and never blocks.
    pub implied: bool,
    /// The member that identifies an item of a list, so that lists differ by it and not by position.
    pub list_key: Option<&'static str>,
    /// Members of the list's items that never matter in a diff.
    pub volatile: &'static [&'static str],
}

/// A kind of resource.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KindSpec {
    /// Its name, as in addresses.
    pub name: &'static str,
    /// The heading of its rows in a plan.
    pub heading: &'static str,
    /// Its place in a plan: kinds that others refer to come first.
    pub order: u32,
    /// When a change takes effect.
    pub effect: Effect,
    /// Whether it is deleted with a parent, so that the delete guards do not count it.
    pub dependent: bool,
    /// What is special about which field; a field that is not listed is an ordinary one.
    pub fields: BTreeMap<&'static str, FieldSpec>,
}

impl KindSpec {
    /// What is special about a field.
    pub fn field(&self, name: &str) -> FieldSpec {
        self.fields.get(name).cloned().unwrap_or_default()
    }
}

/// The kinds that a plane knows.
#[derive(Clone, Debug, Default)]
pub struct Kinds(BTreeMap<&'static str, KindSpec>);

impl Kinds {
    /// Collects kinds; a later one of the same name wins.
    pub fn new(kinds: impl IntoIterator<Item = KindSpec>) -> Self {
        Self(kinds.into_iter().map(|kind| (kind.name, kind)).collect())
    }

    /// Finds a kind by its name.
    pub fn get(&self, name: &str) -> Option<&KindSpec> {
        self.0.get(name)
    }

    /// All kinds in the order of plans.
    pub fn in_order(&self) -> Vec<&KindSpec> {
        let mut kinds: Vec<_> = self.0.values().collect();
        kinds.sort_by_key(|kind| (kind.order, kind.name));
        kinds
    }

    /// The place of a kind in a plan; an unknown kind comes last.
    pub fn order(&self, name: &str) -> u32 {
        self.get(name).map_or(u32::MAX, |kind| kind.order)
    }
}
