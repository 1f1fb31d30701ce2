//! A plan as a comment on a pull request: a hidden marker by which the comment is found again, the verdict first, what
//! blocks and what is deleted never folded, values folded, all of it bounded.
//!
//! Too long, it loses the values first, then the table, then what goes on as it should; never a block, a session that fails or a
//! delete, as long as they fit at all. Never here: posting it.

use holdfast_reconciler::error::Problem;
use holdfast_reconciler::kind::Kinds;
use holdfast_reconciler::plan::{Action, Blocked, Plan, SessionChange, Summary};

use super::escape::visible;
use super::ink::Colour;
use super::row::{Listed, What, place, sections};
use super::text::{ADOPTS, PlanView, consequences, counts, git, kind_words, pasteable, row_text, session_words, short};
use super::value::Length;

/// A comment may have 65,536 characters; the rest is room for what a workflow adds.
const CHARACTERS_MAX: usize = 60_000;

/// Draws a plan.
pub(crate) fn plan(plan: &Plan, kinds: &Kinds) -> String {
    let (verdict, foot) = (verdict(plan), foot(plan));
    let lists = [blocked(plan), failing(plan), deletes(plan)];
    let head: String = std::iter::once(verdict.clone()).chain(lists.iter().map(|list| list.text())).collect();
    let (rest, table, values) = (rest(plan), table(plan, kinds), values(plan, kinds));
    let note = |what: &str| format!("\n{what} left out for length; `reconcile --dry-run` shows everything.\n");
    let forms = [
        format!("{head}{rest}{table}{values}{foot}"),
        format!("{head}{rest}{table}{}{foot}", note("Values are")),
        format!("{head}{rest}{}{foot}", note("The table of changes is")),
        format!(
            "{head}{}{foot}",
            note("The table of changes, and what is adopted, found and goes on as it should, are")
        ),
    ];
    let fits = |form: &String| form.chars().count() <= CHARACTERS_MAX;
    forms.into_iter().find(fits).unwrap_or_else(|| {
        let tail = format!("{}{foot}", note("The table of changes and the rest of these lists are"));
        let room = CHARACTERS_MAX - verdict.chars().count() - tail.chars().count();
        format!("{verdict}{}{tail}", cut(&lists, room))
    })
}

/// What is never folded: a heading with its items, each of whole lines.
struct List {
    heading: &'static str,
    items: Vec<String>,
}

impl List {
    fn text(&self) -> String {
        self.shown(self.items.len())
    }

    /// The first items, and how many more there are.
    fn shown(&self, count: usize) -> String {
        if self.items.is_empty() {
            return String::new();
        }
        let rest = self.items.len() - count;
        let more = if rest > 0 { format!("\n{rest} more\n") } else { String::new() };
        format!("\n**{}**\n{}{more}", self.heading, self.items[..count].concat())
    }
}

/// As much of each list as there is room for: a short one is whole, and long ones share what is left.
fn cut(lists: &[List], room: usize) -> String {
    /// For a heading and the number of what is left out.
    const MARGIN: usize = 64;
    let length = |list: &List| list.items.iter().map(|item| item.chars().count()).sum::<usize>();
    let mut by_length: Vec<usize> = (0..lists.len()).collect();
    by_length.sort_by_key(|&index| length(&lists[index]));
    let mut left = room.saturating_sub(MARGIN * lists.len());
    let mut counts = vec![0; lists.len()];
    for (place, &index) in by_length.iter().enumerate() {
        let share = left / (lists.len() - place);
        let mut used = 0;
        let fits = |item: &&String| {
            used += item.chars().count();
            used <= share
        };
        let taken: Vec<&String> = lists[index].items.iter().take_while(fits).collect();
        counts[index] = taken.len();
        left -= taken.iter().map(|item| item.chars().count()).sum::<usize>();
    }
    lists.iter().zip(counts).map(|(list, count)| list.shown(count)).collect()
}

