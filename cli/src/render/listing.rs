//! History, one commit, one resource, secrets, status and verification as text.
//!
//! Unknown is written `unknown`, never left out. Never here: a plan (`text.rs`) and a session (`session.rs`).

use holdfast_engine::Revision;
use holdfast_reconciler::attempts::Attempt;
use holdfast_reconciler::controller::{LoopState, LoopStatus};
use holdfast_reconciler::plane::{
    CommitInfo, CommitsPage, Held, ProfileInfo, ResourceInfo, Retention, RotatedOrg, Rotation, SecretInfo,
    SourceStatus, Status, Storage, TokenInfo, Verification,
};
use holdfast_reconciler::raw_value::RawValue;

use serde::Serialize;

use super::conditions::conditions;
use super::ink::{Role, Text, table};
use super::row::place;
use super::text::{counted, counts, git, short};
use super::value::{Length, inline, secret};
use super::{compare, keeping};

/// Draws commits, newest first, one on a line.
pub(crate) fn history(page: &CommitsPage) -> Text {
    let rows: Vec<_> = page
        .commits
        .iter()
        .map(|commit| {
            vec![
                (Role::Strong, commit.revision.to_string()),
                (Role::Quiet, commit.time.clone()),
                (Role::Plain, commit.author.clone()),
                (Role::Plain, commit.source.clone().unwrap_or_default()),
                (Role::Plain, commit.git.as_ref().map(git).unwrap_or_default()),
                (Role::Plain, commit.summary.as_ref().map(counts).unwrap_or_default()),
                (Role::Quiet, commit.plan.as_deref().map(|plan| format!("plan {}", short(plan))).unwrap_or_default()),
                (Role::Plain, commit.message.clone()),
            ]
        })
        .collect();
    table(&rows, 0)
}

/// Draws one commit with the keys that it touched.
pub(crate) fn commit(info: &CommitInfo) -> Text {
    let CommitInfo {
        revision,
        commit,
        parent,
        time,
        author,
        message,
        source,
        git: state,
        plan,
        summary,
        rollback,
        changes,
    } = info;
    let mut text = Text::new();
    text.add(Role::Strong, format!("Commit {revision}")).end().end();
    let mut facts = vec![("id", commit.clone()), ("parent", parent.clone()), ("time", time.clone())];
    facts.push(("author", author.clone()));
    facts.extend((!message.is_empty()).then(|| ("message", message.clone())));
    facts.extend(source.iter().map(|source| ("source", source.clone())));
    facts.extend(state.iter().map(|state| ("git", git(state))));
    facts.extend(plan.iter().map(|plan| ("plan", plan.clone())));
    facts.extend(rollback.iter().map(|to| ("rollback", format!("to {to}"))));
    facts.extend(summary.iter().map(|summary| ("counts", counts(summary))));
    text.append(table(&named(facts), 2));
    if !changes.is_empty() {
        text.end().add(Role::Strong, "Changes:").end();
    }
    let rows: Vec<_> = changes
        .iter()
        .map(|change| vec![(Role::Quiet, change.op.clone()), (Role::Plain, change.key.clone())])
        .collect();
    text.append(table(&rows, 2));
    text
}

/// Draws one live resource with its owners.
pub(crate) fn resource(info: &ResourceInfo, length: Length) -> Text {
    let mut text = Text::new();
    text.add(Role::Strong, info.address.to_string());
    text.plain(format!("   {}   version {}   org {}", info.modified, info.version, info.org)).end().end();
    let mut facts = vec![("created", info.created.to_string()), ("modified", info.modified.to_string())];
    facts.push(("owner", info.record.owner.clone().unwrap_or("nobody".to_owned())));
    text.append(table(&named(facts), 2));
    if !(info.record.fields.is_empty() && info.record.tags.is_empty()) {
        text.end().add(Role::Strong, "Fields:").end();
    }
    let mut line = |name: &str, value: String| {
        text.plain("  ").add(Role::Quiet, format!("{name}: ")).plain(value);
        let top = name.split(['.', '[']).next().unwrap_or(name);
        let owner = info.record.owners.get(name).or_else(|| info.record.owners.get(top));
        if let Some(owner) = owner.filter(|owner| Some(*owner) != info.record.owner.as_ref()) {
            text.pad(0, 3).add(Role::Quiet, format!("owner {owner}"));
        }
        text.end();
    };
    for (name, value) in &info.record.fields {
        line(name, inline(value, length));
    }
    for (path, tag) in &info.record.tags {
        line(path, secret(Some(tag)));
    }
    text
}

