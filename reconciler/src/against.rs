//! Exported states: what a file with live resources says, written and read.
//!
//! Never here: planning against one (`ground.rs`).

use std::collections::BTreeMap;

use holdfast_engine::Revision;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::error::{Problem, ProblemKind};
use crate::kind_record::KindRecord;
use crate::plane::{ControlPlane, ResourceInfo, ResourcesQuery};
use crate::resource::{Address, Declaration, KindName, OrgId, Record, ResourceName, SourceName};
use crate::value::{Fields, is_absent, remove_nulls};

pub use crate::ground::{Ground, plan_against};

/// The name of the format.
const FORMAT: &str = "holdfast/state";
/// The newest version of it that this program reads.
const VERSION: u64 = 1;
/// How many resources an export reads at a time.
const EXPORT_PAGE: usize = 10_000;

/// An exported state.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct State {
    /// Always `holdfast/state`.
    pub format: String,
    /// The version of the format.
    pub version: u64,
    /// The revision that was exported.
    #[serde(default)]
    pub revision: u64,
    /// The organisation's own kinds; an export of an earlier build has none.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub kinds: Vec<KindRecord>,
    /// The live resources.
    pub resources: Vec<StateRow>,
}

/// One resource of an exported state. Only kind, name and fields are required.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct StateRow {
    /// Its organisation; the plan's if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub org: Option<OrgId>,
    /// Its kind.
    pub kind: String,
    /// Its name.
    pub name: String,
    /// Its fields.
    pub fields: Fields,
    /// Its owner.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub owner: Option<String>,
    /// The owner of each field.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub owners: BTreeMap<String, String>,
    /// The tags of its secrets.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub tags: BTreeMap<String, String>,
    /// When a secret stops counting, in milliseconds since the Unix epoch.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires_ms: Option<i64>,
}

impl StateRow {
    /// Its address.
    ///
    /// # Errors
    /// Names the part that is malformed.
    pub fn address(&self) -> Result<Address, Problem> {
        address(&self.kind, &self.name)
    }
}

/// The address of a row.
pub(crate) fn address(kind: &str, name: &str) -> Result<Address, Problem> {
    let kind = KindName::new(kind).map_err(|error| invalid(&error))?;
    Ok(Address::new(kind, ResourceName::new(name).map_err(|error| invalid(&error))?))
}

/// Makes the exported state of an organisation, page by page, all as of one revision: the head, or another.
///
/// # Errors
/// `Gone` or `NotFound` for a revision that is compacted or in the future.
pub fn export(plane: &dyn ControlPlane, org: Option<OrgId>, at: Option<Revision>) -> Result<State, Problem> {
    let mut query = ResourcesQuery { org, at, limit: Some(EXPORT_PAGE), kinds: true, ..ResourcesQuery::default() };
    let mut state =
        State { format: FORMAT.to_owned(), version: VERSION, revision: 0, kinds: Vec::new(), resources: Vec::new() };
    loop {
        let page = plane.resources(&query)?;
        state.revision = page.revision.get();
        state.resources.extend(page.resources.into_iter().map(row_of));
        state.kinds.extend(page.kinds);
        let Some(next) = page.next else { return Ok(state) };
        (query.at, query.after, query.kinds) = (Some(page.revision), Some(next), false);
    }
}

fn row_of(info: ResourceInfo) -> StateRow {
    let ResourceInfo { org, kind, name, record, .. } = info;
    let Record { fields, owner, owners, tags, expires_ms } = record;
    StateRow { org: Some(org), kind, name, fields, owner, owners, tags, expires_ms }
}

/// The live record that a row stands for.
pub(crate) fn record_of(row: StateRow) -> Record {
    let StateRow { org: _, kind: _, name: _, mut fields, owner, owners, tags, expires_ms } = row;
    fields.retain(|_, value| !is_absent(value));
    fields.values_mut().for_each(remove_nulls);
    Record { fields, owner, owners, tags, expires_ms }
}

/// What a source that owns a record counts as having declared: what it owns of it.
pub(crate) fn declaration_of(record: &Record, source: &SourceName) -> Declaration {
    let ours = |name: &String| record.owners.get(name).is_none_or(|owner| owner == source.as_str());
    let fields = record.fields.iter().filter(|(name, _)| ours(name));
    Declaration {
        fields: fields.map(|(name, value)| (name.clone(), value.clone())).collect(),
        tags: record.tags.clone(),
        ..Declaration::default()
    }
}

/// Reads an exported state.
///
/// # Errors
/// Text that is not one, or one of a later version.
pub fn parse(text: &[u8]) -> Result<State, Problem> {
    let state: State = decode(text)?;
    check(&state)?;
    Ok(state)
}

pub(crate) fn decode<T: DeserializeOwned>(text: &[u8]) -> Result<T, Problem> {
    let problem = |error: &dyn std::error::Error| {
        Problem::from_error(ProblemKind::Invalid, "E_STATE", error).help("export a state with `reconcile export`")
    };
    // Looked at as a whole once, its strings need not be looked at one by one.
    let text = std::str::from_utf8(text).map_err(|error| problem(&error))?;
    serde_json::from_str(text).map_err(|error| problem(&error))
}

/// Whether a state has the form that this program reads.
pub(crate) fn check(state: &State) -> Result<(), Problem> {
    check_form(&state.format, state.version)
}

pub(crate) fn check_form(format: &str, version: u64) -> Result<(), Problem> {
    if format != FORMAT || version != VERSION {
        let message = format!("the state has format `{format}` version {version}");
        let help = format!("this program reads `{FORMAT}` version {VERSION}");
        return Err(Problem::new(ProblemKind::Invalid, "E_STATE", message).help(help));
    }
    Ok(())
}

fn invalid(error: &dyn std::error::Error) -> Problem {
    Problem::from_error(ProblemKind::Invalid, "E_STATE", error)
}
