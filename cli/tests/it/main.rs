//! The integration tests of the command: the real binary, real stores, real servers.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod e2e;
