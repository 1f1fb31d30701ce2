//! Verbs and flags of the profiles of users.
//!
//! Never here: what is done with them.

use clap::{Args, Subcommand};
use holdfast_engine::Timestamp;
use holdfast_reconciler::agents::profile::ProfileType;

use super::WriteArgs;
use super::secrets::{ValueArgs, time};

/// What to do with profiles.
#[derive(Clone, Debug, Subcommand)]
pub(crate) enum ProfileVerb {
    /// Sets a user's credential for a provider; its value comes from standard input, a file or a variable
    Set(ProfileSetArgs),
    /// Lists the profiles without their values
    List(ProfileListArgs),
    /// Removes a user's credential for a provider
    Remove(ProfileRemoveArgs),
}

/// Flags of `profile set`.
#[derive(Clone, Debug, Args)]
pub(crate) struct ProfileSetArgs {
    /// The user
    pub(crate) user: String,
    /// The provider, such as `z-ai`
    pub(crate) provider: String,
    /// The model reference that it counts for [default: all models]
    #[arg(long, value_name = "REFERENCE")]
    pub(crate) model: Option<String>,
    /// How it was obtained: `api-key`, `oauth` or `device-code`; an agent's owner shares keys only
    #[arg(long = "type", value_name = "TYPE", default_value = "api-key")]
    pub(crate) kind: ProfileType,
    /// When it stops counting, as in `2027-01-31T00:00:00Z`
    #[arg(long, value_name = "TIME", value_parser = time)]
    pub(crate) expires: Option<Timestamp>,
    /// Uses the value of this shared secret instead of one of its own
    #[arg(long, value_name = "SECRET", conflicts_with_all = ["from_file", "from_env"])]
    pub(crate) from_secret: Option<String>,
    #[command(flatten)]
    pub(crate) value: ValueArgs,
    #[command(flatten)]
    pub(crate) write: WriteArgs,
}

/// Flags of `profile list`.
#[derive(Clone, Debug, Args)]
pub(crate) struct ProfileListArgs {
    /// Only this user's
    #[arg(long)]
    pub(crate) user: Option<String>,
}

/// Flags of `profile remove`.
#[derive(Clone, Debug, Args)]
pub(crate) struct ProfileRemoveArgs {
    /// The user
    pub(crate) user: String,
    /// The provider
    pub(crate) provider: String,
    /// Only the one for this model reference, or `*` [default: all that the user has for the provider]
    #[arg(long, value_name = "REFERENCE")]
    pub(crate) model: Option<String>,
    #[command(flatten)]
    pub(crate) write: WriteArgs,
}
