//! Kinds of resources: which fields they have, what is sensitive, immutable, volatile or keyed, and when a change of them
//! takes effect.
//!
//! Never here: values of a resource, and the built-in kinds themselves (`agents/kinds.rs` lists them).

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::own_kind::OwnKind;
use crate::value::PathStep;

/// A name that the program knows or that a project gave.
pub type Name = Cow<'static, str>;

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
    pub list_key: Option<Name>,
    /// Members of the list's items that never matter in a diff.
    pub volatile: &'static [&'static str],
    /// What is special about members of a table.
    pub members: BTreeMap<String, FieldSpec>,
    /// What is special about the items of a list.
    pub items: Option<Box<FieldSpec>>,
}

/// Nothing is special.
static ORDINARY: FieldSpec = FieldSpec {
    sensitive: false,
    immutable: false,
    implied: false,
    list_key: None,
    volatile: &[],
    members: BTreeMap::new(),
    items: None,
};

impl FieldSpec {
    /// What is special about a member of the field's table.
    pub fn member(&self, name: &str) -> &FieldSpec {
        self.members.get(name).unwrap_or(&ORDINARY)
    }

    /// What is special about the items of the field's list.
    pub fn item(&self) -> &FieldSpec {
        self.items.as_deref().unwrap_or(&ORDINARY)
    }

    /// Whether the value at a way into the field cannot change: it or what it lies in is immutable.
    pub fn is_immutable_at(&self, steps: &[PathStep]) -> bool {
        self.on_the_way(steps, |spec| spec.immutable)
    }

    /// Whether the value at a way into the field is a secret: it or what it lies in is sensitive.
    pub fn is_sensitive_at(&self, steps: &[PathStep]) -> bool {
        self.on_the_way(steps, |spec| spec.sensitive)
    }

    fn on_the_way(&self, steps: &[PathStep], marked: fn(&Self) -> bool) -> bool {
        marked(self)
            || match steps.split_first() {
                Some((PathStep::Key(name), rest)) => self.member(name).on_the_way(rest, marked),
                Some((PathStep::Index(_), rest)) => self.item().on_the_way(rest, marked),
                None => false,
            }
    }
}

/// A kind of resource.
#[derive(Clone, Debug, PartialEq)]
pub struct KindSpec {
    /// Its name, as in addresses.
    pub name: Name,
    /// The heading of its rows in a plan.
    pub heading: Name,
    /// Its place in a plan: kinds that others refer to come first.
    pub order: u32,
    /// When a change takes effect.
    pub effect: Effect,
    /// Whether it is deleted with a parent, so that the delete guards do not count it.
    pub dependent: bool,
    /// What is special about which field; a field that is not listed is an ordinary one.
    pub fields: BTreeMap<Name, FieldSpec>,
    /// What a project declared it as, unless it is built in.
    pub definition: Option<Arc<OwnKind>>,
}

impl KindSpec {
    /// What is special about a field.
    pub fn field(&self, name: &str) -> &FieldSpec {
        self.fields.get(name).unwrap_or(&ORDINARY)
    }
}

/// The kinds that a plane knows.
#[derive(Clone, Debug, Default)]
pub struct Kinds(BTreeMap<Name, KindSpec>);

impl Kinds {
    /// Collects kinds; a later one of the same name wins.
    pub fn new(kinds: impl IntoIterator<Item = KindSpec>) -> Self {
        Self(kinds.into_iter().map(|kind| (kind.name.clone(), kind)).collect())
    }

    /// Adds kinds; one of a known name takes its place.
    pub fn add(&mut self, kinds: impl IntoIterator<Item = KindSpec>) {
        self.0.extend(kinds.into_iter().map(|kind| (kind.name.clone(), kind)));
    }

    /// Finds a kind by its name.
    pub fn get(&self, name: &str) -> Option<&KindSpec> {
        self.0.get(name)
    }

    /// All kinds in the order of plans.
    pub fn in_order(&self) -> Vec<&KindSpec> {
        let mut kinds: Vec<_> = self.0.values().collect();
        kinds.sort_by(|left, right| (left.order, &left.name).cmp(&(right.order, &right.name)));
        kinds
    }

    /// The place of a kind in a plan; an unknown kind comes last.
    pub fn order(&self, name: &str) -> u32 {
        self.get(name).map_or(u32::MAX, |kind| kind.order)
    }
}