/// A raw value with its revisions.
#[derive(Serialize)]
pub(crate) struct Raw {
    /// Its key inside the organisation, as in `kv/a/b`.
    pub(crate) key: String,
    /// Its bytes.
    pub(crate) value: RawValue,
    /// The revision that made it.
    pub(crate) created: Revision,
    /// The revision that last touched it.
    pub(crate) modified: Revision,
    /// How often it was written since it was made.
    pub(crate) version: u64,
}

/// Draws a raw value.
pub(crate) fn raw(found: &Raw, length: Length) -> Text {
    let Raw { key, value, created, modified, version } = found;
    let mut text = Text::new();
    text.add(Role::Strong, key).plain(format!("   {modified}   version {version}")).end().end();
    text.append(table(&named(vec![("created", created.to_string()), ("modified", modified.to_string())]), 2));
    text.end().plain("  ").plain(compare::shown(value, length)).end();
    text
}

/// Draws access tokens without themselves.
pub(crate) fn tokens(tokens: &[TokenInfo]) -> Text {
    let rows: Vec<_> = tokens
        .iter()
        .map(|token| {
            let (expires, role) = match token.expired {
                true => (format!("expired {}", token.expires), Role::Warning),
                false => (format!("expires {}", token.expires), Role::Plain),
            };
            vec![
                (Role::Strong, token.name.clone()),
                (Role::Quiet, token.id.clone()),
                (Role::Plain, token.role.to_string()),
                (Role::Plain, token.reach.to_string()),
                (Role::Plain, token.modified.to_string()),
                (Role::Plain, format!("owner {}", token.owner)),
                (role, expires),
            ]
        })
        .collect();
    table(&rows, 0)
}

/// Draws shared secrets without their values.
pub(crate) fn secrets(secrets: &[SecretInfo]) -> Text {
    let rows: Vec<_> = secrets
        .iter()
        .map(|info| {
            vec![
                (Role::Plain, info.name.clone()),
                (Role::Quiet, secret(info.tag.as_deref())),
                (Role::Plain, info.modified.to_string()),
                (Role::Plain, format!("owner {}", info.owner.as_deref().unwrap_or("unknown"))),
                (Role::Warning, info.expires.as_deref().map(|at| format!("expires {at}")).unwrap_or_default()),
            ]
        })
        .collect();
    table(&rows, 0)
}

/// Draws how a rotation of the master key ended.
pub(crate) fn rotation(rotation: &Rotation) -> Text {
    let Rotation { key, resumed, organisations } = rotation;
    let mut text = Text::new();
    let Some(key) = key else {
        text.line("there is no master key yet: nothing was ever sealed");
        return text;
    };
    let how = if *resumed { "went on with" } else { "made" };
    text.line(format!("Rotated: {how} key {key}, which seals from now on"));
    for RotatedOrg { org, revision, records } in organisations {
        text.line(format!("  {org}: {} sealed anew in {revision}", counted(*records, "record")));
    }
    text
}

/// Draws the profiles of users without their values.
pub(crate) fn profiles(profiles: &[ProfileInfo]) -> Text {
    let rows: Vec<_> = profiles
        .iter()
        .map(|info| {
            let from = |name: &String| format!("secret {name}");
            vec![
                (Role::Plain, info.user.clone()),
                (Role::Plain, info.provider.clone()),
                (Role::Plain, info.model.clone()),
                (Role::Plain, info.kind.as_text().to_owned()),
                (Role::Quiet, info.secret_ref.as_ref().map_or_else(|| secret(info.tag.as_deref()), from)),
                (Role::Plain, info.modified.to_string()),
                (Role::Plain, format!("owner {}", info.owner)),
                (Role::Warning, info.expires.as_deref().map(|at| format!("expires {at}")).unwrap_or_default()),
            ]
        })
        .collect();
    table(&rows, 0)
}

