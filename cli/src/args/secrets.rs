//! Verbs and flags of shared secrets.
//!
//! Never here: what is done with them.

use std::path::PathBuf;

use clap::{Args, Subcommand};
use holdfast_engine::Timestamp;
use holdfast_reconciler::plane::Moment;

use super::{Here, WriteArgs};

/// What to do with shared secrets.
#[derive(Clone, Debug, Subcommand)]
pub(crate) enum SecretVerb {
    /// Sets a secret; its value comes from standard input, a file or a variable
    Set(SecretSetArgs),
    /// Lists the secrets without their values
    List(Here),
    /// Removes a secret
    Remove(SecretRemoveArgs),
    /// Makes a new master key and seals everything anew under it; one that was interrupted goes on
    Rotate(SecretRotateArgs),
}

/// Flags of `secret set`.
#[derive(Clone, Debug, Args)]
pub(crate) struct SecretSetArgs {
    /// Its name, such as `provider:z-ai:apiKey`
    pub(crate) name: String,
    /// When it stops counting, as in `2027-01-31T00:00:00Z`
    #[arg(long, value_name = "TIME", value_parser = time)]
    pub(crate) expires: Option<Timestamp>,
    #[command(flatten)]
    pub(crate) value: ValueArgs,
    #[command(flatten)]
    pub(crate) write: WriteArgs,
}

/// Where a secret value comes from, if not from standard input.
#[derive(Clone, Debug, Args)]
pub(crate) struct ValueArgs {
    /// Takes the value from this file
    #[arg(long, value_name = "PATH", conflicts_with = "from_env")]
    pub(crate) from_file: Option<PathBuf>,
    /// Takes the value from this environment variable
    #[arg(long, value_name = "NAME")]
    pub(crate) from_env: Option<String>,
}

/// Reads a time.
pub(super) fn time(text: &str) -> Result<Timestamp, String> {
    match text.parse() {
        Ok(Moment::Time(time)) => Ok(time),
        Ok(Moment::Revision(_)) | Err(_) => Err("write a time as in `2027-01-31T00:00:00Z`".to_owned()),
    }
}

/// Flags of `secret rotate`.
#[derive(Clone, Debug, Args)]
pub(crate) struct SecretRotateArgs {
    /// Who, for the history [default: HOLDFAST_AUTHOR, else the user's name]
    #[arg(long, value_name = "NAME", value_parser = super::author)]
    pub(crate) author: Option<String>,
}

/// Flags of `secret remove`.
#[derive(Clone, Debug, Args)]
pub(crate) struct SecretRemoveArgs {
    /// Its name
    pub(crate) name: String,
    #[command(flatten)]
    pub(crate) write: WriteArgs,
}
