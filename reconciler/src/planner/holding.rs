//! Holds what is declared against its kind. Manifests were, when they were read; what a client sends was not.
//!
//! A field that a manifest does not know may be one of another consumer and is taken as it comes, as an import takes it. Never
//! here: what stands as it was applied, and what a rollback declares; both were held when they were new.

use super::Planner;
use crate::agents::fields;
use crate::desired::Declared;
use crate::error::{Problem, ProblemKind};
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
        let own = kind.definition.as_deref();
        let wrong = |wrong: String| Problem::new(ProblemKind::Invalid, "E_FIELD", format!("`{address}`: {wrong}"));
        let owned = |found: String| wrong(found).help(format!("`[kinds.{}]` says what it has", address.kind));
        let builtin = |found: fields::FieldError| wrong(found.to_string()).help(found.help());
        for (field, value) in fields.iter().filter(|(_, value)| !is_absent(value)) {
            if live.is_some_and(|live| live.fields.get(field) == Some(value)) {
                continue;
            }
            match own {
                Some(own) => own.check(field, value).map_err(owned)?,
                None => fields::check_foreign(&kind.name, field, value).map_err(builtin)?,
            }
        }
        match (live, own) {
            (Some(_), _) => Ok(()),
            (None, Some(own)) => own.check_made(fields).map_err(owned),
            (None, None) => fields::check_made(&kind.name, fields).map_err(builtin),
        }
    }
}
