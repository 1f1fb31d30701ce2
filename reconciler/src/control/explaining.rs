//! Where the values of a live resource come from: its record's life, read from the newest version backwards.
//!
//! Never here: why a session gets what it gets (`control/sessions.rs`).

use std::collections::{BTreeMap, BTreeSet};

use holdfast_engine::{Commit, Revision, Snapshot};

use super::resources;
use crate::agents::resolver::{AgentRequest, resolve};
use crate::agents::{fields, kinds};
use crate::apply;
use crate::commits;
use crate::embedded::{Plane, at_problem, rfc3339};
use crate::error::{Problem, ProblemKind};
use crate::kind::{Effect, KindSpec};
use crate::leaves::{parse_path, top_of};
use crate::pasted::quoted;
use crate::plane::{DeclaredBy, Origin, OriginQuery, Origins, Previous, SeenBy, SetBy};
use crate::planner;
use crate::resource::{Address, Declaration, OrgId, Record, keys};
use crate::suggest;
use crate::value::{FieldPath, PathError, Value, equal_field};
use crate::vault::record;
use crate::veil::Veil;

/// How many versions of a record are looked at.
const VERSIONS_MAX: usize = 1_000;
/// How many previous values of each path are given if nobody says.
const PREVIOUS_DEFAULT: usize = 10;
/// How many previous values of each path are given at most.
const PREVIOUS_MAX: usize = 100;
/// How many agents with open sessions are resolved to learn whether they look at a shared record.
const AGENTS_MAX: usize = 256;

pub(super) fn explain(plane: &Plane, query: &OriginQuery) -> Result<Origins, Problem> {
    let wanted = query.field.as_deref().map(|text| path(text, &query.address)).transpose()?;
    let snapshot = plane.snapshot_at(query.at)?;
    let org = plane.org(query.org.as_ref(), &snapshot);
    // The same answer as for looking at it, near matches and all.
    let live = resources::one(plane, Some(&org), &query.address, Some(snapshot.revision()))?;
    let veil = Veil::new(plane, &org)?;
    let life = Life::read(plane, &veil, &snapshot, &org, &query.address)?;
    let declarations = declarations(plane, &veil, &snapshot, &org, &query.address)?;
    let kinds = plane.kinds(&snapshot, &org)?;
    let kind = kinds.get(query.address.kind.as_str());
    let paths = match wanted {
        Some(path) => vec![life.known(path, &live.record, kind, &declarations, &query.address)?],
        None => paths(&live.record),
    };
    let limit = query.limit.unwrap_or(PREVIOUS_DEFAULT).min(PREVIOUS_MAX);
    let values: Vec<Origin> =
        paths.into_iter().map(|path| life.origin(path, &live.record, &declarations, limit)).collect();
    let newest = values.iter().filter_map(|value| value.set.as_ref()).map(|set| set.revision).max();
    let now = query.at.is_none().then(|| plane.actuation()).flatten();
    Ok(Origins {
        condition: now.and_then(|shared| shared.condition(&snapshot, &org, &query.address)),
        sessions: seen(plane, &snapshot, &org, &query.address, newest.unwrap_or(live.modified)),
        org,
        address: query.address.clone(),
        kind: live.kind,
        name: live.name,
        revision: snapshot.revision(),
        commit: snapshot.commit_id().to_string(),
        owner: live.record.owner.clone(),
        created: live.created,
        modified: live.modified,
        effect: kind.map_or(Effect::default(), |kind| kind.effect).as_text().to_owned(),
        values,
    })
}

fn path(text: &str, address: &Address) -> Result<FieldPath, Problem> {
    text.parse().map_err(|error: PathError| {
        let message = format!("`{text}` is no path of a value of `{address}`: {error}");
        Problem::new(ProblemKind::Invalid, "E_FIELD", message).help("write it as in `providerModelPreferences.z-ai`")
    })
}

/// Every field and every secret of a record.
fn paths(live: &Record) -> Vec<FieldPath> {
    let fields = live.fields.keys().map(FieldPath::field);
    let mut paths: Vec<FieldPath> = fields.chain(live.tags.keys().map(|path| parse_path(path))).collect();
    paths.sort();
    paths.dedup();
    paths
}

/// What a source declares of the resource.
struct Declares {
    declaration: std::sync::Arc<Declaration>,
    by: DeclaredBy,
}

fn declarations(
    plane: &Plane,
    veil: &Veil,
    snapshot: &Snapshot,
    org: &OrgId,
    address: &Address,
) -> Result<Vec<Declares>, Problem> {
    let mut all = Vec::new();
    for source in planner::sources(snapshot, org) {
        let key = keys::desired(org, &source, address);
        let Some(entry) = snapshot.get(&key) else { continue };
        let declaration =
            entry.decoded(|bytes| serde_json::from_slice::<Declaration>(bytes)).map_err(|_| planner::damaged(&key))?;
        let declaration = veil.declaration(address, declaration);
        let by = DeclaredBy {
            source: source.to_string(),
            at: declaration.at.clone(),
            revision: entry.modified(),
            git: commits::git_of(plane.engine(), entry.modified()),
            agrees: false,
        };
        all.push(Declares { declaration, by });
    }
    Ok(all)
}

