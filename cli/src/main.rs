//! The `reconcile` command: from arguments to one verb to an exit code.
//!
//! Data goes one way: `args` -> `setting` (the environment joined in, once) -> `commands/<verb>` -> `output`. Decisions are
//! the control plane's; here things are asked, shown and passed on.

mod again;
mod args;
mod clock;
mod closed;
mod commands;
mod confirm;
mod connect;
mod descriptors;
mod error;
mod leave;
mod output;
mod project;
mod remote;
mod render;
mod retention;
mod setting;
mod usage;

use std::process::ExitCode;

/// A plan builds and drops hundreds of thousands of small values; figures of both allocators are in `docs/benchmarks.md`.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    let arguments: Vec<std::ffi::OsString> = std::env::args_os().collect();
    commands::run(&arguments).into()
}
