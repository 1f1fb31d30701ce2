//! Flags of waiting.
//!
//! Never here: what is done with them.

use clap::Args;
use holdfast_engine::Revision;
use holdfast_reconciler::resource::SourceName;

/// Flags of `wait`.
#[derive(Clone, Debug, Args)]
#[group(required = true, multiple = true, id = "what")]
pub(crate) struct WaitArgs {
    /// Until this revision, or a later one, is the newest
    #[arg(long, value_name = "REVISION", group = "what")]
    pub(crate) revision: Option<Revision>,
    /// Until that revision, or without --revision the newest, is real: everything with an actuator outside, and every follower runs it
    #[arg(long, group = "what")]
    pub(crate) observed: bool,
    /// Until a source has this Git commit in force, as when a loop applies what was pushed; its first characters are enough
    #[arg(long, value_name = "COMMIT", group = "what")]
    pub(crate) git: Option<String>,
    /// The source of --git [default: any]
    #[arg(long, value_name = "NAME", requires = "git")]
    pub(crate) source: Option<SourceName>,
    /// After so many seconds it gives up and exits with 5
    #[arg(long, value_name = "S", default_value_t = 60)]
    pub(crate) timeout: u64,
}