/// What was at a path.
#[derive(Clone, Debug, PartialEq)]
enum At {
    Absent,
    Value(Value),
    Secret(String),
}

impl At {
    fn of(record: Option<&Record>, path: &FieldPath) -> Self {
        let Some(record) = record else { return Self::Absent };
        match (record.tags.get(&path.to_string()), path.get(&record.fields)) {
            (Some(tag), _) => Self::Secret(tag.clone()),
            (None, Some(value)) => Self::Value(value.clone()),
            (None, None) => Self::Absent,
        }
    }

    fn same(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Value(left), Self::Value(right)) => equal_field(Some(left), Some(right)),
            (left, right) => left == right,
        }
    }

    fn parts(self) -> (Option<Value>, Option<String>) {
        match self {
            Self::Absent => (None, None),
            Self::Value(value) => (Some(value), None),
            Self::Secret(tag) => (None, Some(tag)),
        }
    }
}

/// One version of a record.
struct Version {
    /// None after a delete.
    record: Option<std::sync::Arc<Record>>,
    by: SetBy,
    /// Whether nothing was there before it.
    first: bool,
}

/// The versions of a record that are kept, newest first.
struct Life(Vec<Version>);

impl Life {
    fn read(plane: &Plane, veil: &Veil, snapshot: &Snapshot, org: &OrgId, address: &Address) -> Result<Self, Problem> {
        let key = apply::key(keys::live(org, address))?;
        let log = plane.engine().key_log(&key, snapshot.revision(), VERSIONS_MAX).map_err(at_problem)?;
        let version = |version: holdfast_engine::KeyVersion| -> Result<Version, Problem> {
            let record = version.entry.as_ref().map(record).transpose();
            let record = record.map_err(|_| planner::damaged(key.as_str()))?;
            let record = record.map(|record| veil.record(address, record).record);
            let first = version.entry.as_ref().is_none_or(|entry| entry.created() == entry.modified());
            Ok(Version { record, by: set_by(&version.commit), first })
        };
        log.into_iter().map(version).collect::<Result<_, _>>().map(Self)
    }

    /// What the path was, newest first, each with the commit that made it so.
    fn runs(&self, path: &FieldPath) -> Vec<(At, Option<&SetBy>)> {
        let mut runs: Vec<(At, Option<&SetBy>)> = Vec::new();
        for (place, version) in self.0.iter().enumerate() {
            let at = At::of(version.record.as_deref(), path);
            // The oldest version that is kept made the value only if nothing was there before.
            let oldest = place + 1 == self.0.len();
            let by = (!oldest || version.first).then_some(&version.by);
            match runs.last_mut() {
                Some((same, since)) if same.same(&at) => *since = by,
                _ => runs.push((at, by)),
            }
        }
        if runs.last().is_some_and(|(at, _)| *at == At::Absent) {
            runs.pop();
        }
        runs
    }

    /// Whether there ever was something at a path, as far as is kept.
    fn ever(&self, path: &FieldPath) -> bool {
        self.0.iter().any(|version| At::of(version.record.as_deref(), path) != At::Absent)
    }

    fn origin(&self, path: FieldPath, live: &Record, declarations: &[Declares], limit: usize) -> Origin {
        let now = At::of(Some(live), &path);
        let mut runs = self.runs(&path).into_iter().peekable();
        let set = runs.next_if(|(at, _)| at.same(&now)).and_then(|(_, by)| by.cloned());
        let previous = runs.take(limit).map(|(at, by)| {
            let (value, tag) = at.parts();
            Previous { value, tag, set: by.cloned() }
        });
        let top = path.top();
        let previous: Vec<Previous> = previous.collect();
        let declared = declarations.iter().filter(|declares| declares.names(top));
        let by = |declares: &Declares| {
            let Declaration { at, places, .. } = &*declares.declaration;
            let (agrees, at) = (declares.agrees(&path, &now), places.of(&path, at.as_ref()));
            DeclaredBy { agrees, at, ..declares.by.clone() }
        };
        let declared: Vec<DeclaredBy> = declared.map(by).collect();
        let (value, tag) = now.parts();
        Origin {
            sensitive: tag.is_some() || previous.iter().any(|previous| previous.tag.is_some()),
            owner: live.owners.get(top).cloned(),
            declared,
            path,
            value,
            tag,
            set,
            previous,
        }
    }

