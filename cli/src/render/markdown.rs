//! A plan as a comment on a pull request: hidden markers by which the comment is found again, the verdict first, what
//! blocks and what is deleted never folded, values folded, all of it bounded.
//!
//! Too long, it loses values first, then rows of the table and what goes on as it should, then the words of what blocks and fails, and
//! names last: no one thing is so long that another goes unnamed. Never here: posting it.

use std::collections::BTreeMap;

use holdfast_reconciler::diagnostic::Diagnostic;
use holdfast_reconciler::error::Problem;
use holdfast_reconciler::kind::Kinds;
use holdfast_reconciler::plan::{Action, Blocked, KindChange, Plan, SessionChange, Summary};
use holdfast_reconciler::resource::{OrgId, SourceName};

use super::escape::visible;
use super::fitting::{Chosen, Item, count, fit};
use super::ink::Colour;
use super::markup::{code, cut, longest_run, prose};
use super::row::{Listed, Row, What, place, sections};
use super::text::{ADOPTS, PlanView, consequences, counts, git, kind_words, pasteable, row_text, session_words, short};
use super::value::Length;

/// A comment may have 65,536 characters; the rest is room for what a workflow adds.
const CHARACTERS_MAX: usize = 60_000;
/// Of so many kinds is told what is left out of them.
const KINDS_MAX: usize = 20;
/// What every comment on a plan has in it, and every one on why there is none.
const MARKER: &str = "<!-- reconcile:plan -->";
/// Said where anything is left out.
const LEFT_OUT: &str = "\nSome of it is left out for length; `reconcile --dry-run` shows everything.\n";

/// Draws a plan.
pub(crate) fn plan(plan: &Plan, kinds: &Kinds) -> String {
    let (verdict, foot) = (verdict(plan), foot(plan));
    let harm = [blocked(plan), failing(plan), deletes(plan)];
    let rest = [kinds_changed(plan), adopts(plan), working(plan), findings(plan)];
    let table = Table::of(plan, kinds);
    let no_values = no_values(plan.changes.len());
    let fixed = [verdict.as_str(), LEFT_OUT, &foot, &no_values].map(count).iter().sum::<usize>();
    let reserved = harm.iter().chain(&rest).map(List::reserved).sum::<usize>() + table.reserved();
    let room = CHARACTERS_MAX.saturating_sub(fixed + reserved);

    let (of_harm, left) = fit(&harm.each_ref().map(|list| list.items.as_slice()), room);
    let with_table: Vec<&[Item]> =
        rest.iter().map(|list| list.items.as_slice()).chain([table.items.as_slice()]).collect();
    let (mut of_rest, left) = fit(&with_table, left);
    let of_table = of_rest.pop().unwrap_or_default();
    // Where rows are left out there is no room for values either.
    let has_rows = is_whole(&table.items, &of_table);
    let values = if has_rows { values(plan, kinds) } else { Vec::new() };
    let fence = Fence::of(&values);
    let (of_values, _) = fit(&[values.as_slice()], left.saturating_sub(fence.reserved()));
    let of_values = of_values.into_iter().next().unwrap_or_default();

    let lists = harm.iter().zip(&of_harm).chain(rest.iter().zip(&of_rest));
    let mut whole = has_rows && is_whole(&values, &of_values);
    let mut out = verdict;
    for (list, chosen) in lists {
        whole &= is_whole(&list.items, chosen);
        out.push_str(&list.text(chosen));
    }
    out.push_str(&table.text(&of_table));
    out.push_str(&if has_rows { fence.text(&of_values) } else { no_values });
    if !whole {
        out.push_str(LEFT_OUT);
    }
    out + &foot
}

fn is_whole(items: &[Item], chosen: &Chosen<'_>) -> bool {
    items.iter().zip(chosen).all(|(item, shown)| *shown == Some(item.full()))
}

/// A heading with its items, each of whole lines.
struct List {
    heading: String,
    items: Vec<Item>,
}

