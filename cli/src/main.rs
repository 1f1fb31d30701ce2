//! The `reconcile` command.
mod args;
mod error;
mod output;
mod render;
fn main() {}
