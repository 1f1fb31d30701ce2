//! The integration tests of the reconciler, one module for each subject.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod at_rest;
mod campaign;
mod diff;
mod effects;
mod flags;
mod fresh;
mod guards;
mod house;
mod isolation;
mod manifest_files;
mod manifest_fuzz;
mod manifest_invalid;
mod manifest_schema;
mod manifest_secrets;
mod manifest_valid;
mod manifest_vectors;
mod moved;
mod original;
mod own_kinds;
mod planes;
mod profiles;
mod rotation;
mod sealed;
mod session_cases;
mod story;
mod support;
mod tokens;
mod workers;
