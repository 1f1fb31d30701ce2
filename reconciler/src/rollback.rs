//! Rollbacks: what a source declared at an earlier revision, as desired state, so that putting it back is a plan like any other.
//!
//! Pure. Never here: planning and guarding it (`planner.rs`), and the hold that keeps a loop from undoing it (`hold.rs`).

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::Arc;

use holdfast_engine::{Digest, Revision, Snapshot};

use crate::agents::kinds;
use crate::desired::{Declared, Desired, SecretInput, SecretOrigin};
use crate::diagnostic::Diagnostic;
use crate::error::{Problem, ProblemKind};
use crate::kind::Kinds;
use crate::kind_record;
use crate::own_kind::OwnKind;
use crate::planner::{self, damaged};
use crate::resource::{Address, Declaration, OrgId, Record, SourceName, keys};
use crate::vault;
use crate::veil;

/// How many of them a refusal names.
const NAMED_MAX: usize = 20;

/// The source that a rollback is about: the one that is named, else the project's directory if it is one, else the
/// organisation's only one. One that declares nothing now counts if it did then.
///
/// # Errors
/// Lists the sources if it is none or not clear.
pub(crate) fn source(
    past: &Snapshot,
    snapshot: &Snapshot,
    org: &OrgId,
    desired: &Desired,
) -> Result<SourceName, Problem> {
    let mut sources = planner::known_sources(snapshot, org);
    let then = planner::sources(past, org).into_iter().filter(|source| !sources.contains(source));
    let then: Vec<SourceName> = then.collect();
    sources.extend(then);
    one_source(&sources, org, desired.source.name.as_ref(), desired.source.directory.as_ref())
}

/// The one of some sources that is meant.
pub(crate) fn one_source(
    sources: &[SourceName],
    org: &OrgId,
    named: Option<&SourceName>,
    directory: Option<&SourceName>,
) -> Result<SourceName, Problem> {
    let list = || sources.iter().map(SourceName::as_str).collect::<Vec<_>>().join(", ");
    if let Some(named) = named {
        if sources.contains(named) {
            return Ok(named.clone());
        }
        let problem = Problem::new(
            ProblemKind::NotFound,
            "E_NOT_FOUND",
            format!("`{named}` is no source of organisation `{org}`"),
        );
        return Err(match sources.is_empty() {
            true => problem.help("nothing was applied yet"),
            false => problem.help(format!("the sources are {}", list())),
        });
    }
    if let Some(directory) = directory.filter(|directory| sources.contains(directory)) {
        return Ok(directory.clone());
    }
    match sources {
        [only] => Ok(only.clone()),
        [] => Err(Problem::new(ProblemKind::NotFound, "E_NOT_FOUND", format!("organisation `{org}` has no source"))
            .help("nothing was applied yet")),
        _ => Err(Problem::new(ProblemKind::Invalid, "E_SOURCE", "it is not clear which source is meant")
            .help(format!("name one with `--source`: {}", list()))),
    }
}

