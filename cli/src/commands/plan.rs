//! `reconcile --dry-run`, `reconcile plan`: load, plan, show. Changes nothing, makes no store and no key.

use std::collections::BTreeSet;
use std::fs::File;
use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use holdfast_reconciler::against::{self, Ground, State};
use holdfast_reconciler::agents::kinds::{group, kinds};
use holdfast_reconciler::desired::Desired;
use holdfast_reconciler::diagnostic::Diagnostic;
use holdfast_reconciler::error::{Problem, ProblemKind};
use holdfast_reconciler::keyfile::{KeySource, Keys};
use holdfast_reconciler::own_kind::OwnKind;
use holdfast_reconciler::plan::{Plan, PlanOptions, PlanRequest};
use holdfast_reconciler::resource::{OrgId, SourceName};
use holdfast_reconciler::seal::{Seal, Sealed};
use holdfast_reconciler::secret::KeyRing;

use super::{Run, sealed};
use crate::args::{Format, PlanArgs};
use crate::clock;
use crate::connect::{self, Reached};
use crate::error::{Exit, Failure};
use crate::leave::leave;
use crate::project::{self, Project};
use crate::render::row::Listed;
use crate::render::text::{PlanView, Values};
use crate::render::value::Length;
use crate::render::{github, markdown, text};
use crate::setting::Setting;

/// The largest exported state that is read.
const STATE_BYTES_MAX: u64 = 512 * 1024 * 1024;

/// Plans and shows.
pub(super) fn run(run: &Run, args: &PlanArgs) -> Result<Exit, Failure> {
    if args.yes {
        return Err(Failure::usage("a plan applies nothing, so `--yes` has no meaning for it"));
    }
    if args.wait {
        return Err(Failure::usage("a plan applies nothing, so there is nothing to `--wait` for"));
    }
    let drafted = draft(run, args).map_err(|failure| match run.output.format {
        // A comment is found again by what it is about.
        Format::Markdown => failure.about(about(run, args)),
        Format::Text | Format::Json | Format::Github => failure,
    });
    present(run, args, drafted?)
}

fn about(run: &Run, args: &PlanArgs) -> Option<(OrgId, SourceName)> {
    project::about(&run.setting, &run.setting.project(args.directory.as_deref()))
}

/// Shows a plan, seals it if that is asked, and says with the exit code what it is.
pub(super) fn present(run: &Run, args: &PlanArgs, drafted: Drafted) -> Result<Exit, Failure> {
    let Drafted { plan, request, seal, plane, store: _ } = drafted;
    // The store is closed as soon as nobody needs it any more.
    drop(plane);
    show(run, args, &plan)?;
    run.output.diagnostics(&plan.diagnostics);
    if let (Some(out), Some(seal)) = (&args.out, seal) {
        sealed::write(&run.setting.path(out), Sealed { plan: plan.clone(), seal }, &request)?;
        run.output.say(format!("sealed into `{}`; `reconcile apply` takes it", out.display()));
    }
    let (blocked, changes) = (plan.is_blocked(), plan.has_changes());
    leave((plan, request));
    if blocked {
        run.output.say("blocked: an apply would be refused until somebody decides");
        return Ok(Exit::Blocked);
    }
    Ok(if args.exit_code && changes { Exit::Changes } else { Exit::Done })
}

/// A plan with what an apply of it needs.
pub(super) struct Drafted {
    /// What was asked.
    pub(super) request: PlanRequest,
    /// What would happen.
    pub(super) plan: Plan,
    /// The store's folder.
    pub(super) store: PathBuf,
    /// Who answered; none if there is no store yet.
    pub(super) plane: Option<Reached>,
    /// The state that the plan was made on, for a plan that is applied later.
    pub(super) seal: Option<Seal>,
}

/// Loads the project and plans it.
pub(super) fn draft(run: &Run, args: &PlanArgs) -> Result<Drafted, Failure> {
    let setting = &run.setting;
    let directory = run.directory(args.directory.as_ref())?;
    let store = setting.store(&directory);
    if let Some(file) = &args.against {
        let file = setting.path(file);
        let named = setting.global.org.clone().or(setting.fallback_org()?);
        let (desired, ground) = beside(setting, &directory, || read_ground(&file, named.as_ref()));
        let request = request(setting, args, desired?)?;
        let ground = match ground? {
            ground if ground.fits(&request) => ground,
            _ => read_ground(&file, request.desired.org.as_ref().or(named.as_ref()))?,
        };
        // The key of this machine need not be the state's: only a key that the caller names is tried.
        let ring = ring(setting.named_keys())?;
        let plan = ground.plan(&request, &kinds(), ring, &clock::system())?;
        leave(ground);
        return Ok(Drafted { request, plan, store, plane: None, seal: None });
    }
    let (desired, plane) = beside(setting, &directory, || connect::ahead(setting, &store));
    let request = request(setting, args, desired?)?;
    let plane = match plane {
        Some(plane) => plane?,
        None => connect::existing(setting, &store, &run.output)?,
    };
    let (plan, seal) = match &plane {
        Some(plane) if args.out.is_none() => (plane.plan(&request)?, None),
        Some(plane) => parts(plane.seal(&request)?),
        None => {
            let (ring, ground) = (ring(Some(setting.keys()))?, Ground::new(nothing(), &request)?);
            match args.out {
                None => (ground.plan(&request, &kinds(), ring, &clock::system())?, None),
                Some(_) => parts(ground.seal(&request, &kinds(), ring, &clock::system())?),
            }
        }
    };
    Ok(Drafted { request, plan, store, plane, seal: seal.filter(|_| args.out.is_some()) })
}

