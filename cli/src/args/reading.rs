//! Flags of what reads the store.
//!
//! Never here: what is done with them.

use clap::{Args, value_parser};
use holdfast_reconciler::plane::Moment;

/// Flags of `history`.
#[derive(Clone, Debug, Args)]
pub(crate) struct HistoryArgs {
    /// Only commits that touch this: a resource (`settings/triage`), a kind (`settings/`), a raw key (`kv/a/b`) or all below
    /// one (`kv/a/`)
    pub(crate) what: Option<String>,
    /// At most this many
    #[arg(long, value_name = "N", value_parser = value_parser!(u32).range(1..))]
    pub(crate) limit: Option<u32>,
}

/// Flags of `diff`.
#[derive(Clone, Debug, Args)]
pub(crate) struct DiffArgs {
    /// The revision that counts as before, as in `r41`, or a time, as in `2026-11-22T14:03:00Z`
    #[arg(value_name = "FROM")]
    pub(crate) from: Moment,
    /// The one that counts as after
    #[arg(value_name = "TO")]
    pub(crate) to: Moment,
    /// Only this: a resource (`settings/triage`), a kind (`settings/`), a raw key (`kv/a/b`) or all below one (`kv/a/`)
    pub(crate) what: Option<String>,
    /// Cuts no value
    #[arg(long)]
    pub(crate) full: bool,
    /// Exits with 2 if anything differs
    #[arg(long)]
    pub(crate) exit_code: bool,
}

/// Flags of `get`.
#[derive(Clone, Debug, Args)]
pub(crate) struct GetArgs {
    /// The resource, as in `settings/triage` or `acme:settings/triage`, or a raw key, as in `kv/a/b`
    pub(crate) address: String,
    /// Cuts no value
    #[arg(long)]
    pub(crate) full: bool,
}

/// Flags of `watch`.
#[derive(Clone, Debug, Args)]
pub(crate) struct WatchArgs {
    /// Only what begins so: `settings/`, `settings/triage`, `kv/a/`; all without it
    pub(crate) prefix: Option<String>,
    /// Begins after this revision (`r41`), time, or token of an earlier watch; without it, now
    #[arg(long, value_name = "rN|TIME|TOKEN")]
    pub(crate) from: Option<String>,
}

/// Flags of `show`.
#[derive(Clone, Debug, Args)]
pub(crate) struct ShowArgs {
    /// The revision, as in `r41`, a time (the commit that was the newest then), or the file of a sealed plan
    #[arg(value_name = "REVISION|FILE")]
    pub(crate) what: String,
}