/// What the source declared at the past revision, under the policy of now: that of its manifests, if they were read, else what
/// the source declared last is protected as it was. Secrets stay out: they are as they are. So are
/// sensitive values of other kinds, as far as they are still sealed; a finding names each that is not.
///
/// # Errors
/// A record that cannot be read.
pub(crate) fn desired(
    past: &Snapshot,
    snapshot: &Snapshot,
    org: &OrgId,
    source: &SourceName,
    policy: &Desired,
) -> Result<Desired, Problem> {
    let prefix = keys::desired_prefix(org, source);
    let (mut resources, mut diagnostics) = (Vec::new(), Vec::new());
    let mut text = String::new();
    for (key, entry) in past.prefix(&prefix) {
        let address: Address = key.as_str()[prefix.len()..].parse().map_err(|_| damaged(key.as_str()))?;
        if address.kind.as_str() == kinds::SECRET {
            continue;
        }
        let declaration: Declaration = serde_json::from_slice(entry.value()).map_err(|_| damaged(key.as_str()))?;
        let _ = writeln!(text, "{address} {}", entry.modified());
        let live = live(snapshot, org, &address)?;
        let sealed = |path: &String| live.as_ref().is_some_and(|live| live.tags.contains_key(path));
        let mut secrets = BTreeMap::new();
        for path in declaration.tags.keys() {
            if sealed(path) {
                secrets.insert(path.clone(), SecretInput { origin: SecretOrigin::Sealed, value: None });
            } else {
                let message = format!("`{path}` of `{address}` is not kept, so it comes back without it");
                let help = "apply the manifest that has its reference, or set it where it is used";
                diagnostics.push(Diagnostic::warning("W_VALUE_GONE", message).help(help));
            }
        }
        let Declaration { fields, lifecycle, at, places, .. } = declaration;
        let field_at = places.in_hand(at.as_ref());
        resources.push(Arc::new(Declared { address, fields, secrets, at, field_at, lifecycle }));
    }
    resources.sort_by(|left, right| left.address.cmp(&right.address));
    let records = kind_record::records(past, org)?.into_iter();
    let ours = records.filter(|(_, record)| record.sources.contains(source.as_str()));
    Ok(Desired {
        source: policy.source.clone(),
        org: policy.org.clone(),
        git: None,
        digest: Digest::of_parts("holdfast rollback", &[text.as_bytes()]).to_string(),
        on_drift: policy.on_drift,
        protect: match policy.digest.is_empty() {
            true => protected(snapshot, org, source)?,
            false => policy.protect.clone(),
        },
        loop_policy: policy.loop_policy,
        moved: Vec::new(),
        kinds: ours.map(|(_, record)| record.definition).collect(),
        resources,
        diagnostics,
    })
}

/// The resources that the source's `protect` named when it was applied last.
fn protected(snapshot: &Snapshot, org: &OrgId, source: &SourceName) -> Result<Vec<String>, Problem> {
    let prefix = keys::desired_prefix(org, source);
    let mut protected = Vec::new();
    for (key, entry) in snapshot.prefix(&prefix) {
        if vault::declaration(entry).map_err(|_| damaged(key.as_str()))?.protect {
            protected.push(key.as_str()[prefix.len()..].to_owned());
        }
    }
    Ok(protected)
}

/// Refuses a rollback that would put back in clear what is a secret now: values of then that the kinds of now call secrets, else
/// kinds of then that call no secret what those of now do.
///
/// # Errors
/// Names each such value and field.
pub(crate) fn check_seals(desired: &Desired, known: &Kinds, to: Revision) -> Result<(), Problem> {
    let mut unsealed: Vec<(String, String)> = Vec::new();
    for declared in &desired.resources {
        let Some(kind) = known.get(declared.address.kind.as_str()) else { continue };
        let paths = veil::in_clear(kind, &declared.fields).into_iter();
        unsealed.extend(paths.map(|path| (declared.address.to_string(), path.to_string())));
    }
    let kinds: &[OwnKind] = if unsealed.is_empty() { &desired.kinds } else { &[] };
    for then in kinds {
        let now = known.get(then.name.as_str()).and_then(|kind| kind.definition.as_ref());
        let paths = now.map_or(Vec::new(), |now| then.unseals(now)).into_iter();
        unsealed.extend(paths.map(|path| (format!("kind/{}", then.name), path)));
    }
    if unsealed.is_empty() {
        return Ok(());
    }
    let told =
        |(address, path): &(String, String)| format!("`{path}` of `{address}` is a secret now and was none at {to}");
    let mut causes: Vec<String> = unsealed.iter().take(NAMED_MAX).map(told).collect();
    if unsealed.len() > causes.len() {
        causes.push(format!("so it is with {} more", unsealed.len() - causes.len()));
    }
    let message = format!("a rollback to {to} would put secrets back in clear");
    let help =
        "apply manifests that give them by references such as `$NAME`, or roll back to a revision that has them sealed";
    let problem = Problem::new(ProblemKind::Blocked, "E_UNSEALS", message).help(help);
    Err(Problem { causes, ..problem })
}

fn live(snapshot: &Snapshot, org: &OrgId, address: &Address) -> Result<Option<Record>, Problem> {
    let key = keys::live(org, address);
    let Some(entry) = snapshot.get(&key) else { return Ok(None) };
    serde_json::from_slice(entry.value()).map(Some).map_err(|_| damaged(&key))
}

/// What the commit of a rollback says if nobody says more.
pub(crate) fn message(to: Revision) -> String {
    format!("rollback to {to}")
}
