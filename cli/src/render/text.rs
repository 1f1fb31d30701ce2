//! A plan as text, in the layout that DESIGN section 7 fixes byte for byte.
//!
//! Equal plans give equal bytes: no clock, no environment, no terminal width. It shows nothing that the JSON form lacks.
//! Never here: which rows there are (`row.rs`), how a value looks (`value.rs`).

use holdfast_engine::Revision;
use holdfast_reconciler::diagnostic::Diagnostic;
use holdfast_reconciler::kind::Kinds;
use holdfast_reconciler::plan::{Action, AgentChange, Blocked, Change, Plan, SessionChange, SessionModel, Summary};

use super::ink::{Role, Text};
use super::row::{Listed, Row, What, is_row, place, sections};
use super::value::{self, Length};

/// Where comments stand, counted from 0.
const COMMENT_COLUMN: usize = 67;
/// How far a comment stays away from a longer row.
const COMMENT_GAP: usize = 3;
/// How much of a plan id or commit id is shown.
const PLAN_ID_SHOWN: usize = 8;
/// How much of a Git commit is shown.
const GIT_SHOWN: usize = 7;
/// How many of those that a change affects are named where space is short.
const AFFECTED_SHOWN: usize = 5;
/// The finding about a value that an apply needs and that is nowhere.
pub(crate) const MISSING_VALUE: &str = "W_MISSING_VALUE";

/// What a plan says of resources whose values stay.
pub(crate) const ADOPTS: &str = "no value changes; ownership and declaration are noted";

/// What of a plan is shown.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct PlanView {
    /// Whether unchanged resources are listed.
    pub(crate) listed: Listed,
    /// Whether values stand below the rows.
    pub(crate) values: Values,
    /// Whether long values are cut.
    pub(crate) length: Length,
}

/// Whether values stand below the rows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Values {
    /// They do.
    #[default]
    Shown,
    /// First lines only.
    Hidden,
}

/// Draws a plan.
pub(crate) fn plan(plan: &Plan, kinds: &Kinds, view: PlanView) -> Text {
    let mut text = Text::new();
    header(&mut text, plan);
    for section in sections(plan, kinds, view.listed) {
        text.end().plain("  ").add(Role::Strong, section.heading).add(Role::Strong, ":").end();
        for row in &section.rows {
            text.append(row_text(row, view));
        }
    }
    kinds_changed(&mut text, plan);
    adopts(&mut text, plan);
    sessions(&mut text, plan);
    text.end().line(summary_line(&plan.summary));
    not_applyable(&mut text, plan);
    for blocked in &plan.blocked {
        draw_blocked(&mut text, blocked, plan.rollback);
    }
    text
}

/// The counts, as in `Summary: 1 create, ...`.
pub(crate) fn summary_line(summary: &Summary) -> String {
    let Summary { create, update, delete, moved, blocked, unmanaged, unchanged } = *summary;
    let moved = if moved == 0 { String::new() } else { format!(", {moved} moved") };
    format!(
        "Summary: {create} create, {update} update, {delete} delete{moved}, {blocked} blocked, {unmanaged} unmanaged, \
         {unchanged} unchanged"
    )
}

/// The counts of what changes, without zeros, as in `1 create, 2 update`.
pub(crate) fn counts(summary: &Summary) -> String {
    let Summary { create, update, delete, moved, blocked: _, unmanaged: _, unchanged: _ } = *summary;
    let named = [(create, "create"), (update, "update"), (delete, "delete"), (moved, "moved")];
    let some: Vec<String> = named.iter().filter(|(n, _)| *n > 0).map(|(n, what)| format!("{n} {what}")).collect();
    if some.is_empty() { "no resource changed".to_owned() } else { some.join(", ") }
}

