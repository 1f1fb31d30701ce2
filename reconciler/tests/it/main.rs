//! The integration tests of the reconciler, one module for each subject.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod story;
mod support;
