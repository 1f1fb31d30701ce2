//! A failure as text: what, why, how each step went, what to do.
//!
//! Never here: exit codes (`error.rs`), and where it is written.

use holdfast_reconciler::agents::evidence::{Evidence, Outcome};
use holdfast_reconciler::error::Problem;
use holdfast_reconciler::plan::Blocked;

use super::diagnostic;
use super::ink::{Colour, Role, Text};

/// Draws a failure: the findings first, so that the line that sums them up stands last.
pub(crate) fn draw(problem: &Problem, colour: Colour) -> String {
    format!("{}{}", diagnostic::draw(&problem.diagnostics, colour), headline(problem).render(colour))
}

fn headline(problem: &Problem) -> Text {
    let mut text = Text::new();
    text.add(Role::Error, format!("error[{}]", problem.code)).plain(": ").add(Role::Strong, &problem.message).end();
    for cause in &problem.causes {
        text.plain("  caused by: ").plain(cause).end();
    }
    for step in &problem.evidence {
        text.append(evidence(step));
    }
    match problem.blocked.as_slice() {
        [] => text.append(help(problem.help.as_deref())),
        // The headline has said why already.
        [only] => text.append(remedies(only)),
        several => {
            for blocked in several {
                text.plain("  ").add(Role::Error, format!("blocked[{}]", blocked.code)).plain(": ");
                text.plain(&blocked.message).end().append(remedies(blocked));
            }
            &mut text
        }
    };
    text
}

fn help(help: Option<&str>) -> Text {
    let mut text = Text::new();
    if let Some(help) = help {
        text.plain("  ").add(Role::Help, "help: ").plain(help).end();
    }
    text
}

/// The ways out; a flag alone is to be added to the command that was refused.
fn remedies(blocked: &Blocked) -> Text {
    let mut text = Text::new();
    for remedy in &blocked.remedies {
        let remedy = if remedy.starts_with("--") { format!("add `{remedy}`") } else { remedy.clone() };
        text.append(help(Some(&remedy)));
    }
    text
}

/// One step of a resolution on one line.
pub(crate) fn evidence(step: &Evidence) -> Text {
    let role = match step.outcome {
        Outcome::Used => Role::Create,
        Outcome::Found => Role::Plain,
        Outcome::Absent | Outcome::Unknown | Outcome::Skipped => Role::Quiet,
        Outcome::Expired | Outcome::Undecryptable | Outcome::Unresolved => Role::Warning,
    };
    let mut text = Text::new();
    text.plain("  * ").add(role, step.to_string()).end();
    text
}
