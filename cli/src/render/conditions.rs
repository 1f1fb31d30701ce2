//! How resources with an actuator stand outside the store, as text.
//!
//! Never here: asking for it.

use holdfast_reconciler::plane::{Condition, ConditionState, Status};

use super::ink::{Role, Text};
use super::text::counted;

/// Draws what is not ready, and how many are.
pub(crate) fn conditions(text: &mut Text, status: &Status) {
    let Status { conditions, conditions_ready, conditions_omitted, actuators, .. } = status;
    if actuators.is_empty() && conditions.is_empty() {
        return;
    }
    let open = conditions.len() as u64 + conditions_omitted;
    text.end().add(Role::Strong, "Outside:");
    text.plain(format!("  {} ready, {open} not", counted(*conditions_ready, "resource"))).end();
    conditions.iter().for_each(|found| condition(text, found, 2));
    if *conditions_omitted > 0 {
        text.line(format!("  and {conditions_omitted} more"));
    }
}

/// Draws one condition.
pub(crate) fn condition(text: &mut Text, found: &Condition, indent: usize) {
    let Condition { address, state, reason, message, wanted, observed, since, attempts, next_try } = found;
    let role = match state {
        ConditionState::Ready => Role::Create,
        ConditionState::Reconciling => Role::Warning,
        ConditionState::Unknown => Role::Quiet,
        ConditionState::Stalled => Role::Error,
    };
    let space = " ".repeat(indent);
    let revision = wanted.map_or("to be removed".to_owned(), |revision| format!("wanted {revision}"));
    let observed = observed.map_or("unknown".to_owned(), |revision| revision.to_string());
    text.plain(&space).plain(address.to_string()).plain("  ").add(role, state.as_text());
    text.plain(format!(" ({reason})  since {since}  {revision}, observed {observed}")).end();
    if !message.is_empty() {
        text.plain(&space).plain("    ").plain(message).end();
    }
    if *state != ConditionState::Ready && *attempts > 0 {
        let tried = if *attempts == 1 { "tried once".to_owned() } else { format!("tried {attempts} times") };
        let next = next_try.as_ref().map(|next| format!(", again at {next}")).unwrap_or_default();
        text.plain(&space).plain("    ").add(Role::Quiet, format!("{tried}{next}")).end();
    }
}