/// Draws why there is no plan, so that a comment never shows an older one as if it still held.
pub(crate) fn failure(problem: &Problem) -> String {
    let mut out =
        format!("<!-- reconcile:plan -->\n**No plan**: {} {}\n", code(&problem.code), prose(&problem.message));
    let labels = problem.diagnostics.iter().map(|found| {
        let at = found.labels.first().map(|label| format!(" ({})", code(&place(&label.at)))).unwrap_or_default();
        format!("{} {}{at}", code(&found.code), prose(&found.message))
    });
    let causes = problem.causes.iter().map(|cause| prose(cause));
    let help = problem.help.iter().map(|help| format!("help: {}", prose(help)));
    for line in labels.chain(causes).chain(help) {
        if out.chars().count() + line.chars().count() > CHARACTERS_MAX {
            out.push_str("- and more; `reconcile check` shows everything\n");
            break;
        }
        out.push_str(&format!("- {line}\n"));
    }
    out
}

fn verdict(plan: &Plan) -> String {
    let mut out = format!("<!-- reconcile:plan:{}:{} -->\n", plan.org, plan.source.name);
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
        let at = blocked.at.as_ref().map(|at| format!(" ({})", code(&place(at)))).unwrap_or_default();
        let mut out = format!("- {}{at} {}\n", code(&blocked.code), prose(&blocked.message));
        for remedy in &blocked.remedies {
            out.push_str(&format!("  - {}\n", code(&pasteable(remedy, plan.rollback))));
        }
        out
    };
    List { heading: "Blocked", items: plan.blocked.iter().map(item).collect() }
}

fn failing(plan: &Plan) -> List {
    let failing = plan.sessions.iter().filter(|session| session.error.is_some());
    List { heading: "Sessions that fail", items: failing.map(session_line).collect() }
}

fn deletes(plan: &Plan) -> List {
    let deletes = plan.changes.iter().filter(|change| change.action == Action::Delete);
    List {
        heading: "Deletes",
        items: deletes.map(|change| format!("- {}\n", code(&change.address.to_string()))).collect(),
    }
}

fn session_line(session: &SessionChange) -> String {
    let (_, words, right) = session_words(session);
    format!("- {}: {} ({})\n", code(&session.who()), prose(&words), prose(&right))
}

/// What may be left out before the lists that may not.
fn rest(plan: &Plan) -> String {
    let mut out = String::new();
    if !plan.kinds.is_empty() {
        out.push_str("\n**Kinds**\n");
    }
    for change in &plan.kinds {
        out.push_str(&format!("- {}: {}\n", code(change.name.as_str()), kind_words(change.action)));
    }
    if !plan.adopts.is_empty() {
        out.push_str(&format!("\n**Adopts** ({ADOPTS})\n"));
    }
    for address in &plan.adopts {
        out.push_str(&format!("- {}\n", code(address)));
    }
    let works: String = plan.sessions.iter().filter(|session| session.error.is_none()).map(session_line).collect();
    if !works.is_empty() {
        out.push_str(&format!("\n**Sessions**\n{works}"));
    }
    if !plan.diagnostics.is_empty() {
        out.push_str("\n**Findings**\n");
    }
    for found in &plan.diagnostics {
        out.push_str(&format!("- {} {}\n", code(&found.code), prose(&found.message)));
    }
    out
}

fn table(plan: &Plan, kinds: &Kinds) -> String {
    let mut out = String::new();
    for section in sections(plan, kinds, Listed::Relevant) {
        for row in &section.rows {
            let at = row.comment();
            let what = match &row.what {
                What::Change(change) => match change.action {
                    Action::Create => "create",
                    Action::Update => "update",
                    Action::Delete => "delete",
                    Action::Move => "move",
                },
                What::Blocked(_) => "blocked",
                What::Unmanaged => "unmanaged",
                What::Unchanged => "unchanged",
            };
            let address = code(&format!("{}/{}", row.kind, row.name));
            let cell = |text: String| text.replace('|', "\\|");
            let fields = prose(&row.fields().join(", "));
            let effect = match &row.what {
                What::Change(change) => prose(&consequences(change, Length::Cut)),
                What::Blocked(_) | What::Unmanaged | What::Unchanged => String::new(),
            };
            let (address, fields, at) = (cell(address), cell(fields), cell(prose(&at)));
            out.push_str(&format!("| {address} | {what} | {fields} | {} | {at} |\n", cell(effect)));
        }
    }
    if out.is_empty() {
        out
    } else {
        format!("\n| address | action | fields | effect | manifest |\n|---|---|---|---|---|\n{out}")
    }
}

