//! The verbs, one file each: ask the control plane, show the answer.
//!
//! Never here: deciding what a plan, a session or a store means.

mod adopt;
mod apply;
mod approve;
mod backup;
mod certificate;
mod check;
mod compact;
mod completions;
mod diff;
mod explain;
mod export;
mod follow;
mod follower;
mod get;
mod given;
mod history;
mod import;
mod init;
mod man;
mod plan;
mod profile;
mod repair;
mod restore;
mod resume;
mod rollback;
mod sealed;
mod secret;
mod serve;
mod session;
mod set;
mod show;
mod status;
mod token;
mod verify;
mod wait;
mod waiting;
mod watch;

use std::ffi::OsString;
use std::path::PathBuf;

use holdfast_engine::Revision;
use holdfast_reconciler::plane::{ControlPlane, Moment, Scope};
use holdfast_reconciler::resource::OrgId;

use crate::args::{Cli, LogFormat, Verb};
use crate::connect::{self, Reached};
use crate::error::{Exit, Failure};
use crate::output::{Output, Verbosity};
use crate::setting::{Setting, no_colour};
use crate::{project, usage};

/// What every verb works with.
pub(crate) struct Run {
    /// Flags, environment and defaults, joined.
    pub(crate) setting: Setting,
    /// Where things are shown.
    pub(crate) output: Output,
}

/// Runs the command line to its exit code.
pub(crate) fn run(arguments: &[OsString]) -> Exit {
    let cli = match usage::parse(arguments) {
        Ok(cli) => cli,
        Err(exit) => return exit,
    };
    let verbosity = match (cli.global.quiet, cli.global.verbose) {
        (true, _) => Verbosity::Quiet,
        (false, true) => Verbosity::Verbose,
        (false, false) => Verbosity::Normal,
    };
    let output = Output::new(cli.global.format, cli.global.color, verbosity, no_colour());
    if verbosity == Verbosity::Verbose {
        output.log(LogFormat::Text);
    }
    let ended = usage::check(&cli).and_then(|()| {
        let run = Run { setting: Setting::new(cli.global.clone(), arguments)?, output };
        dispatch(&run, cli)
    });
    ended.unwrap_or_else(|failure| {
        output.failure(&failure);
        failure.exit
    })
}

fn dispatch(run: &Run, cli: Cli) -> Result<Exit, Failure> {
    match cli.verb {
        None if cli.plan.dry_run || cli.plan.against.is_some() => plan::run(run, &cli.plan),
        None => apply::run(run, &cli.plan),
        Some(Verb::Plan(args)) => plan::run(run, &args),
        Some(Verb::Apply(args)) => sealed::apply(run, &args),
        Some(Verb::Rollback(args)) => rollback::run(run, &args),
        Some(Verb::Resume(args)) => resume::run(run, &args),
        Some(Verb::Wait(args)) => wait::run(run, &args),
        Some(Verb::Approve(args)) => approve::run(run, &args),
        Some(Verb::Init(args)) => init::run(run, &args),
        Some(Verb::Check(args)) => check::run(run, &args),
        Some(Verb::Serve(args)) => serve::run(run, &args),
        Some(Verb::Session(args)) => session::run(run, args),
        Some(Verb::Adopt(args)) => adopt::run(run, &args),
        Some(Verb::Explain(args)) => explain::run(run, args),
        Some(Verb::Set(args)) => set::set(run, &args),
        Some(Verb::Unset(args)) => set::unset(run, &args),
        Some(Verb::Secret(verb)) => secret::run(run, verb),
        Some(Verb::Profile(verb)) => profile::run(run, verb),
        Some(Verb::Token(verb)) => token::run(run, verb),
        Some(Verb::Follower(verb)) => follower::run(run, &verb),
        Some(Verb::History(args)) => history::run(run, &args),
        Some(Verb::Status(_)) => status::run(run),
        Some(Verb::Get(args)) => get::run(run, &args),
        Some(Verb::Show(args)) => show::run(run, &args),
        Some(Verb::Diff(args)) => diff::run(run, &args),
        Some(Verb::Watch(args)) => watch::run(run, &args),
        Some(Verb::Export(_)) => export::run(run),
        Some(Verb::Import(args)) => import::run(run, args),
        Some(Verb::Backup(args)) => backup::run(run, &args),
        Some(Verb::Restore(args)) => restore::run(run, &args),
        Some(Verb::Verify(_)) => verify::run(run),
        Some(Verb::Repair(_)) => repair::run(run),
        Some(Verb::Compact(args)) => compact::run(run, &args),
        Some(Verb::Completions(args)) => completions::run(run, args),
        Some(Verb::Man) => man::run(run),
    }
}

impl Run {
    /// The directory that a verb names, which must be there.
    fn directory(&self, named: Option<&PathBuf>) -> Result<PathBuf, Failure> {
        let directory = self.setting.project(named.map(PathBuf::as_path));
        match named {
            Some(named) if !directory.is_dir() => Err(usage::no_such_word(&named.to_string_lossy())),
            Some(_) | None => Ok(directory),
        }
    }

    /// The revision to read at, if the caller names a moment.
    fn at(&self, plane: &dyn ControlPlane) -> Result<Option<Revision>, Failure> {
        self.setting.global.at.map(|at| revision(plane, at)).transpose()
    }

    /// The plane of the store here, which must exist, and the organisation to ask for.
    fn ask(&self) -> Result<(Reached, Option<OrgId>), Failure> {
        let directory = self.setting.project(None);
        let org = project::org(&self.setting, &directory, &self.output)?;
        let plane = connect::required(&self.setting, &self.setting.store(&directory), &self.output)?;
        Ok((plane, org))
    }
}

/// The revision of a moment.
fn revision(plane: &dyn ControlPlane, moment: Moment) -> Result<Revision, Failure> {
    match moment {
        Moment::Revision(revision) => Ok(revision),
        Moment::Time(_) => Ok(plane.head_at(moment)?.revision),
    }
}

/// Reads which keys are meant; an organisation in front of them wins over the command's.
fn scope(text: Option<&str>, org: Option<OrgId>) -> Result<(Option<OrgId>, Scope), Failure> {
    let (named, scope) = Scope::parse(text.unwrap_or_default()).map_err(|error| {
        Failure::usage(error.to_string())
            .help("name a resource, as in `settings/triage`, a kind, as in `settings/`, or `kv/KEY`")
    })?;
    Ok((named.or(org), scope))
}
