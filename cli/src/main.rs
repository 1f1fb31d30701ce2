//! The `reconcile` command: from arguments to one verb to an exit code.
//!
//! Data goes one way: `args` -> `setting` (the environment joined in, once) -> `commands/<verb>` -> `output`. Decisions are
//! the control plane's; here things are asked, shown and passed on.

mod args;
mod clock;
mod commands;
mod confirm;
mod connect;
mod error;
mod output;
mod project;
mod render;
mod setting;
mod usage;

use std::process::ExitCode;

fn main() -> ExitCode {
    let arguments: Vec<std::ffi::OsString> = std::env::args_os().collect();
    commands::run(&arguments).into()
}