impl List {
    fn new(heading: &str, items: impl Iterator<Item = Item>) -> Self {
        Self { heading: format!("\n**{heading}**\n"), items: items.collect() }
    }

    /// The room for its heading and for the number of what is left out.
    fn reserved(&self) -> usize {
        if self.items.is_empty() { 0 } else { count(&self.heading) + count(&more(self.items.len())) }
    }

    fn text(&self, chosen: &Chosen<'_>) -> String {
        if self.items.is_empty() {
            return String::new();
        }
        let shown: Vec<&str> = chosen.iter().copied().flatten().collect();
        format!("{}{}{}", self.heading, shown.concat(), more(self.items.len() - shown.len()))
    }
}

fn more(count: usize) -> String {
    if count == 0 { String::new() } else { format!("\n{count} more\n") }
}

/// Draws why there is no plan, so that a comment never shows an older one as if it still held.
pub(crate) fn failure(problem: &Problem, about: Option<&(OrgId, SourceName)>) -> String {
    let marker = about.map_or(MARKER.to_owned(), |(org, source)| marker(org, source));
    let head = format!("{marker}\n**No plan**: {} {}\n", code(&cut(&problem.code)), prose(&cut(&problem.message)));
    let line = |text: String| Item::new(format!("- {text}\n"));
    let found = problem.diagnostics.iter().map(|found| {
        let at = found.labels.first().map(|label| format!(" ({})", code(&cut(&place(&label.at))))).unwrap_or_default();
        line(format!("{} {}{at}", code(&cut(&found.code)), prose(&cut(&found.message))))
    });
    let found: Vec<Item> = found.collect();
    let causes: Vec<Item> = problem.causes.iter().map(|cause| line(prose(&cut(cause)))).collect();
    let help: Vec<Item> = problem.help.iter().map(|help| line(format!("help: {}", prose(&cut(help))))).collect();
    let lists = [found.as_slice(), &causes, &help];
    let tail = |count: usize| format!("- and {count} more; `reconcile check` shows everything\n");
    let all = lists.iter().map(|list| list.len()).sum();
    let (chosen, _) = fit(&lists, CHARACTERS_MAX - count(&head) - count(&tail(all)));
    let shown: Vec<&str> = chosen.iter().flatten().copied().flatten().collect();
    let rest = all - shown.len();
    head + &shown.concat() + &if rest > 0 { tail(rest) } else { String::new() }
}

/// By which a workflow finds its comment again: by the first where it has several projects, by the second where it has one.
fn marker(org: &OrgId, source: &SourceName) -> String {
    format!("<!-- reconcile:plan:{org}:{source} -->{MARKER}")
}

fn verdict(plan: &Plan) -> String {
    let mut out = format!("{}\n", marker(&plan.org, &plan.source.name));
    let blocked = match (plan.is_blocked(), plan.summary.blocked) {
        (false, _) => String::new(),
        (true, 0) => ", blocked".to_owned(),
        (true, rows) => format!(", {rows} blocked"),
    };
    let verdict = if plan.has_changes() || plan.is_blocked() { counts(&plan.summary) } else { "No changes".to_owned() };
    let (base, id) = (plan.base.revision, short(&plan.plan_id));
    out.push_str(&format!("**{verdict}{blocked}** - base {base} - plan `{id}` - source `{}`\n", plan.source.name));
    if !plan.applyable && !plan.is_blocked() {
        out.push_str("\nNot applyable yet: secret values are missing.\n");
    }
    out
}

fn blocked(plan: &Plan) -> List {
    let item = |blocked: &Blocked| {
        let at = blocked.at.as_ref().map(|at| format!(" ({})", code(&cut(&place(at))))).unwrap_or_default();
        let address = match blocked.address.as_str() {
            "" => String::new(),
            address => format!(" {}", code(&cut(address))),
        };
        let message = cut(&blocked.message);
        // The message names it, but perhaps not in what is left of it.
        let about = if message == visible(&blocked.message) { "" } else { &address };
        let mut full = format!("- {}{at}{about} {}\n", code(&blocked.code), prose(&message));
        for remedy in &blocked.remedies {
            full.push_str(&format!("  - {}\n", way_out(&pasteable(remedy, plan.rollback))));
        }
        Item::named(full, format!("- {}{address}\n", code(&blocked.code)))
    };
    List::new("Blocked", plan.blocked.iter().map(item))
}

