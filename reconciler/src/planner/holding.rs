//! Holds what is declared against its kind. Manifests were, when they were read; what a client sends was not.
//!
//! Never here: what a shape is (`held.rs`), what stands as it was applied, and what a rollback declares; both were held when they were new.

use super::Planner;
use crate::desired::Declared;
use crate::error::{Problem, ProblemKind};
use crate::held;
use crate::kind::KindSpec;
use crate::resource::Record;
use crate::value::is_absent;
use crate::veil;

impl Planner<'_> {
    /// Refuses values of another shape than the kind's, secrets in clear, and a new resource without what it must have.
    pub(super) fn hold(&self, declared: &Declared, kind: &KindSpec, live: Option<&Record>) -> Result<(), Problem> {
        if self.input.options.rollback.is_some() {
            return Ok(());
        }
        let Declared { address, fields, .. } = declared;
        if let Some(path) = veil::in_clear(kind, fields).first() {
            let message = format!("`{path}` of `{address}` is a secret and stands among the fields");
            let problem = Problem::new(ProblemKind::Invalid, "E_SENSITIVE", message);
            return Err(problem.help("declare it among the `secrets`, which are sealed"));
        }
        for (field, value) in fields.iter().filter(|(_, value)| !is_absent(value)) {
            if live.is_none_or(|live| live.fields.get(field) != Some(value)) {
                held::value(kind, address, field, value)?;
            }
        }
        match live {
            Some(_) => Ok(()),
            None => held::made(kind, address, fields),
        }
    }
}
