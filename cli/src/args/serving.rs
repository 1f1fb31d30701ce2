//! Flags of `serve`.
//!
//! Never here: what is done with them.

use std::path::PathBuf;

use clap::Args;

/// Flags of `serve`.
#[derive(Clone, Debug, Args)]
pub(crate) struct ServeArgs {
    /// The project's directory
    #[arg(value_name = "DIR")]
    pub(crate) directory: Option<PathBuf>,
}
