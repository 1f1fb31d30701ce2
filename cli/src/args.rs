//! The command line: verbs, flags, and the help that describes them; the flags of each subject stand in a room of their own.
//!
//! Names and meanings are DESIGN section 10's. Never here: doing anything, reading the environment, and defaults that
//! depend on it (`setting.rs`).

mod editing;
mod followers;
mod keeping;
mod planning;
mod profiles;
mod reading;
mod rolling;
mod secrets;
mod serving;
mod sessions;
mod tokens;
mod waiting;
mod words;

use std::path::PathBuf;

use clap::{Args, CommandFactory, Parser, Subcommand, ValueEnum};
use clap_complete::Shell;
use holdfast_reconciler::plane::Moment;
use holdfast_reconciler::resource::OrgId;

pub(crate) use self::editing::{AdoptArgs, EditArgs, SetArgs, UnsetArgs};
pub(crate) use self::followers::FollowerVerb;
pub(crate) use self::keeping::{BackupArgs, CompactArgs, CompactRule, ImportArgs, RestoreArgs, Span};
pub(crate) use self::planning::{ApplyArgs, CheckArgs, GrammarName, InitArgs, PlanArgs};
pub(crate) use self::profiles::{ProfileRemoveArgs, ProfileSetArgs, ProfileVerb};
pub(crate) use self::reading::{DiffArgs, GetArgs, HistoryArgs, ShowArgs, WatchArgs};
pub(crate) use self::rolling::{ApproveArgs, ResumeArgs, RollbackArgs};
pub(crate) use self::secrets::{SecretVerb, ValueArgs};
pub(crate) use self::serving::{LogFormat, ServeArgs};
pub(crate) use self::sessions::{ExplainArgs, ExplainVerb, SessionArgs};
pub(crate) use self::tokens::{TokenCreateArgs, TokenVerb};
pub(crate) use self::waiting::WaitArgs;
pub(crate) use self::words::Words;

const AFTER_HELP: &str = "\
Examples:
  reconcile                      plan, show, ask, apply the project in this directory
  reconcile --dry-run            plan and show only
  reconcile --yes                apply without asking; deletes need --allow-delete N as well
  reconcile session triage       what a new session of the agent `triage` is given, and why
  reconcile get settings/triage  one live resource with its owners
  reconcile explain settings/triage soulMd   who set a value, when and why, and what it was before
  reconcile diff r41 r42         what a commit changed

Exit codes:
  0  done, no change, or a plan that only lacks secret values
  1  error, or \"no\" at the prompt
  2  changes, with --exit-code on a dry run
  3  blocked: a guard needs a decision; nothing was changed
  4  stale: something else was applied in between; nothing was changed
  5  it took longer than --timeout, of `wait` and with --wait
  64 usage      130 Ctrl-C

Environment: HOLDFAST_STORE, HOLDFAST_ORG, HOLDFAST_KEY, HOLDFAST_KEY_FILE, HOLDFAST_TOKEN,
  HOLDFAST_AUTHOR, NO_COLOR";

/// Brings the live state of agents to what the manifests declare, as one revision, and says what sessions will see.
#[derive(Debug, Parser)]
#[command(name = "reconcile", version, after_help = AFTER_HELP, max_term_width = 100)]
pub(crate) struct Cli {
    #[command(flatten)]
    pub(crate) global: Global,
    #[command(flatten)]
    pub(crate) plan: PlanArgs,
    #[command(subcommand)]
    pub(crate) verb: Option<Verb>,
}

/// Flags that every verb takes.
#[derive(Clone, Debug, Args)]
pub(crate) struct Global {
    /// Works as if started in DIR; the project is looked for there
    #[arg(id = "project", short = 'C', value_name = "DIR", global = true, help_heading = "Global options")]
    pub(crate) directory: Option<PathBuf>,
    /// The store's folder [default: `.holdfast` in the project, or HOLDFAST_STORE]
    #[arg(long, value_name = "PATH", global = true, help_heading = "Global options")]
    pub(crate) store: Option<PathBuf>,
    /// A server on the network, as `https://HOST:PORT`; its token is in HOLDFAST_TOKEN or --token-file
    #[arg(long, value_name = "URL", global = true, conflicts_with = "store", help_heading = "Global options")]
    pub(crate) server: Option<String>,
    /// The file that holds the access token for --server; only you may be able to read it
    #[arg(long, value_name = "PATH", global = true, requires = "server", help_heading = "Global options")]
    pub(crate) token_file: Option<PathBuf>,
    /// The organisation [default: the project's `[memory] org`, HOLDFAST_ORG, the store's only one, `default`]
    #[arg(long, global = true, help_heading = "Global options")]
    pub(crate) org: Option<OrgId>,
    /// The form of the output; `markdown` and `github` for plans and `check`
    #[arg(long, value_enum, default_value_t, global = true, help_heading = "Global options")]
    pub(crate) format: Format,
    /// When to use colours
    #[arg(long, value_enum, default_value_t, value_name = "WHEN", global = true, help_heading = "Global options")]
    pub(crate) color: ColourChoice,
    /// Says errors only
    #[arg(short, long, global = true, conflicts_with = "verbose", help_heading = "Global options")]
    pub(crate) quiet: bool,
    /// Says more: notes about how the answer was found
    #[arg(short, long, global = true, help_heading = "Global options")]
    pub(crate) verbose: bool,
    /// How many seconds to wait for a store that another process holds
    #[arg(long, value_name = "SECONDS", default_value_t = 10, global = true, help_heading = "Global options")]
    pub(crate) lock_timeout: u64,
    /// Reads as of this revision, as in `r41`, or time, as in `2026-11-22T14:03:00Z`
    #[arg(long, value_name = "MOMENT", global = true, help_heading = "Global options")]
    pub(crate) at: Option<Moment>,
}