/// A number with its noun.
pub(crate) fn counted(count: u64, noun: &str) -> String {
    let stem = noun.strip_suffix('y').filter(|stem| !stem.ends_with(['a', 'e', 'o', 'u']));
    match (count, stem) {
        (1, _) => format!("1 {noun}"),
        (_, Some(stem)) => format!("{count} {stem}ies"),
        (_, None) => format!("{count} {noun}s"),
    }
}

/// The first characters of an id.
pub(crate) fn short(id: &str) -> &str {
    id.get(..PLAN_ID_SHOWN).unwrap_or(id)
}

/// A Git state as people write it, as in `9be07aa dirty`.
pub(crate) fn git(state: &holdfast_reconciler::desired::GitState) -> String {
    let commit = state.commit.get(..GIT_SHOWN).unwrap_or(&state.commit);
    format!("{commit}{}", if state.dirty { " dirty" } else { "" })
}

fn header(text: &mut Text, plan: &Plan) {
    text.add(Role::Strong, format!("Plan {}", short(&plan.plan_id)));
    text.plain(format!("   base {}   source {}", plan.base.revision, plan.source.name));
    if let Some(state) = &plan.source.git {
        text.plain(format!(" @ {}", git(state)));
    }
    text.plain(format!("   org {}", plan.org));
    if let Some(to) = plan.rollback {
        text.plain("   ").add(Role::Strong, format!("rollback to {to}"));
    }
    text.end();
}

/// One row with its values.
pub(crate) fn row_text(row: &Row<'_>, view: PlanView) -> Text {
    let mut text = Text::new();
    let (mark, role) = row.mark();
    text.plain("  ").add(role, format!("{mark} {} {}", row.kind, row.name));
    let fields = row.fields();
    if !fields.is_empty() {
        text.plain(format!(" ({})", fields.join(", ")));
    }
    comment(&mut text, &row.comment());
    if let (What::Change(change), Values::Shown) = (&row.what, view.values) {
        for field in &change.fields {
            value::field(&mut text, change.action, field, 6, view.length);
        }
        if view.length == Length::Full || reaches_others(change) {
            text.plain("      * ").add(Role::Quiet, consequences(change, view.length)).end();
        }
    }
    text
}

/// Whether it is worth telling, when space is short, when a change takes effect and whom it affects: more than the sessions of
/// the agent that it is about.
fn reaches_others(change: &Change) -> bool {
    let own = |address: &str| address.strip_prefix("agent/") == Some(change.name.as_str());
    let others = change.affects.iter().any(|address| !own(address));
    change.action != Action::Create && (others || change.effect == "restart")
}

/// When a change takes effect, and whom it affects.
pub(crate) fn consequences(change: &Change, length: Length) -> String {
    let Change { effect, affects, .. } = change;
    let shown = if length == Length::Full { affects.len() } else { affects.len().min(AFFECTED_SHOWN) };
    let rest = affects.len() - shown;
    let more = if rest > 0 { format!(" and {rest} more") } else { String::new() };
    match affects.is_empty() {
        true => effect.clone(),
        false => format!("{effect}, affects {}{more}", affects[..shown].join(", ")),
    }
}

/// Ends a row with a comment in its column, if there is one.
pub(crate) fn comment(text: &mut Text, comment: &str) {
    if !comment.is_empty() {
        text.pad(COMMENT_COLUMN, COMMENT_GAP).add(Role::Quiet, comment);
    }
    text.end();
}

fn kinds_changed(text: &mut Text, plan: &Plan) {
    if plan.kinds.is_empty() {
        return;
    }
    text.end().add(Role::Strong, "Kinds:").end();
    for change in &plan.kinds {
        text.plain("  * ").plain(change.name.as_str());
        comment(text, kind_words(change.action));
    }
}

/// What a plan says of a kind.
pub(crate) fn kind_words(action: Action) -> &'static str {
    match action {
        Action::Create => "a new kind",
        Action::Update => "another definition",
        Action::Delete => "the kind goes",
        Action::Move => "another name",
    }
}