/// What is pasted is whole or not there at all.
fn way_out(text: &str) -> String {
    match cut(text) {
        whole if whole == visible(text) => code(&whole),
        _ => format!("a way out of {} characters", count(text)),
    }
}

fn failing(plan: &Plan) -> List {
    let failing = plan.sessions.iter().filter(|session| session.error.is_some());
    let item = |session| Item::named(session_line(session), format!("- {}\n", who(session)));
    List::new("Sessions that fail", failing.map(item))
}

fn deletes(plan: &Plan) -> List {
    let deletes = plan.changes.iter().filter(|change| change.action == Action::Delete);
    List::new("Deletes", deletes.map(|change| line(&change.address.to_string())))
}

fn line(name: &str) -> Item {
    Item::new(format!("- {}\n", code(&cut(name))))
}

fn who(session: &SessionChange) -> String {
    code(&cut(&session.who()))
}

fn session_line(session: &SessionChange) -> String {
    let (_, words, right) = session_words(session);
    format!("- {}: {} ({})\n", who(session), prose(&cut(&words)), prose(&cut(&right)))
}

fn kinds_changed(plan: &Plan) -> List {
    let item =
        |change: &KindChange| Item::new(format!("- {}: {}\n", code(change.name.as_str()), kind_words(change.action)));
    List::new("Kinds", plan.kinds.iter().map(item))
}

fn adopts(plan: &Plan) -> List {
    let list = List::new("Adopts", plan.adopts.iter().map(|address| line(address)));
    List { heading: format!("\n**Adopts** ({ADOPTS})\n"), ..list }
}

fn working(plan: &Plan) -> List {
    let works = plan.sessions.iter().filter(|session| session.error.is_none());
    List::new("Sessions", works.map(|session| Item::new(session_line(session))))
}

fn findings(plan: &Plan) -> List {
    let item =
        |found: &Diagnostic| Item::new(format!("- {} {}\n", code(&cut(&found.code)), prose(&cut(&found.message))));
    List::new("Findings", plan.diagnostics.iter().map(item))
}

/// The rows, and what each is counted as where it is left out.
struct Table<'p> {
    items: Vec<Item>,
    counted_as: Vec<(&'p str, &'static str)>,
}

impl<'p> Table<'p> {
    const HEAD: &'static str = "\n| address | action | fields | effect | manifest |\n|---|---|---|---|---|\n";

    fn of(plan: &'p Plan, kinds: &'p Kinds) -> Self {
        let mut table = Self { items: Vec::new(), counted_as: Vec::new() };
        for row in sections(plan, kinds, Listed::Relevant).iter().flat_map(|section| &section.rows) {
            let what = action(&row.what);
            let cell = |text: &str| prose(&cut(text)).replace('|', "\\|");
            let address = code(&cut(&format!("{}/{}", row.kind, row.name))).replace('|', "\\|");
            let effect = match &row.what {
                What::Change(change) => consequences(change, Length::Cut),
                What::Blocked(_) | What::Unmanaged | What::Unchanged => String::new(),
            };
            let (fields, effect, at) = (cell(&row.fields().join(", ")), cell(&effect), cell(&row.comment()));
            table.items.push(Item::new(format!("| {address} | {what} | {fields} | {effect} | {at} |\n")));
            table.counted_as.push((row.kind, what));
        }
        table
    }

    /// The room for its heading and for the counts of what is left out. Those of all rows are as long as any.
    fn reserved(&self) -> usize {
        if self.items.is_empty() { 0 } else { count(Self::HEAD) + count(&counts_by_kind(self.counted_as.iter())) }
    }

