//! The `reconcile` binary as a caller sees it: arguments in; exit status, standard output and standard error out.
//!
//! Every run is hermetic: an empty environment, a folder of its own, paths and ids made equal before they are compared.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod apply;
mod args;
mod e2e;
mod facts;
mod house;
mod init;
mod manifest;
mod plan;
mod scenarios;
mod secret;
mod serve;
mod store;
mod support;
mod terminal;