fn adopts(text: &mut Text, plan: &Plan) {
    if plan.adopts.is_empty() {
        return;
    }
    text.end().add(Role::Strong, "Adopts:").end();
    for address in &plan.adopts {
        text.plain("  * ").plain(address);
        comment(text, ADOPTS);
    }
}

fn sessions(text: &mut Text, plan: &Plan) {
    if plan.sessions.is_empty() {
        return;
    }
    text.end().add(Role::Strong, "Sessions:").end();
    for session in &plan.sessions {
        text.plain("  * ");
        if session.org != plan.org {
            text.plain(format!("{}:", session.org));
        }
        let (role, words, right) = session_words(session);
        text.plain(session.who()).plain(": ").add(role, words);
        comment(text, &right);
    }
}

/// What a plan says of an agent's sessions, and what stands at the right of it.
pub(crate) fn session_words(session: &SessionChange) -> (Role, String, String) {
    let or_none = |model: &Option<SessionModel>| model.as_ref().map_or("none".to_owned(), ToString::to_string);
    if let Some(error) = &session.error {
        return match (session.breaks, session.agent_change) {
            (true, _) => (Role::Error, format!("BREAKS: {error}"), format!("was {}", or_none(&session.before))),
            (false, AgentChange::New) => (Role::Warning, format!("FAILS: {error}"), "new".to_owned()),
            (false, AgentChange::Kept | AgentChange::Removed) => {
                (Role::Warning, format!("FAILS: {error}"), format!("was {}", or_none(&session.before)))
            }
        };
    }
    let own = session.users.filter(|_| session.user.is_none());
    let words = match own {
        Some(users) => {
            format!("no shared credential; {users} {} their own", if users == 1 { "user has" } else { "users have" })
        }
        None => format!("{} -> {}", or_none(&session.before), or_none(&session.after)),
    };
    let right = match session.agent_change {
        AgentChange::Kept => "next session",
        AgentChange::New => "new",
        AgentChange::Removed => "removed",
    };
    (Role::Plain, words, right.to_owned())
}

fn not_applyable(text: &mut Text, plan: &Plan) {
    if plan.applyable || plan.is_blocked() {
        return;
    }
    text.add(Role::Warning, "Not applyable yet").plain(": the plan is complete, an apply would be refused").end();
    let prevents = |found: &&Diagnostic| found.is_error() || found.code == MISSING_VALUE;
    for diagnostic in plan.diagnostics.iter().filter(prevents) {
        text.plain("    ").plain(&diagnostic.message).end();
    }
}

fn draw_blocked(text: &mut Text, blocked: &Blocked, rollback: Option<Revision>) {
    text.end().add(Role::Error, format!("blocked[{}]", blocked.code)).plain(": ").plain(&blocked.message).end();
    // A guard names the head as its revision, which says nothing about its cause.
    let changed = blocked.revision.filter(|_| is_row(blocked)).map(|revision| format!("last changed in {revision}"));
    let owner = blocked.owner.as_ref().map(|owner| format!("owner {owner}"));
    let at = blocked.at.as_ref().map(|at| format!("at {}", place(at)));
    let note: Vec<String> = at.into_iter().chain(owner).chain(changed).collect();
    if !note.is_empty() {
        text.plain("    ").plain(note.join(", ")).end();
    }
    for remedy in &blocked.remedies {
        text.plain("    ").add(Role::Help, "help: ").plain(pasteable(remedy, rollback)).end();
    }
}

/// A way out as a command: a flag alone becomes one, of what the plan is a plan of.
pub(crate) fn pasteable(remedy: &str, rollback: Option<Revision>) -> String {
    match (remedy.starts_with("--"), rollback) {
        (false, _) => remedy.to_owned(),
        (true, None) => format!("reconcile {remedy}"),
        (true, Some(back)) => format!("reconcile rollback {back} {remedy}"),
    }
}