/// The rows with their values in a fence that none of them can end.
fn values(plan: &Plan, kinds: &Kinds) -> String {
    let mut body = String::new();
    for section in sections(plan, kinds, Listed::Relevant) {
        for row in section.rows.iter().filter(|row| matches!(row.what, What::Change(_))) {
            for line in row_text(row, PlanView::default()).render(Colour::Off).lines() {
                let line = line.strip_prefix("  ").unwrap_or(line);
                // In a `diff` fence a changed line is marked so.
                let line = line.strip_prefix('~').map_or(line.to_owned(), |rest| format!("!{rest}"));
                body.push_str(&line);
                body.push('\n');
            }
        }
    }
    if body.is_empty() {
        return body;
    }
    let fence = "`".repeat(longest_run(&body).max(2) + 1);
    format!("\n<details><summary>Values</summary>\n\n{fence}diff\n{body}{fence}\n\n</details>\n")
}

fn foot(plan: &Plan) -> String {
    let commit = plan.source.git.as_ref().map(|state| format!(" at {}", git(state))).unwrap_or_default();
    let Summary { unmanaged, unchanged, .. } = plan.summary;
    let rest = format!("{unmanaged} unmanaged, {unchanged} unchanged");
    format!("\n<sub>{rest}; org {}{commit}, made by `reconcile --dry-run --format markdown`</sub>\n", plan.org)
}

/// Text in a code span: nothing in it is markup, and nobody is mentioned.
fn code(text: &str) -> String {
    let text = visible(text);
    let ticks = "`".repeat(longest_run(&text) + 1);
    let pad = if text.starts_with('`') || text.ends_with('`') { " " } else { "" };
    format!("{ticks}{pad}{text}{pad}{ticks}")
}

/// Text from outside as prose: what stands in backticks becomes a code span, everything else that could be markup is
/// escaped.
fn prose(text: &str) -> String {
    let parts: Vec<&str> = text.split('`').collect();
    if parts.len().is_multiple_of(2) {
        return escaped(text);
    }
    let piece =
        |(index, part): (usize, &&str)| if index % 2 == 1 && !part.is_empty() { code(part) } else { escaped(part) };
    parts.iter().enumerate().map(piece).collect()
}

fn escaped(text: &str) -> String {
    let mut out = String::new();
    for character in visible(text).chars() {
        match character {
            '@' => out.push_str("&#64;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '&' => out.push_str("&amp;"),
            '*' | '_' | '[' | ']' | '#' | '!' | '~' | '\\' | '`' => out.extend(['\\', character]),
            other => out.push(other),
        }
    }
    out
}

fn longest_run(text: &str) -> usize {
    let mut longest = 0;
    let mut run = 0;
    for character in text.chars() {
        run = if character == '`' { run + 1 } else { 0 };
        longest = longest.max(run);
    }
    longest
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_from_outside_is_markup() {
        assert_eq!(code("a`b"), "``a`b``");
        assert_eq!(code("`a"), "`` `a ``");
        assert_eq!(prose("`a*b` of *c*"), "`a*b` of \\*c\\*");
        assert_eq!(prose("an odd ` one"), "an odd \\` one");
        assert_eq!(prose("@maria <b>*x*</b> [y](z)"), "&#64;maria &lt;b&gt;\\*x\\*&lt;/b&gt; \\[y\\](z)");
    }
}
