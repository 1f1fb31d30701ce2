//! Flags of live edits, and of taking them into the manifest.
//!
//! Never here: what is done with them.

use clap::Args;
use holdfast_engine::Revision;

use super::WriteArgs;

/// Flags of `set`.
#[derive(Clone, Debug, Args)]
pub(crate) struct SetArgs {
    /// The resource, as in `settings/triage`
    pub(crate) address: String,
    /// What to set, as in `name=Triage` or `providerModelPreferences.z-ai=glm-4.5`; a value is JSON if it reads as JSON,
    /// else text
    #[arg(value_name = "FIELD=VALUE", required = true)]
    pub(crate) assignments: Vec<String>,
    /// Makes the resource, which must not exist yet
    #[arg(long)]
    pub(crate) create: bool,
    #[command(flatten)]
    pub(crate) edit: EditArgs,
}

/// Flags of `unset`.
#[derive(Clone, Debug, Args)]
pub(crate) struct UnsetArgs {
    /// The resource, as in `settings/triage`
    pub(crate) address: String,
    /// What to take out, as in `soulMd` or `providerModelPreferences.z-ai`; without it the whole resource is deleted
    #[arg(value_name = "FIELD")]
    pub(crate) fields: Vec<String>,
    /// Deletes without asking, if exactly N resources go; an agent's settings and platforms go with it
    #[arg(long, value_name = "N")]
    pub(crate) allow_delete: Option<u64>,
    #[command(flatten)]
    pub(crate) edit: EditArgs,
}

/// Flags of `adopt`.
#[derive(Clone, Debug, Args)]
pub(crate) struct AdoptArgs {
    /// The resource, as in `settings/triage`
    pub(crate) address: String,
    /// The field, as in `providerModelPreferences` [default: all that differ]
    pub(crate) field: Option<String>,
    /// Shows what would be written
    #[arg(long)]
    pub(crate) dry_run: bool,
}

/// Flags of `set` and `unset`.
#[derive(Clone, Debug, Args)]
pub(crate) struct EditArgs {
    /// Only if the resource was last touched in this revision
    #[arg(long, value_name = "REVISION")]
    pub(crate) if_modified: Option<Revision>,
    /// Why, for the history
    #[arg(long, short = 'm', value_name = "TEXT")]
    pub(crate) message: Option<String>,
    #[command(flatten)]
    pub(crate) write: WriteArgs,
}
