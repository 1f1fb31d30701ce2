//! Reading the command line, and what is said when it makes no sense.
//!
//! Never here: what a verb does.

use std::ffi::OsString;
use std::path::Path;

use clap::error::ErrorKind;
use clap::{CommandFactory as _, Parser as _};

use holdfast_reconciler::suggest;

use crate::args::{Cli, ColourChoice, Format, PlanArgs, Verb};
use crate::error::{Exit, Failure};
use crate::output::{Output, Verbosity};
use crate::setting::no_colour;

/// Reads the command line; help, version and mistakes are printed here.
pub(crate) fn parse(arguments: &[OsString]) -> Result<Cli, Exit> {
    let output = |format| Output::new(format, ColourChoice::Auto, Verbosity::Normal, no_colour());
    match Cli::try_parse_from(arguments) {
        Ok(cli) => Ok(cli),
        Err(error) if matches!(error.kind(), ErrorKind::DisplayHelp | ErrorKind::DisplayVersion) => {
            match output(Format::Text).raw(&error.render().to_string()) {
                Ok(()) => Err(Exit::Done),
                Err(failure) => Err(failure.exit),
            }
        }
        Err(error) => {
            let failure = unknown_word(arguments).unwrap_or_else(|| mistake(&error));
            output(format_of(arguments)).failure(&failure);
            Err(Exit::Usage)
        }
    }
}

/// Refuses flags of the default command in front of a verb, and forms that a verb does not have.
pub(crate) fn check(cli: &Cli) -> Result<(), Failure> {
    let name = cli.verb.as_ref().map_or("reconcile", Verb::name);
    let reads_past = matches!(cli.verb, Some(Verb::Session(_) | Verb::Explain(_) | Verb::Get(_) | Verb::Export(_)));
    if cli.global.at.is_some() && !reads_past {
        let message = format!("`{name}` does not take `--at`");
        return Err(
            Failure::usage(message).help("`get`, `session` and `export` read the past; `show rN` shows one commit")
        );
    }
    let needs_store = matches!(cli.verb, Some(Verb::Serve(_) | Verb::Restore(_) | Verb::Repair(_)));
    if cli.global.server.is_some() && needs_store {
        return Err(Failure::usage(format!("`{name}` works on a store of this machine and takes no `--server`"))
            .help("run it where the store is"));
    }
    let Some(verb) = &cli.verb else { return check_format(cli.global.format, name, true, true) };
    if cli.plan != PlanArgs::default() {
        let message = format!("directories and flags of planning go behind `{name}`, not in front of it");
        return Err(Failure::usage(message).help(format!("see `reconcile {name} --help`")));
    }
    check_format(cli.global.format, name, matches!(verb, Verb::Plan(_)), matches!(verb, Verb::Plan(_) | Verb::Check(_)))
}

fn check_format(format: Format, name: &str, markdown: bool, github: bool) -> Result<(), Failure> {
    let (known, word) = match format {
        Format::Text | Format::Json => return Ok(()),
        Format::Markdown => (markdown, "markdown"),
        Format::Github => (github, "github"),
    };
    if known {
        return Ok(());
    }
    Err(Failure::usage(format!("`{name}` has no {word} form")).help("use `--format text` or `--format json`"))
}

/// A word that stands where a directory or a verb could.
pub(crate) fn no_such_word(word: &str) -> Failure {
    if word.contains(['/', '.']) {
        return Failure::usage(format!("there is no directory `{word}`"));
    }
    let verbs = Cli::verbs();
    let near = suggest::near(word, verbs.iter().map(String::as_str));
    let near: Vec<String> = near.into_iter().map(|verb| format!("`reconcile {verb}`")).collect();
    let failure = Failure::usage(format!("`{word}` is neither a verb nor a directory"));
    match near.as_slice() {
        [] => failure.help("`reconcile --help` lists the verbs"),
        near => failure.help(format!("did you mean {}?", near.join(" or "))),
    }
}

/// If the command line only went wrong because its first word is no verb, says that instead of what came of it.
fn unknown_word(arguments: &[OsString]) -> Option<Failure> {
    let matches = Cli::command().ignore_errors(true).try_get_matches_from(arguments).ok()?;
    let word = matches.get_one::<std::path::PathBuf>("directory").filter(|_| matches.subcommand_name().is_none())?;
    (!Path::new(word).is_dir()).then(|| no_such_word(&word.to_string_lossy()))
}

fn mistake(error: &clap::Error) -> Failure {
    let rendered = error.render().to_string();
    let mut parts = rendered.trim_end().splitn(2, '\n');
    let what = parts.next().unwrap_or_default().trim_start_matches("error: ").trim_end_matches('.');
    let mut failure = Failure::usage(what);
    let rest = parts.next().unwrap_or_default().lines().map(str::trim).filter(|line| !line.is_empty());
    let (tips, details): (Vec<&str>, Vec<&str>) =
        rest.partition(|line| line.starts_with("tip:") || line.starts_with("For more") || line.starts_with("Usage:"));
    failure.problem.causes = details.into_iter().map(str::to_owned).collect();
    let tip = tips.iter().find_map(|line| line.strip_prefix("tip: "));
    failure.help(tip.unwrap_or("see `reconcile --help`"))
}

/// The form that was asked for, as far as a command line that makes no sense tells.
fn format_of(arguments: &[OsString]) -> Format {
    let asked = arguments.windows(2).any(|pair| pair[0] == "--format" && pair[1] == "json");
    if asked || arguments.iter().any(|argument| argument == "--format=json") { Format::Json } else { Format::Text }
}

impl Verb {
    /// Its word on the command line.
    pub(crate) fn name(&self) -> &'static str {
        match self {
            Self::Plan(_) => "plan",
            Self::Init(_) => "init",
            Self::Check(_) => "check",
            Self::Serve(_) => "serve",
            Self::Session(_) => "session",
            Self::Explain(_) => "explain",
            Self::Apply(_) => "apply",
            Self::Rollback(_) => "rollback",
            Self::Resume(_) => "resume",
            Self::Approve(_) => "approve",
            Self::Wait(_) => "wait",
            Self::Adopt(_) => "adopt",
            Self::Set(_) => "set",
            Self::Unset(_) => "unset",
            Self::Secret(_) => "secret",
            Self::Profile(_) => "profile",
            Self::Token(_) => "token",
            Self::Follower(_) => "follower",
            Self::History(_) => "history",
            Self::Status(_) => "status",
            Self::Get(_) => "get",
            Self::Show(_) => "show",
            Self::Diff(_) => "diff",
            Self::Watch(_) => "watch",
            Self::Export(_) => "export",
            Self::Import(_) => "import",
            Self::Backup(_) => "backup",
            Self::Restore(_) => "restore",
            Self::Verify(_) => "verify",
            Self::Repair(_) => "repair",
            Self::Compact(_) => "compact",
            Self::Completions(_) => "completions",
            Self::Man => "man",
        }
    }
}
