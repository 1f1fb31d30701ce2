//! Verbs and flags of followers.
//!
//! Never here: what is done with them.

use clap::{Args, Subcommand};

use super::Here;

/// What to do with followers.
#[derive(Clone, Debug, Subcommand)]
pub(crate) enum FollowerVerb {
    /// Lists the followers that are known, with the revision that each runs
    List(Here),
    /// Takes one off that will not come back, so that nothing waits for it; one that still follows is known again at its next word
    Remove(FollowerRemoveArgs),
}

/// Flags of `follower remove`.
#[derive(Clone, Debug, Args)]
pub(crate) struct FollowerRemoveArgs {
    /// Its name or its id
    pub(crate) follower: String,
}
