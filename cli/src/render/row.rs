//! The rows of a plan: what is listed under the headings of kinds, in which order, and each row's first line.
//!
//! Changes, blocked resources, unmanaged and unchanged ones become rows of one sort here, so that every form (text,
//! Markdown) lists the same ones and their number is the summary's. Never here: values below a row, and the sections
//! after the rows.

use std::collections::BTreeMap;

use holdfast_reconciler::diagnostic::Position;
use holdfast_reconciler::kind::Kinds;
use holdfast_reconciler::plan::{Action, Blocked, Change, Plan, Reason};

use super::ink::Role;

/// Which rows are listed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Listed {
    /// Those that need attention.
    #[default]
    Relevant,
    /// Unchanged ones too.
    All,
}

/// One row.
#[derive(Clone, Debug)]
pub(crate) struct Row<'p> {
    /// The kind.
    pub(crate) kind: &'p str,
    /// The name inside the kind.
    pub(crate) name: &'p str,
    /// What it says.
    pub(crate) what: What<'p>,
}

/// What a row says of its resource.
#[derive(Clone, Debug)]
pub(crate) enum What<'p> {
    /// It changes.
    Change(&'p Change),
    /// It would change and may not.
    Blocked(Vec<&'p Blocked>),
    /// It is live and in no manifest.
    Unmanaged,
    /// It is as declared.
    Unchanged,
}

/// The rows under one heading.
#[derive(Clone, Debug)]
pub(crate) struct Section<'p> {
    /// The heading, such as `agents`.
    pub(crate) heading: &'p str,
    /// In byte order of the names.
    pub(crate) rows: Vec<Row<'p>>,
}

/// Lists all rows, the kinds in the order of dependencies and unknown ones last.
pub(crate) fn sections<'p>(plan: &'p Plan, kinds: &'p Kinds, listed: Listed) -> Vec<Section<'p>> {
    let mut by_place: BTreeMap<(u32, &str), Vec<Row<'p>>> = BTreeMap::new();
    let mut put = |kind: &'p str, name: &'p str, what: What<'p>| {
        by_place.entry((kinds.order(kind), kind)).or_default().push(Row { kind, name, what });
    };
    for change in &plan.changes {
        put(change.kind.as_str(), change.name.as_str(), What::Change(change));
    }
    for (address, blocks) in blocked_rows(plan) {
        let (kind, name) = split(address);
        put(kind, name, What::Blocked(blocks));
    }
    for address in &plan.unmanaged {
        let (kind, name) = split(address);
        put(kind, name, What::Unmanaged);
    }
    if listed == Listed::All {
        for address in plan.unchanged.iter() {
            let (kind, name) = split(address);
            put(kind, name, What::Unchanged);
        }
    }
    let section = |((_, kind), mut rows): ((u32, &'p str), Vec<Row<'p>>)| {
        rows.sort_by_key(|row| row.name);
        Section { heading: kinds.get(kind).map_or(kind, |spec| &spec.heading), rows }
    };
    by_place.into_iter().map(section).collect()
}

/// The blocked resources with what blocks each. A guard that is about the whole plan or about a session is no row: it
/// stands below the summary only.
pub(crate) fn blocked_rows(plan: &Plan) -> BTreeMap<&str, Vec<&Blocked>> {
    let mut rows: BTreeMap<&str, Vec<&Blocked>> = BTreeMap::new();
    for blocked in plan.blocked.iter().filter(|blocked| is_row(blocked)) {
        rows.entry(&blocked.address).or_default().push(blocked);
    }
    rows
}

/// The guards that are about sessions and about the plan as a whole.
const GUARDS: [&str; 2] = ["E_BREAKS", "E_DELETES"];

/// Whether a block is about a resource, which then has a row.
pub(crate) fn is_row(blocked: &Blocked) -> bool {
    !GUARDS.contains(&blocked.code.as_str())
}

fn split(address: &str) -> (&str, &str) {
    address.split_once('/').unwrap_or(("", address))
}

impl Row<'_> {
    /// The mark in front of the row.
    pub(crate) fn mark(&self) -> (char, Role) {
        match &self.what {
            What::Change(change) => mark(change.action),
            What::Blocked(_) => ('!', Role::Error),
            What::Unmanaged => ('?', Role::Quiet),
            What::Unchanged => ('=', Role::Quiet),
        }
    }

    /// The top-level fields that the row is about, each once, in the order of the plan; none for a whole resource.
    pub(crate) fn fields(&self) -> Vec<&str> {
        let all: Vec<&str> = match &self.what {
            What::Change(change) if matches!(change.action, Action::Update | Action::Move) => {
                change.fields.iter().map(|field| field.path.top()).collect()
            }
            What::Blocked(blocks) => blocks.iter().filter_map(|block| block.path.as_ref()).map(|p| p.top()).collect(),
            What::Change(_) | What::Unmanaged | What::Unchanged => Vec::new(),
        };
        let mut fields: Vec<&str> = Vec::with_capacity(all.len());
        for field in all {
            if !field.is_empty() && !fields.contains(&field) {
                fields.push(field);
            }
        }
        fields
    }

    /// What stands at the right: where it is declared, or why it is listed.
    pub(crate) fn comment(&self) -> String {
        match &self.what {
            What::Change(change) => change_comment(change),
            What::Blocked(blocks) => {
                let mut codes: Vec<&str> = blocks.iter().map(|block| block.code.as_str()).collect();
                codes.dedup();
                format!("blocked: {}", codes.join(", "))
            }
            What::Unmanaged => "in no manifest".to_owned(),
            What::Unchanged => String::new(),
        }
    }
}

/// The mark of what happens to a resource.
pub(crate) fn mark(action: Action) -> (char, Role) {
    match action {
        Action::Create => ('+', Role::Create),
        Action::Update => ('~', Role::Update),
        Action::Delete => ('-', Role::Delete),
        Action::Move => ('>', Role::Move),
    }
}

fn change_at(change: &Change) -> Option<&Position> {
    let of_field = || change.fields.iter().find_map(|field| field.at.as_ref());
    match change.action {
        Action::Update => of_field().or(change.at.as_ref()),
        Action::Create | Action::Delete | Action::Move => change.at.as_ref(),
    }
}

fn change_comment(change: &Change) -> String {
    let at = change_at(change);
    let why = match change.reason {
        Reason::NewInManifest | Reason::ManifestChanged => return at.map(place).unwrap_or_default(),
        Reason::RemovedFromManifest => {
            return format!("removed from {}", at.map_or("the manifests", |at| &*at.file));
        }
        Reason::DefaultChanged => "a default changed",
        Reason::DriftRepair => "drift repair",
        Reason::Moved => match &change.from {
            Some(from) => return format!("moved from {from}"),
            None => "moved",
        },
        Reason::Rollback if change.action == Action::Delete => "was not there",
        Reason::Rollback => "put back",
        Reason::Take => "take",
    };
    at.map_or(why.to_owned(), |at| format!("{}, {why}", place(at)))
}

/// A position as people write it.
pub(crate) fn place(at: &Position) -> String {
    format!("{}:{}", at.file, at.line)
}
