//! Verbs and flags of access tokens.
//!
//! Never here: what is done with them.

use clap::{Args, Subcommand};
use holdfast_reconciler::plane::Role;
use holdfast_reconciler::resource::OrgId;

use super::{Here, Span};

/// What to do with access tokens.
#[derive(Clone, Debug, Subcommand)]
pub(crate) enum TokenVerb {
    /// Makes a token and prints it, this once
    Create(TokenCreateArgs),
    /// Lists the tokens without themselves
    List(Here),
    /// Revokes a token: it does not count any more once this has returned
    Revoke(TokenRevokeArgs),
}

/// Flags of `token create`.
#[derive(Clone, Debug, Args)]
pub(crate) struct TokenCreateArgs {
    /// Its name, by which the history says who wrote
    pub(crate) name: String,
    /// What its holder may do: `read` (plan and watch too), `apply` (edit, set secrets and open sessions too) or `admin`
    #[arg(long)]
    pub(crate) role: Role,
    /// An organisation that it is for; may be given again [default: the command's organisation]
    #[arg(long = "for", value_name = "ORG", conflicts_with = "all_orgs")]
    pub(crate) orgs: Vec<OrgId>,
    /// It is for all organisations, those that are made later too, and for the store itself
    #[arg(long)]
    pub(crate) all_orgs: bool,
    /// When it stops counting, from now, as in `30d`
    #[arg(long, value_name = "SPAN", default_value = "90d")]
    pub(crate) expires_in: Span,
    /// Who, for the history [default: HOLDFAST_AUTHOR, else the user's name]
    #[arg(long, value_name = "NAME", value_parser = super::author)]
    pub(crate) author: Option<String>,
}

/// Flags of `token revoke`.
#[derive(Clone, Debug, Args)]
pub(crate) struct TokenRevokeArgs {
    /// Its name or its id
    pub(crate) token: String,
    /// Who, for the history [default: HOLDFAST_AUTHOR, else the user's name]
    #[arg(long, value_name = "NAME", value_parser = super::author)]
    pub(crate) author: Option<String>,
}