    fn text(&self, chosen: &Chosen<'_>) -> String {
        let shown: String = chosen.iter().copied().flatten().collect();
        let left = chosen.iter().zip(&self.counted_as).filter(|(shown, _)| shown.is_none()).map(|(_, row)| row);
        let head = if shown.is_empty() { "" } else { Self::HEAD };
        format!("{head}{shown}{}", counts_by_kind(left))
    }
}

fn action(what: &What<'_>) -> &'static str {
    match what {
        What::Change(change) => match change.action {
            Action::Create => "create",
            Action::Update => "update",
            Action::Delete => "delete",
            Action::Move => "move",
        },
        What::Blocked(_) => "blocked",
        What::Unmanaged => "unmanaged",
        What::Unchanged => "unchanged",
    }
}

/// What rows are left out, by kind and action.
fn counts_by_kind<'r>(rows: impl Iterator<Item = &'r (&'r str, &'static str)>) -> String {
    let mut kinds: BTreeMap<&str, BTreeMap<&str, usize>> = BTreeMap::new();
    let mut all = 0;
    for (kind, what) in rows {
        *kinds.entry(kind).or_default().entry(what).or_default() += 1;
        all += 1;
    }
    if all == 0 {
        return String::new();
    }
    let mut out = format!("\n**Rows left out**: {all}\n");
    for (kind, counts) in kinds.iter().take(KINDS_MAX) {
        let counts: Vec<String> = counts.iter().map(|(what, count)| format!("{count} {what}")).collect();
        out.push_str(&format!("- {}: {}\n", code(kind), counts.join(", ")));
    }
    if let rest @ 1.. = kinds.len().saturating_sub(KINDS_MAX) {
        out.push_str(&format!("- of {rest} more kinds\n"));
    }
    out
}

/// The rows with their values.
fn values(plan: &Plan, kinds: &Kinds) -> Vec<Item> {
    let sections = sections(plan, kinds, Listed::Relevant);
    let rows = sections.iter().flat_map(|section| &section.rows).filter(|row| matches!(row.what, What::Change(_)));
    let item = |row: &Row<'_>| {
        let mut out = String::new();
        for line in row_text(row, PlanView::default()).render(Colour::Off).lines() {
            let line = line.strip_prefix("  ").unwrap_or(line);
            // In a `diff` fence a changed line is marked so.
            let line = line.strip_prefix('~').map_or(line.to_owned(), |rest| format!("!{rest}"));
            out.push_str(&line);
            out.push('\n');
        }
        Item::new(out)
    };
    rows.map(item).collect()
}

fn no_values(left: usize) -> String {
    if left == 0 { String::new() } else { format!("\nThe values of {left} changes are left out\n") }
}

/// A fence that nothing in it can end.
struct Fence(String);

impl Fence {
    fn of(items: &[Item]) -> Self {
        let longest = items.iter().map(|item| longest_run(item.full())).max().unwrap_or(0);
        Self("`".repeat(longest.max(2) + 1))
    }

    fn reserved(&self) -> usize {
        count(&self.around("", usize::MAX))
    }

    fn text(&self, chosen: &Chosen<'_>) -> String {
        let shown: String = chosen.iter().copied().flatten().collect();
        let left = chosen.iter().filter(|shown| shown.is_none()).count();
        if shown.is_empty() { no_values(left) } else { self.around(&shown, left) }
    }

    fn around(&self, body: &str, left: usize) -> String {
        let fence = &self.0;
        let more = more(left);
        format!("\n<details><summary>Values</summary>\n\n{fence}diff\n{body}{fence}\n{more}\n</details>\n")
    }
}

fn foot(plan: &Plan) -> String {
    let commit = plan.source.git.as_ref().map(|state| format!(" at {}", git(state))).unwrap_or_default();
    let Summary { unmanaged, unchanged, .. } = plan.summary;
    let rest = format!("{unmanaged} unmanaged, {unchanged} unchanged");
    format!("\n<sub>{rest}; org {}{commit}, made by `reconcile --dry-run --format markdown`</sub>\n", plan.org)
}
