//! A plan as a comment on a pull request: a hidden marker by which the comment is found again, the verdict first, what
//! blocks and what is deleted never folded, values folded, all of it bounded.
//!
//! Too long, it loses the values first, then the table; never a block or a delete, as long as they fit at all. Never here:
//! posting it.

use holdfast_reconciler::error::Problem;
use holdfast_reconciler::kind::Kinds;
use holdfast_reconciler::plan::{Action, Plan, Summary};

use super::escape::visible;
use super::ink::Colour;
use super::row::{Listed, What, place, sections};
use super::text::{ADOPTS, PlanView, counts, git, kind_words, pasteable, row_text, session_words, short};

/// A comment may have 65,536 characters; the rest is room for what a workflow adds.
const CHARACTERS_MAX: usize = 60_000;

/// Draws a plan.
pub(crate) fn plan(plan: &Plan, kinds: &Kinds) -> String {
    let (head, foot) = (head(plan), foot(plan));
    let (table, values) = (table(plan, kinds), values(plan, kinds));
    let note = |what: &str| format!("\n{what} left out for length; `reconcile --dry-run` shows everything.\n");
    let forms = [
        format!("{head}{table}{values}{foot}"),
        format!("{head}{table}{}{foot}", note("Values are")),
        format!("{head}{}{foot}", note("The table of changes is")),
    ];
    let fits = |form: &String| form.chars().count() <= CHARACTERS_MAX;
    match forms.into_iter().find(fits) {
        Some(form) => form,
        None => {
            let tail = format!("\n\n{}{foot}", note("The rest of this list is"));
            let room = CHARACTERS_MAX - tail.chars().count();
            let kept: String = head.chars().take(room).collect();
            let whole_lines = kept.rfind('\n').map_or("", |end| &kept[..end]);
            format!("{whole_lines}{tail}")
        }
    }
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

fn head(plan: &Plan) -> String {
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
    if plan.is_blocked() {
        out.push_str("\n**Blocked**\n");
    }
    for blocked in &plan.blocked {
        let at = blocked.at.as_ref().map(|at| format!(" ({})", code(&place(at)))).unwrap_or_default();
        out.push_str(&format!("- {}{at} {}\n", code(&blocked.code), prose(&blocked.message)));
        for remedy in &blocked.remedies {
            out.push_str(&format!("  - {}\n", code(&pasteable(remedy, plan.rollback))));
        }
    }
    let deletes: Vec<_> = plan.changes.iter().filter(|change| change.action == Action::Delete).collect();
    if !deletes.is_empty() {
        out.push_str("\n**Deletes**\n");
    }
    for change in deletes {
        out.push_str(&format!("- {}\n", code(&change.address.to_string())));
    }
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
    if !plan.sessions.is_empty() {
        out.push_str("\n**Sessions**\n");
    }
    for session in &plan.sessions {
        let (_, words, right) = session_words(session);
        out.push_str(&format!("- {}: {} ({})\n", code(&session.who()), prose(&words), prose(&right)));
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
            out.push_str(&format!("| {} | {what} | {} | {} |\n", cell(address), cell(fields), cell(prose(&at))));
        }
    }
    if out.is_empty() { out } else { format!("\n| address | action | fields | manifest |\n|---|---|---|---|\n{out}") }
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