/// What to do; without a verb: plan, show, ask, apply.
#[derive(Clone, Debug, Subcommand)]
pub(crate) enum Verb {
    /// Shows what an apply would do; the same as --dry-run
    Plan(PlanArgs),
    /// Applies a sealed plan exactly as it was shown, or not at all
    Apply(ApplyArgs),
    /// Puts back what a source declared at an earlier revision, as a plan like any other; secrets stay as they are
    Rollback(RollbackArgs),
    /// Lets a source go on that a rollback or an apply by hand holds
    Resume(ResumeArgs),
    /// Applies a plan that a loop left to somebody
    Approve(ApproveArgs),
    /// Waits until a revision is there or a Git commit is in force; exits with 5 if that takes too long
    Wait(WaitArgs),
    /// Writes a small commented project; overwrites nothing
    Init(InitArgs),
    /// Reads the manifests and reports every finding; needs no store
    Check(CheckArgs),
    /// Holds the store and answers other commands and programs through its socket
    Serve(ServeArgs),
    /// Shows what a session of an agent is given, and why
    Session(SessionArgs),
    /// Shows where the values of a resource come from, or why a session gets what it gets
    Explain(ExplainArgs),
    /// Changes fields of one live resource at once, as an actor and not as a source
    Set(SetArgs),
    /// Writes live values into the manifest that declares them, comments and order kept
    Adopt(AdoptArgs),
    /// Takes fields out of one live resource, or deletes it, as an actor
    Unset(UnsetArgs),
    /// Sets, lists and removes shared secrets; values never stand in arguments
    #[command(subcommand)]
    Secret(SecretVerb),
    /// Sets, lists and removes the credentials of single users; values never stand in arguments
    #[command(subcommand)]
    Profile(ProfileVerb),
    /// Makes, lists and revokes the access tokens of clients on the network
    #[command(subcommand)]
    Token(TokenVerb),
    /// Lists the followers of this store, and takes those off that will not come back
    #[command(subcommand)]
    Follower(FollowerVerb),
    /// Lists the commits, newest first
    History(HistoryArgs),
    /// Shows the state of the store and of what runs on it
    Status(Here),
    /// Shows one live resource with its owners
    Get(GetArgs),
    /// Shows one commit
    Show(ShowArgs),
    /// Shows what differs between two revisions
    Diff(DiffArgs),
    /// Prints commits as they come, until Ctrl-C; it needs a server
    Watch(WatchArgs),
    /// Prints the live resources as JSON, for `--against` and `import`; secrets only as tags
    Export(Here),
    /// Takes exported resources into the store, as one commit
    Import(ImportArgs),
    /// Writes the whole store into one file, while it is in use
    Backup(BackupArgs),
    /// Makes a store of a backup; the store must be free
    Restore(RestoreArgs),
    /// Reads the whole store and checks chain and checksums
    Verify(Here),
    /// Mends a damaged store from its commits, its files kept aside; the store must be free
    Repair(Here),
    /// Gives up the commits before a revision or a time
    Compact(CompactArgs),
    /// Prints a completion script for a shell
    Completions(CompletionsArgs),
    /// Prints the manual page
    Man,
}

/// A verb that takes no flags of its own.
#[derive(Clone, Copy, Debug, Args)]
pub(crate) struct Here {}

/// Reads who acts: a name that is empty would say nobody.
fn author(text: &str) -> Result<String, String> {
    match text.trim().is_empty() {
        true => Err("an empty name says nobody; without the flag it is your own".to_owned()),
        false => Ok(text.to_owned()),
    }
}

/// Flags of a write that is no apply.
#[derive(Clone, Debug, Args)]
pub(crate) struct WriteArgs {
    /// Who, for the history [default: HOLDFAST_AUTHOR, else the user's name]
    #[arg(long, value_name = "NAME", value_parser = author)]
    pub(crate) author: Option<String>,
    /// Allows sessions of this agent to break; may be given again
    #[arg(long, value_name = "AGENT")]
    pub(crate) allow_break: Vec<String>,
}

/// Flags of `completions`.
#[derive(Clone, Copy, Debug, Args)]
pub(crate) struct CompletionsArgs {
    /// The shell
    #[arg(value_enum)]
    pub(crate) shell: Shell,
}

/// The form of the output.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum Format {
    /// For people
    #[default]
    Text,
    /// One JSON document
    Json,
    /// A comment for a pull request
    Markdown,
    /// Annotations for a GitHub workflow
    Github,
}

/// When to use colours.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum ColourChoice {
    /// On a terminal, unless NO_COLOR is set
    #[default]
    Auto,
    /// Always
    Always,
    /// Never
    Never,
}

impl Cli {
    /// The names of all verbs.
    pub(crate) fn verbs() -> Vec<String> {
        Self::command().get_subcommands().map(|verb| verb.get_name().to_owned()).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_definition_is_consistent() {
        Cli::command().debug_assert();
    }
}
