//! Flags of what keeps a store: exports and imports, backups, verification, repair, compaction.
//!
//! Never here: what is done with them.

use std::path::PathBuf;

use clap::Args;

use super::WriteArgs;

/// Flags of `import`.
#[derive(Clone, Debug, Args)]
pub(crate) struct ImportArgs {
    /// The file that `reconcile export` wrote
    pub(crate) file: PathBuf,
    /// Puts the file's state in the place of live resources that differ; else they block
    #[arg(long)]
    pub(crate) overwrite: bool,
    /// Says what it would do; changes nothing and makes no store
    #[arg(long)]
    pub(crate) dry_run: bool,
    /// Why, for the history
    #[arg(long, short = 'm', value_name = "TEXT")]
    pub(crate) message: Option<String>,
    #[command(flatten)]
    pub(crate) write: WriteArgs,
}
