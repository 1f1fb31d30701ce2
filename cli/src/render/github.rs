//! Annotations for a GitHub workflow: one command line for each finding, as the runner reads them from standard output.
//!
//! Never here: text that somebody reads in a terminal.

use holdfast_reconciler::diagnostic::{Diagnostic, Position, Severity};
use holdfast_reconciler::error::Problem;
use holdfast_reconciler::plan::{Action, Plan};

use super::escape::visible;
use super::row::place;
use super::text::{pasteable, short, summary_line};

/// Findings, what blocks, what is deleted, and the counts.
pub(crate) fn plan(plan: &Plan) -> String {
    let mut out = annotations(&plan.diagnostics);
    for blocked in &plan.blocked {
        let way = |remedy: &String| format!("\nhelp: {}", pasteable(remedy, plan.rollback));
        let ways: String = blocked.remedies.iter().map(way).collect();
        out.push_str(&annotation("error", &blocked.code, blocked.at.as_ref(), &format!("{}{ways}", blocked.message)));
    }
    for change in plan.changes.iter().filter(|change| change.action == Action::Delete) {
        // The line where it was declared holds something else now.
        let at = change.at.as_ref().map(|at| format!(", which was declared at {}", place(at))).unwrap_or_default();
        out.push_str(&annotation("warning", "delete", None, &format!("deletes {}{at}", change.address)));
    }
    let title = format!("Plan {} on {}", short(&plan.plan_id), plan.base.revision);
    out.push_str(&annotation("notice", &title, None, &summary_line(&plan.summary)));
    out
}

/// Why a command failed, with its findings.
pub(crate) fn failure(problem: &Problem) -> String {
    let causes = problem.causes.iter().map(|cause| format!("\ncaused by: {cause}")).collect::<String>();
    let help = problem.help.as_ref().map(|help| format!("\nhelp: {help}")).unwrap_or_default();
    let message = format!("{}{causes}{help}", problem.message);
    annotations(&problem.diagnostics) + &annotation("error", &problem.code, None, &message)
}

/// Findings.
pub(crate) fn annotations(diagnostics: &[Diagnostic]) -> String {
    let one = |found: &Diagnostic| {
        let command = match found.severity {
            Severity::Error => "error",
            Severity::Warning => "warning",
            Severity::Note => "notice",
        };
        let place = found.labels.iter().find(|label| label.primary).or(found.labels.first());
        let mark = place.map(|label| label.text.as_str()).filter(|text| !text.is_empty());
        let mark = mark.map(|text| format!(": {text}")).unwrap_or_default();
        let help = found.help.as_ref().map(|help| format!("\nhelp: {help}")).unwrap_or_default();
        let message = format!("{}{mark}{help}", found.message);
        annotation(command, &found.code, place.map(|label| &label.at), &message)
    };
    diagnostics.iter().map(one).collect()
}

fn annotation(command: &str, title: &str, at: Option<&Position>, message: &str) -> String {
    let place = at.map(|at| format!("file={},line={},col={},", property(&at.file), at.line, at.column));
    format!("::{command} {}title={}::{}\n", place.unwrap_or_default(), property(title), data(message))
}

/// The runner takes these escapes back, so a value can neither end the line nor begin a command.
fn data(text: &str) -> String {
    let lines: Vec<String> = text.split('\n').map(|line| visible(line).replace('%', "%25")).collect();
    lines.join("%0A")
}

fn property(text: &str) -> String {
    visible(text).replace('%', "%25").replace(':', "%3A").replace(',', "%2C")
}
