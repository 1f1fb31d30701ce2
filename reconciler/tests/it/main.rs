//! The integration tests of the reconciler.

// Helpers of tests may unwrap as tests do.
#![allow(clippy::unwrap_used)]

mod manifest_files;
mod manifest_invalid;
mod manifest_valid;
mod support;