/// Draws the state of the store.
pub(crate) fn status(status: &Status) -> Text {
    let Status {
        org,
        head,
        resources,
        sources,
        attempts,
        loops,
        observed,
        followers: _,
        following,
        holder,
        open_sessions,
        watchers,
        durability,
        keys,
        storage,
        actuators: _,
        conditions: _,
        conditions_ready: _,
        conditions_omitted: _,
    } = status;
    let mut text = Text::new();
    text.add(Role::Strong, "Status").plain(format!("   {}   org {org}", head.revision)).end().end();
    let time = head.time.as_deref().map_or("no commit yet".to_owned(), ToOwned::to_owned);
    let held = holder
        .as_ref()
        .map_or("this command only".to_owned(), |holder| format!("pid {} (version {})", holder.pid, holder.version));
    let resources: Vec<String> = resources.iter().map(|(kind, count)| format!("{kind} {count}")).collect();
    let sessions: Vec<String> =
        open_sessions.iter().map(|(revision, count)| format!("{count} at r{revision}")).collect();
    let or_none = |list: Vec<String>| if list.is_empty() { "none".to_owned() } else { list.join(", ") };
    let mut facts = vec![
        ("head", format!("{} {}, {time}", head.revision, short(&head.commit))),
        ("store", format!("{}, epoch {}", head.store, head.epoch)),
        ("observed", observed.map_or("unknown".to_owned(), |revision| revision.to_string())),
        ("held by", held),
        ("durability", durability.clone()),
        ("history", history_kept(storage)),
        ("on disk", on_disk(storage)),
        ("keys", keys.to_string()),
        ("resources", or_none(resources)),
        ("open sessions", or_none(sessions)),
        ("watchers", watchers.to_string()),
    ];
    if let Some(following) = following {
        facts.push(("follows", super::followers::following(following)));
    }
    text.append(table(&named(facts), 2));
    if let Some(cause) = &storage.poisoned {
        text.plain("  ").add(Role::Error, "takes no commits").plain(format!(": {cause}")).end();
    }
    if !sources.is_empty() {
        text.end().add(Role::Strong, "Sources:").end();
    }
    let rows: Vec<_> = sources
        .iter()
        .map(|source| {
            let committed = source.committed.map_or("unknown".to_owned(), |revision| revision.to_string());
            vec![
                (Role::Plain, source.source.clone()),
                (Role::Plain, counted(source.resources, "resource")),
                (Role::Plain, format!("committed {committed}")),
                (Role::Plain, format!("git {}", source.git.as_ref().map_or("unknown".to_owned(), git))),
                (Role::Warning, source.held.as_ref().map(why_held).unwrap_or_default()),
            ]
        })
        .collect();
    text.append(table(&rows, 2));
    conditions(&mut text, status);
    super::followers::followers(&mut text, &status.followers);
    looping(&mut text, loops);
    attempted(&mut text, attempts, sources);
    text
}

/// How the source of each loop stands.
fn looping(text: &mut Text, loops: &[LoopStatus]) {
    if loops.is_empty() {
        return;
    }
    text.end().add(Role::Strong, "Loops:").end();
    for LoopStatus { source, from, state, since, message, git: at, plan, summary, diagnostics } in loops {
        let known = source.is_some();
        let (role, words) = match state {
            LoopState::InForce => (Role::Create, "in force"),
            LoopState::Waiting => (Role::Warning, "waits"),
            LoopState::Held => (Role::Warning, "held"),
            LoopState::Broken if known => (Role::Error, "broken; the last good revision stays in force"),
            LoopState::Broken => (Role::Error, "broken"),
            LoopState::Away if known => (Role::Error, "cannot be read; the last good revision stays in force"),
            LoopState::Away => (Role::Error, "cannot be read"),
            LoopState::Unknown => (Role::Quiet, "unknown"),
            LoopState::Failed => (Role::Error, "failed, is tried again"),
        };
        let name = source.as_ref().map_or("unknown", |source| source.as_str());
        text.plain(format!("  {name}  ")).add(role, words).plain(format!("  since {since}  from {from}"));
        text.plain(at.as_ref().map(|at| format!("  at {}", git(at))).unwrap_or_default()).end();
        if !message.is_empty() {
            let at = diagnostics.iter().flat_map(|found| &found.labels).find(|label| label.primary);
            let at = at.map(|label| format!("   {}", place(&label.at))).unwrap_or_default();
            text.plain("      ").plain(message).plain(at).end();
        }
        if let (Some(plan), Some(summary)) = (plan, summary) {
            text.plain(format!("      plan {}: {}", short(plan), counts(summary))).end();
        }
    }
}

