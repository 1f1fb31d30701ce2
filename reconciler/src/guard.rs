//! Guards: what keeps a plan from being applied until somebody says so by name or number.
//!
//! Never here: the rows of a plan, and asking anybody.

use std::collections::BTreeSet;

use holdfast_engine::Revision;

use crate::kind::Kinds;
use crate::pasted::quoted;
use crate::plan::{Action, Blocked, Change, SessionChange};
use crate::resource::Address;

/// The code of a session that works and would fail.
pub(crate) const BREAKS: &str = "E_BREAKS";

/// A plan that deletes more than this share of a source's resources is blocked,
const DELETE_SHARE_PERCENT_MAX: usize = 20;
/// if they are at least this many.
const DELETE_SHARE_COUNT_MIN: usize = 3;

/// A session that works and would fail blocks until its agent is allowed by name (P13).
pub fn breaks(sessions: &[SessionChange], allowed: &BTreeSet<String>, revision: Revision) -> Vec<Blocked> {
    let broken = sessions.iter().filter(|session| session.breaks && !allowed.contains(&session.agent));
    broken
        .map(|session| Blocked {
            code: BREAKS.to_owned(),
            address: format!("agent/{}", session.agent),
            path: None,
            owner: None,
            revision: Some(revision),
            at: None,
            message: format!(
                "sessions of `{}` work now and would fail: {}",
                session.who(),
                session.error.as_deref().unwrap_or("unknown")
            ),
            remedies: vec![format!("--allow-break {}", quoted(&session.agent))],
        })
        .collect()
}

/// The pattern of a project's `protect` that names a resource.
pub fn protects<'p>(protect: &'p [String], address: &Address) -> Option<&'p str> {
    // Most projects protect nothing.
    let text = (!protect.is_empty()).then(|| address.to_string())?;
    let names = |pattern: &&String| match pattern.strip_suffix('*') {
        Some(prefix) => text.starts_with(prefix),
        None => **pattern == text,
    };
    protect.iter().find(names).map(String::as_str)
}

/// Who protects a resource from being deleted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Protection<'p> {
    /// This pattern of the `protect` of the project that is planned.
    Pattern(&'p str),
    /// What its declaration said before it went.
    Lifecycle,
    /// What a source declares of it, by this word, while somebody deletes it live.
    Declared {
        /// The source.
        source: &'p str,
        /// `protect` or `prevent_delete`.
        by: &'static str,
    },
}

/// A protected resource is not deleted.
pub fn protected(address: &Address, modified: Revision, protection: Protection<'_>) -> Blocked {
    let text = address.to_string();
    let why = match protection {
        Protection::Pattern(pattern) => format!("`protect` names `{pattern}`"),
        Protection::Lifecycle => "it was declared with `prevent_delete`".to_owned(),
        Protection::Declared { source, by } => format!("source `{source}` declares it with `{by}`"),
    };
    let remedy = match protection {
        Protection::Declared { by, .. } => format!("take its `{by}` out of the manifest, apply, and try again"),
        Protection::Pattern(_) | Protection::Lifecycle => {
            format!("put `{text}` back into the manifest, or lift its protection first")
        }
    };
    Blocked {
        code: "E_PROTECTED".to_owned(),
        address: text.clone(),
        path: None,
        owner: None,
        revision: Some(modified),
        at: None,
        message: format!("`{text}` is protected from being deleted: {why}"),
        remedies: vec![remedy],
    }
}

/// What the guard against deleting too much looks at.
pub struct Deletes<'d, I> {
    /// The rows of the plan.
    pub changes: &'d [Change],
    /// The kinds: those that go with a parent are not counted.
    pub kinds: &'d Kinds,
    /// The kind of each resource that the source declared before.
    pub declared_before: I,
    /// Whether the source declares nothing any more.
    pub empty: bool,
    /// The revision that the source is rolled back to.
    pub rollback: Option<Revision>,
    /// The number of deletes that the caller gave.
    pub told: Option<u64>,
    /// Whether rows are blocked, and so not counted yet.
    pub rows_blocked: bool,
    /// The head.
    pub revision: Revision,
}

/// Says that a number of deletes is not the one that was confirmed.
pub(crate) fn confirmed(deletes: u64, told: Option<u64>) -> String {
    let what = match deletes {
        0 => "nothing".to_owned(),
        1 => "1 resource".to_owned(),
        _ => format!("{deletes} resources"),
    };
    match told {
        Some(1) => format!("the plan deletes {what}, and 1 was confirmed"),
        Some(told) => format!("the plan deletes {what}, and {told} were confirmed"),
        None => format!("the plan deletes {what}, and nobody confirmed that number"),
    }
}