/// Loads the manifests, and does something else meanwhile.
fn beside<T: Send>(
    setting: &Setting,
    directory: &Path,
    other: impl FnOnce() -> T + Send,
) -> (Result<Desired, Failure>, T) {
    std::thread::scope(|scope| {
        let other = scope.spawn(other);
        let desired = Project::read(setting, directory).and_then(Project::into_desired);
        (desired, other.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)))
    })
}

fn request(setting: &Setting, args: &PlanArgs, desired: Desired) -> Result<PlanRequest, Failure> {
    let options = options(args, &desired)?;
    let (org, fallback_org) = (setting.global.org.clone(), setting.fallback_org()?);
    Ok(PlanRequest { org, fallback_org, desired, options })
}

/// Shows a plan in the form that was asked for.
pub(super) fn show(run: &Run, args: &PlanArgs, plan: &Plan) -> Result<(), Failure> {
    let told = run.setting.with_ways_out(plan);
    match run.output.format {
        Format::Text | Format::Json => run.output.data(plan, || text::plan(&told, &kinds(), view(args))),
        Format::Markdown => run.output.raw(&markdown::plan(&told, &kinds())),
        Format::Github => run.output.raw(&github::plan(&told)),
    }
}

/// What of a plan the flags ask to show.
pub(super) fn view(args: &PlanArgs) -> PlanView {
    PlanView {
        listed: if args.all { Listed::All } else { Listed::Relevant },
        values: if args.compact { Values::Hidden } else { Values::Shown },
        length: if args.full { Length::Full } else { Length::Cut },
    }
}

fn options(args: &PlanArgs, desired: &Desired) -> Result<PlanOptions, Failure> {
    Ok(PlanOptions {
        only: only(&args.only, desired)?,
        allow_delete: args.allow_delete,
        allow_break: args.allow_break.iter().cloned().collect(),
        rollback: None,
        hold: args.hold,
        take: args.take.iter().cloned().collect(),
    })
}

/// The kinds that `--only` names: built-in ones, groups of them, and those that the project declares.
fn only(words: &[String], desired: &Desired) -> Result<BTreeSet<String>, Failure> {
    let mut known = kinds();
    known.add(desired.kinds.iter().map(OwnKind::spec));
    let mut only = BTreeSet::new();
    for word in words {
        match (group(word), known.get(word)) {
            (Some(kinds), _) => only.extend(kinds.iter().map(|kind| (*kind).to_owned())),
            (None, Some(kind)) => drop(only.insert(kind.name.to_string())),
            (None, None) => {
                let names: Vec<&str> = known.in_order().into_iter().map(|kind| &*kind.name).collect();
                let help = format!("the kinds are {}; `agents` and `memory` stand for several", names.join(", "));
                return Err(Failure::usage(format!("`--only {word}` names no kind")).help(help));
            }
        }
    }
    Ok(only)
}

/// The state where there is no store.
fn nothing() -> State {
    State { format: "holdfast/state".to_owned(), version: 1, revision: 0, kinds: Vec::new(), resources: Vec::new() }
}

pub(super) fn parts(sealed: Sealed) -> (Plan, Option<Seal>) {
    let Sealed { plan, seal } = sealed;
    (plan, Some(seal))
}

fn ring(keys: Option<KeySource>) -> Result<Option<Arc<KeyRing>>, Failure> {
    Ok(match keys {
        Some(keys) => Keys::new(keys).existing().map_err(Problem::from)?,
        None => None,
    })
}

/// Reads an exported state from a file.
pub(super) fn read_state(path: &Path) -> Result<State, Failure> {
    against::parse(&read_state_file(path)?).map_err(|problem| no_state(path, problem))
}

/// Reads an exported state as something that plans are made on.
fn read_ground(path: &Path, named: Option<&OrgId>) -> Result<Ground, Failure> {
    Ground::read(&read_state_file(path)?, named).map_err(|problem| no_state(path, problem))
}

fn read_state_file(path: &Path) -> Result<Vec<u8>, Failure> {
    let failed =
        |error: &std::io::Error| Failure::io("E_STATE", format!("cannot read the state `{}`", path.display()), error);
    let file = File::open(path).map_err(|error| failed(&error))?;
    let mut bytes = Vec::new();
    file.take(STATE_BYTES_MAX + 1).read_to_end(&mut bytes).map_err(|error| failed(&error))?;
    if bytes.len() as u64 > STATE_BYTES_MAX {
        return Err(Failure::new(
            "E_STATE",
            format!("the state `{}` has over {STATE_BYTES_MAX} bytes", path.display()),
        ));
    }
    Ok(bytes)
}

fn no_state(path: &Path, problem: Problem) -> Failure {
    let mut outer = Problem::new(ProblemKind::Invalid, "E_STATE", format!("`{}` is no exported state", path.display()));
    outer.causes.push(problem.message);
    outer.causes.extend(problem.causes);
    Problem { help: problem.help, ..outer }.into()
}

/// Refuses an apply that lacks values, with a finding for each.
pub(super) fn missing_values(diagnostics: &[Diagnostic]) -> Failure {
    use holdfast_reconciler::diagnostic::Severity;
    let lacking = diagnostics.iter().filter(|found| found.code == text::MISSING_VALUE);
    let lacking: Vec<Diagnostic> = lacking
        .map(|found| Diagnostic {
            severity: Severity::Error,
            code: "E_MISSING_VALUE".to_owned(),
            help: None,
            ..found.clone()
        })
        .collect();
    let message = format!("{} missing; nothing was changed", text::counted(lacking.len() as u64, "secret value"));
    let problem = Problem::new(ProblemKind::Failed, "E_MISSING_VALUE", message);
    Problem { diagnostics: lacking, ..problem }.help("set the variables that are named and run again").into()
}