/// The refused applies of each source, newest first. Those of a source that was applied since are done with and only counted.
fn attempted(text: &mut Text, attempts: &[Attempt], sources: &[SourceStatus]) {
    let committed = |attempt: &Attempt| {
        let source = sources.iter().find(|source| source.source == attempt.source.as_str());
        source.and_then(|source| source.committed)
    };
    let is_open = |attempt: &&Attempt| committed(attempt).is_none_or(|committed| committed <= attempt.base);
    let open: Vec<&Attempt> = attempts.iter().filter(is_open).collect();
    if open.is_empty() {
        return;
    }
    text.end().add(Role::Strong, "Refused:").end();
    for Attempt { time, source, author, base, code, message, rollback, .. } in &open {
        let what = rollback.map(|to| format!("  rollback to {to}")).unwrap_or_default();
        text.plain(format!("  {source}  {time}  {author}  on {base}{what}  ")).add(Role::Error, code).end();
        text.plain("      ").plain(message).end();
    }
    let done = attempts.len() - open.len();
    if done > 0 {
        let done = counted(done as u64, "older one");
        text.plain("  ").add(Role::Quiet, format!("{done}, applied since: `--format json` has them")).end();
    }
}

/// Why a source is held.
fn why_held(held: &Held) -> String {
    let Held { since, rollback, author } = held;
    let why = rollback.map(|to| format!(", rolled back to {to}")).unwrap_or_default();
    format!("held since {since} by {author}{why}")
}

/// How far back the store can be read, and what its holder gives up by itself.
fn history_kept(storage: &Storage) -> String {
    let since = match storage.compacted.get() {
        0 => "all of it".to_owned(),
        _ => format!("since {}", storage.compacted),
    };
    let Some(Retention { commits, age_ms }) = storage.retention else { return since };
    let rules = commits.map(|count| format!("the newest {}", counted(count, "commit")));
    let rules = rules.into_iter().chain(age_ms.map(|age| format!("those of the last {}", keeping::span(age))));
    let rules = rules.collect::<Vec<_>>().join(" and ");
    let lag = storage.compaction_lag.filter(|lag| *lag > 0);
    let lag = lag.map(|lag| format!(", {} to be given up", counted(lag, "commit"))).unwrap_or_default();
    format!("{since}; the server keeps {rules}{lag}")
}

fn on_disk(storage: &Storage) -> String {
    let bytes = storage.bytes.map_or("unknown".to_owned(), keeping::size);
    format!("{bytes}, {} to replay when it is opened", counted(storage.trail_lag, "commit"))
}

/// Draws what a verification found.
pub(crate) fn verification(found: &Verification) -> Text {
    let Verification { revision, commits, entries, damage, findings: _ } = found;
    let mut text = Text::new();
    let read = format!("{revision}: {} and {} read", counted(*commits, "commit"), counted(*entries, "entry"));
    if damage.is_empty() {
        text.add(Role::Create, "sound").plain(format!("   {read}, chain and checksums hold")).end();
        return text;
    }
    text.add(Role::Error, "damaged").plain(format!("   {read}, {}", counted(damage.len() as u64, "finding"))).end();
    for finding in damage {
        text.plain("  * ").plain(finding).end();
    }
    text
}

fn named(facts: Vec<(&str, String)>) -> Vec<Vec<(Role, String)>> {
    facts.into_iter().map(|(name, value)| vec![(Role::Quiet, name.to_owned()), (Role::Plain, value)]).collect()
}
