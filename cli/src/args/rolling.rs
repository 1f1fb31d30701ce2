//! Flags of putting an earlier revision back, of letting a held source go on, and of approving what a loop
//! planned.
//!
//! Never here: what is done with them.

use clap::Args;
use holdfast_reconciler::plane::Moment;
use holdfast_reconciler::resource::SourceName;

use super::PlanArgs;

/// Flags of `rollback`.
#[derive(Clone, Debug, Args)]
pub(crate) struct RollbackArgs {
    /// The revision to put back, or a time: what the source declared then
    #[arg(value_name = "REVISION")]
    pub(crate) to: Moment,
    /// The source [default: the project's, else the store's only one]
    #[arg(long, value_name = "NAME")]
    pub(crate) source: Option<SourceName>,
    #[command(flatten)]
    pub(crate) plan: PlanArgs,
}

/// Flags of `resume`.
#[derive(Clone, Debug, Args)]
pub(crate) struct ResumeArgs {
    /// The source [default: the store's only one]
    #[arg(value_name = "SOURCE")]
    pub(crate) source: Option<SourceName>,
    /// Why, for the history
    #[arg(long, short = 'm', value_name = "TEXT")]
    pub(crate) message: Option<String>,
    /// Who, for the history [default: HOLDFAST_AUTHOR, else the user's name]
    #[arg(long, value_name = "NAME", value_parser = super::author)]
    pub(crate) author: Option<String>,
}

/// Flags of `approve`.
#[derive(Clone, Debug, Args)]
pub(crate) struct ApproveArgs {
    /// The id of the plan that waits, as `status` shows it
    #[arg(value_name = "PLAN_ID")]
    pub(crate) plan: String,
    /// Why, for the history
    #[arg(long, short = 'm', value_name = "TEXT")]
    pub(crate) message: Option<String>,
    /// Who, for the history [default: HOLDFAST_AUTHOR, else the user's name]
    #[arg(long, value_name = "NAME", value_parser = super::author)]
    pub(crate) author: Option<String>,
}