/// An emptied source, or one that loses a large share, blocks until the number of deletes is given; a number that is another than
/// the plan's blocks any plan that does something. A plan of nothing does not: the same command may be run again. While rows are
/// blocked the number is not known, and the plan is blocked anyway.
pub fn deletes<'d>(deletes: Deletes<'d, impl Iterator<Item = &'d str>>) -> Option<Blocked> {
    let Deletes { changes, kinds, declared_before, empty, rollback, told, rows_blocked, revision } = deletes;
    let counts = |kind: &str| !kinds.get(kind).is_some_and(|kind| kind.dependent);
    let all = changes.iter().filter(|change| change.action == Action::Delete).count();
    let (count, right) = (all as u64, format!("--allow-delete {all}"));
    if let Some(told) = told.filter(|told| *told != count && !rows_blocked && !changes.is_empty()) {
        let remedy = if all == 0 { "leave `--allow-delete` out".to_owned() } else { right };
        return Some(too_many(confirmed(count, Some(told)), remedy, revision));
    }
    if told == Some(count) || all == 0 {
        return None;
    }
    let deleted =
        changes.iter().filter(|change| change.action == Action::Delete && counts(change.kind.as_str())).count();
    let message = if empty {
        let resources = if all == 1 { "resource" } else { "resources" };
        let nothing = rollback.map_or_else(
            || "the manifests declare nothing any more".to_owned(),
            |then| format!("the source declared nothing at {then}"),
        );
        format!("{nothing}, and {all} {resources} would be deleted")
    } else if deleted >= DELETE_SHARE_COUNT_MIN {
        // A source that declared so many may lose these: a large one is not counted to its end.
        let enough = (deleted * 100).div_ceil(DELETE_SHARE_PERCENT_MAX);
        let before = declared_before.filter(|kind| counts(kind)).take(enough).count();
        if before == enough {
            return None;
        }
        format!("{deleted} of {before} resources of the source would be deleted")
    } else {
        return None;
    };
    Some(too_many(message, right, revision))
}

fn too_many(message: String, remedy: String, revision: Revision) -> Blocked {
    Blocked {
        code: "E_DELETES".to_owned(),
        address: String::new(),
        path: None,
        owner: None,
        revision: Some(revision),
        at: None,
        message,
        remedies: vec![remedy],
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::agents::kinds;
    use crate::plan::Reason;
    use crate::resource::OrgId;

    fn gone(kind: &str, count: usize) -> Vec<Change> {
        let one = |number| {
            let address: Address = format!("{kind}/{number}").parse().unwrap();
            Change {
                kind: address.kind.clone(),
                name: address.name.clone(),
                address,
                org: OrgId::default(),
                action: Action::Delete,
                reason: Reason::RemovedFromManifest,
                from: None,
                fields: Vec::new(),
                effect: String::new(),
                affects: Vec::new(),
                at: None,
            }
        };
        (0..count).map(one).collect()
    }

    /// What blocks the deletes of some agents of so many, and how many of them were counted.
    fn blocked(deleted: usize, before: usize) -> (Option<String>, usize) {
        let (changes, kinds) = ([gone("agent", deleted), gone("settings", deleted)].concat(), kinds::kinds());
        let mut counted = 0;
        let declared_before = std::iter::repeat_n("agent", before).inspect(|_| counted += 1);
        let (changes, kinds, revision) = (changes.as_slice(), &kinds, Revision::ZERO);
        let found = deletes(Deletes {
            changes,
            kinds,
            declared_before,
            empty: false,
            rollback: None,
            told: None,
            rows_blocked: false,
            revision,
        });
        (found.map(|blocked| blocked.message), counted)
    }

    #[test]
    fn a_large_share_is_blocked_and_a_small_one_is_told_without_counting_all() {
        assert_eq!(blocked(3, 14).0.as_deref(), Some("3 of 14 resources of the source would be deleted"));
        assert_eq!(blocked(3, 15), (None, 15));
        assert_eq!(blocked(3, 100_000), (None, 15));
        assert_eq!(blocked(2, 2), (None, 0), "two are too few to be a share");
        assert_eq!(blocked(1, 100_000), (None, 0));
    }
}
