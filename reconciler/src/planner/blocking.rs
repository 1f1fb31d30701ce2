//! What stands in the way of a row, as words and ways out.
//!
//! Never here: finding it (`diff.rs`, `guard.rs`).

use holdfast_engine::Revision;

use crate::agents::{fields, kinds};
use crate::desired::Declared;
use crate::diff::{self, Conflict, Obstacle};
use crate::pasted::quoted;
use crate::plan::Blocked;
use crate::resource::{Address, KindName};
use crate::value::Value;

/// So many characters of a value are shown.
const SHOWN_MAX: usize = 120;

/// What the words about a row depend on beside the row.
#[derive(Clone, Copy)]
pub(super) struct Plan<'p> {
    /// The revision that a rollback goes back to.
    pub(super) rollback: Option<Revision>,
    /// Where the resource lives, if it moves.
    pub(super) origin: Option<&'p Address>,
}

/// A field that cannot be set; by what a manifest declares, or by what was declared at the revision of a rollback.
pub(super) fn conflict(declared: &Declared, conflict: &Conflict, plan: Plan<'_>) -> Blocked {
    let Plan { rollback, origin } = plan;
    let address = &declared.address;
    // What is live is so under the address that it leaves.
    let live_at = origin.unwrap_or(address);
    // The places of a rollback are those of then.
    let at = diff::position(declared, &conflict.path).filter(|_| rollback.is_none());
    let Conflict { path, owner, revision, declared: wanted, live, obstacle } = conflict;
    let field = path.top();
    let shown = |value: &Option<Value>| match value {
        None => "(secret)".to_owned(),
        Some(Value::Null) => "absent".to_owned(),
        Some(value) => shortened(&value.to_string()),
    };
    let (code, message, remedies) = match obstacle {
        Obstacle::Immutable => {
            let remedy = match origin {
                None => format!("remove `{address}`, apply, and declare it anew"),
                Some(from) => format!(
                    "declare `{path}` as it is live, or take the `[[moved]]` entry out: `{from}` is deleted then, and `{address}` is made"
                ),
            };
            ("E_IMMUTABLE", format!("`{path}` of `{live_at}` cannot be changed"), vec![remedy])
        }
        Obstacle::OtherSource => {
            let what = if field.is_empty() { format!("`{live_at}`") } else { format!("`{field}` of `{live_at}`") };
            let message = format!("{what} is declared by source `{owner}`");
            let mut remedies = other_source(live_at, Some(owner));
            if origin.is_some() {
                remedies.insert(0, format!("take the `[[moved]]` entry out: `{live_at}` is not of this project"));
            }
            ("E_OTHER_SOURCE", message, remedies)
        }
        Obstacle::OtherValue => {
            let message = format!("`{address}` is declared with another value by source `{owner}`");
            ("E_OTHER_SOURCE", message, other_source(address, None))
        }
        Obstacle::Actor => {
            let by = rollback.map_or("manifest".to_owned(), |back| back.to_string());
            let values = format!("{by}: {}, live: {}", shown(wanted), shown(live));
            let message = format!("`{field}` of `{address}` was set by `{owner}` ({values})");
            let take = format!("--take {}", quoted(&format!("{address} {field}={revision}")));
            let keep = match declared.secrets.get(&path.to_string()) {
                Some(secret) => format!("give `{}` the value that is live", secret.origin),
                None => format!("reconcile adopt {} {}", quoted(&address.to_string()), quoted(field)),
            };
            let remedies = match rollback {
                // No manifest has a say in it.
                Some(back) => vec![format!("reconcile rollback {back} {take}")],
                // What must be declared cannot be left out.
                None => [keep, format!("reconcile {take}")]
                    .into_iter()
                    .chain(
                        may_go(address, field)
                            .then(|| format!("delete what declares `{field}`, and `{owner}` keeps it")),
                    )
                    .collect(),
            };
            ("E_CONFLICT", message, remedies)
        }
    };
    Blocked {
        code: code.to_owned(),
        address: address.to_string(),
        path: Some(path.clone()).filter(|path| !path.steps().is_empty()),
        owner: Some(owner.clone()).filter(|_| *obstacle != Obstacle::Immutable),
        revision: Some(*revision),
        at,
        message,
        remedies,
    }
}

/// Whether a manifest may leave a field out.
fn may_go(address: &Address, field: &str) -> bool {
    fields::check_removal(address.kind.as_str(), field).is_ok()
}

/// The ways out where two sources declare one resource. A secret that both hold changes for both by hand: whoever then gives
/// the new value agrees with what is live.
fn other_source(address: &Address, owner: Option<&str>) -> Vec<String> {
    let mut remedies = vec!["delete it from one of the two projects".to_owned()];
    if let Some(owner) = owner {
        remedies.push(format!(
            "if this is the project `{owner}` under another name, keep `name = \"{owner}\"` in `[project]`"
        ));
    }
    if address.kind.as_str() == kinds::SECRET {
        let set = format!("`reconcile secret set {}`", quoted(address.name.as_str()));
        remedies.push(format!("to change it for both, {set} and give both projects that value"));
    }
    remedies
}

/// A value that fits on a line; a long one is told with its length, and `reconcile get` shows all of it.
fn shortened(text: &str) -> String {
    let characters = text.chars().count();
    if characters <= SHOWN_MAX {
        return text.to_owned();
    }
    format!("{}... ({characters} characters)", text.chars().take(SHOWN_MAX).collect::<String>())
}

/// A move whose both ends are live.
pub(super) fn both_live(declared: &Declared, from: &Address, revision: Revision) -> Blocked {
    let to = &declared.address;
    Blocked {
        code: "E_MOVED".to_owned(),
        address: to.to_string(),
        path: None,
        owner: None,
        revision: Some(revision),
        at: declared.at.clone(),
        message: format!("`{from}` cannot move to `{to}`, which is live already"),
        remedies: vec![format!("take the `[[moved]]` entry out: `{from}` is deleted then, and `{to}` stays")],
    }
}

/// A kind that another source declares with other fields.
pub(super) fn other_kind(name: &KindName, owner: &str, revision: Revision) -> Blocked {
    Blocked {
        code: "E_OTHER_SOURCE".to_owned(),
        address: format!("kind/{name}"),
        path: None,
        owner: Some(owner.to_owned()),
        revision: Some(revision),
        at: None,
        message: format!("the kind `{name}` is declared otherwise by source `{owner}`"),
        remedies: vec!["declare the same fields in both projects, or give one of the kinds another name".to_owned()],
    }
}