    /// The path, if the resource has, had or may have such a value.
    fn known(
        &self,
        path: FieldPath,
        live: &Record,
        kind: Option<&KindSpec>,
        declarations: &[Declares],
        address: &Address,
    ) -> Result<FieldPath, Problem> {
        let records = self.0.iter().filter_map(|version| version.record.as_deref()).chain([live]);
        let mut tops: BTreeSet<&str> = BTreeSet::new();
        for record in records {
            tops.extend(record.fields.keys().chain(record.owners.keys()).map(String::as_str));
            tops.extend(record.tags.keys().map(|path| top_of(path)));
        }
        tops.extend(declarations.iter().flat_map(|declares| declares.declaration.fields.keys()).map(String::as_str));
        tops.extend(kind.into_iter().flat_map(|kind| kind.fields.keys()).map(|name| &**name));
        let top = path.top();
        let may_have = kind.is_some_and(|kind| match &kind.definition {
            Some(own) => own.check(top, &Value::Null).is_ok(),
            None => fields::check(&kind.name, top, &Value::Null).is_ok(),
        });
        if tops.contains(top) || may_have {
            let within = path.steps().len() > 1;
            if within && !self.ever(&path) && !declarations.iter().any(|declares| declares.has(&path)) {
                let message = format!("`{address}` has and had nothing at `{path}`");
                let problem = Problem::new(ProblemKind::NotFound, "E_FIELD", message);
                return Err(problem.help(format!(
                    "`reconcile explain {} {}` shows what is there",
                    quoted(&address.to_string()),
                    quoted(top)
                )));
            }
            return Ok(path);
        }
        let problem =
            Problem::new(ProblemKind::NotFound, "E_FIELD", format!("`{address}` has and had no field `{top}`"));
        Err(match suggest::nearest(top, tops) {
            Some(near) => problem.help(format!("did you mean `{near}`?")),
            None => problem.help(format!("`reconcile get {}` shows what it has", quoted(&address.to_string()))),
        })
    }
}

impl Declares {
    fn names(&self, top: &str) -> bool {
        let Declaration { fields, tags, lifecycle: _, protect: _, at: _, places: _ } = &*self.declaration;
        fields.contains_key(top) || tags.keys().any(|path| top_of(path) == top)
    }

    /// Whether it declares something at a path.
    fn has(&self, path: &FieldPath) -> bool {
        self.at(path) != At::Absent
    }

    fn at(&self, path: &FieldPath) -> At {
        match (self.declaration.tags.get(&path.to_string()), path.get(&self.declaration.fields)) {
            (Some(tag), _) => At::Secret(tag.clone()),
            (None, Some(value)) => At::Value(value.clone()),
            (None, None) => At::Absent,
        }
    }

    fn agrees(&self, path: &FieldPath, now: &At) -> bool {
        let declared = self.at(path);
        match (&declared, now) {
            (At::Value(declared), At::Absent) => equal_field(Some(declared), None),
            (declared, now) => declared.same(now),
        }
    }
}

fn set_by(commit: &Commit) -> SetBy {
    SetBy {
        revision: commit.revision,
        commit: commit.id.to_string(),
        time: rfc3339(commit.time),
        author: commit.author.clone(),
        message: commit.message.clone(),
        source: commit.source.clone(),
        git: commits::git(commit),
    }
}

/// The open sessions that look at the resource.
fn seen(plane: &Plane, snapshot: &Snapshot, org: &OrgId, address: &Address, newest: Revision) -> Vec<SeenBy> {
    if !kinds::is_read_by_sessions(address.kind.as_str()) {
        return Vec::new();
    }
    let open = plane.open_sessions().of(org);
    let own = matches!(address.kind.as_str(), kinds::SETTINGS | kinds::AGENT);
    let key = keys::live(org, address);
    let mut counted: BTreeMap<(Revision, String), u64> = BTreeMap::new();
    let mut looks: BTreeMap<(String, Option<String>), bool> = BTreeMap::new();
    for ((agent, user, revision), sessions) in open {
        let looked = if own {
            address.name.as_str() == agent
        } else if let Some(known) = looks.get(&(agent.clone(), user.clone())) {
            *known
        } else if looks.len() >= AGENTS_MAX {
            false
        } else {
            let looked = looks_at(plane, snapshot, org, (&agent, user.as_deref()), &key);
            looks.insert((agent.clone(), user), looked);
            looked
        };
        if looked {
            *counted.entry((revision, agent)).or_default() += sessions;
        }
    }
    let row = |((revision, agent), sessions)| SeenBy { agent, revision, sessions, current: revision >= newest };
    counted.into_iter().map(row).collect()
}

fn looks_at(plane: &Plane, snapshot: &Snapshot, org: &OrgId, who: (&str, Option<&str>), key: &str) -> bool {
    let Ok(vault) = plane.vault() else { return false };
    let (agent, user) = who;
    let request = AgentRequest { agent, user, allow_missing: true, ephemeral: &[], suggest: true };
    resolve(plane.world(snapshot, org, &vault), request).reads.iter().any(|read| read == key)
}
