//! Values that no manifest reader has looked at, held against their kind: what a client declares and what an import brings.
//!
//! A field that a manifest does not know may be one of another consumer and is taken as it comes. Never here: secrets in clear
//! (`veil.rs`), and what an edit may do (`edit.rs`).

use crate::agents::fields;
use crate::error::{Problem, ProblemKind};
use crate::kind::KindSpec;
use crate::resource::Address;
use crate::value::{Fields, Value};

/// Refuses a value of another shape than the field's.
pub(crate) fn value(kind: &KindSpec, address: &Address, field: &str, value: &Value) -> Result<(), Problem> {
    match &kind.definition {
        Some(own) => own.check(field, value).map_err(|wrong| own_problem(address, &wrong)),
        None => fields::check_foreign(&kind.name, field, value).map_err(|wrong| builtin_problem(address, &wrong)),
    }
}

/// Refuses a new resource that lacks what a manifest must declare.
pub(crate) fn made(kind: &KindSpec, address: &Address, made: &Fields) -> Result<(), Problem> {
    match &kind.definition {
        Some(own) => own.check_made(made).map_err(|wrong| own_problem(address, &wrong)),
        None => fields::check_made(&kind.name, made).map_err(|wrong| builtin_problem(address, &wrong)),
    }
}

fn own_problem(address: &Address, wrong: &str) -> Problem {
    problem(address, wrong).help(format!("`[kinds.{}]` says what it has", address.kind))
}

fn builtin_problem(address: &Address, wrong: &fields::FieldError) -> Problem {
    problem(address, &wrong.to_string()).help(wrong.help())
}

fn problem(address: &Address, wrong: &str) -> Problem {
    Problem::new(ProblemKind::Invalid, "E_FIELD", format!("`{address}`: {wrong}"))
}
