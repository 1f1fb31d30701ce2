//! How things look: pure functions from the reconciler's types to text, JSON, Markdown and annotations.
//!
//! A renderer knows all types and decides nothing: counts, order of importance and verdicts come from its input. Never
//! here: writing anything anywhere (`output.rs` does), the environment, the clock.

pub(crate) mod compare;
pub(crate) mod conditions;
pub(crate) mod diagnostic;
pub(crate) mod escape;
pub(crate) mod fitting;
pub(crate) mod followers;
pub(crate) mod github;
pub(crate) mod ink;
pub(crate) mod json;
pub(crate) mod keeping;
pub(crate) mod listing;
pub(crate) mod markdown;
pub(crate) mod markup;
pub(crate) mod origins;
pub(crate) mod problem;
pub(crate) mod row;
pub(crate) mod session;
pub(crate) mod text;
pub(crate) mod transfer;
pub(crate) mod value;
pub(crate) mod watch;

#[cfg(test)]
#[path = "../../tests/it/facts.rs"]
mod facts;
#[cfg(test)]
mod fixtures;
#[cfg(test)]
mod random;
#[cfg(test)]
mod schema;
#[cfg(test)]
mod tests;
