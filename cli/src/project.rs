//! A project on the disk: its manifests, its `.env`, and the Git state that they are in.
//!
//! Never here: what manifests mean (the reconciler's loader says it), and the store.

use std::path::Path;

use holdfast_reconciler::desired::Desired;
use holdfast_reconciler::diagnostic::Diagnostic;
use holdfast_reconciler::error::{Problem, ProblemKind};
use holdfast_reconciler::manifest::{
    Folder, InHeader, declared_name, environment, load, org as declared_org, source_name,
};
use holdfast_reconciler::resource::{OrgId, SourceName};
use holdfast_reconciler::source::work_tree_state;

use crate::error::Failure;
use crate::output::Output;
use crate::render::text::counted;
use crate::setting::Setting;

/// What a project declares, with everything that is wrong in it.
pub(crate) struct Project {
    /// What it declares; none if anything is an error.
    pub(crate) desired: Option<Desired>,
    /// Everything that is wrong or worth knowing.
    pub(crate) diagnostics: Vec<Diagnostic>,
}

impl Project {
    /// Reads the manifests; the Git state is asked for meanwhile.
    pub(crate) fn read(setting: &Setting, directory: &Path) -> Result<Self, Failure> {
        std::thread::scope(|scope| {
            let git = scope.spawn(|| work_tree_state(directory));
            let mut project = Self::read_manifests(setting, directory)?;
            // A panic there is a defect, and the plan is complete without the Git state.
            let git = git.join().unwrap_or_default();
            if let Some(desired) = &mut project.desired {
                desired.git = git;
            }
            Ok(project)
        })
    }

    fn read_manifests(setting: &Setting, directory: &Path) -> Result<Self, Failure> {
        let failed = |error: &std::io::Error| {
            Failure::io("E_PROJECT", format!("cannot open the project `{}`", directory.display()), error)
        };
        let folder = Folder::open(directory).map_err(|error| failed(&error))?;
        let name = folder_name(&folder);
        let (variables, mut diagnostics) = environment(&folder, setting.environment.clone());
        let loaded = load(&folder, &name, &variables);
        diagnostics.extend(loaded.diagnostics);
        let usable = !diagnostics.iter().any(Diagnostic::is_error);
        let desired =
            loaded.desired.filter(|_| usable).map(|desired| Desired { diagnostics: diagnostics.clone(), ..desired });
        Ok(Self { desired, diagnostics })
    }

    /// What it declares.
    ///
    /// # Errors
    /// All findings, if one of them is an error.
    pub(crate) fn into_desired(self) -> Result<Desired, Failure> {
        let Self { desired, diagnostics } = self;
        desired.ok_or_else(|| {
            let errors = diagnostics.iter().filter(|found| found.is_error()).count();
            let message = format!("the manifests have {}; nothing was planned", counted(errors as u64, "error"));
            Problem { diagnostics, ..Problem::new(ProblemKind::Invalid, "E_MANIFEST", message) }.into()
        })
    }
}

fn folder_name(folder: &Folder) -> String {
    folder.path().file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default()
}

/// The organisation of a command that plans nothing: what the caller says, else the project's, else the environment's; the
/// plane decides if there is none.
pub(crate) fn org(setting: &Setting, directory: &Path, output: &Output) -> Result<Option<OrgId>, Failure> {
    if let Some(org) = &setting.global.org {
        return Ok(Some(org.clone()));
    }
    // A project that is not there says nothing about an organisation; other verbs tell that it is missing.
    let declared = Folder::open(directory).map_or(InHeader::NoManifest, |folder| declared_org(&folder));
    match declared {
        InHeader::Known(Some(org)) => Ok(Some(org)),
        InHeader::Known(None) | InHeader::NoManifest => setting.fallback_org(),
        InHeader::Unreadable => {
            output
                .say("warning: the manifest cannot be read, so its `[memory] org` is not known; see `reconcile check`");
            setting.fallback_org()
        }
    }
}

/// What a plan of a project would be about, though its manifests may have errors; none if the main one cannot be read so far.
pub(crate) fn about(setting: &Setting, directory: &Path) -> Option<(OrgId, SourceName)> {
    let folder = Folder::open(directory).ok()?;
    let InHeader::Known(name) = declared_name(&folder) else { return None };
    let InHeader::Known(declared) = declared_org(&folder) else { return None };
    let source = name.unwrap_or_else(|| source_name(&folder_name(&folder)));
    let org = setting.global.org.clone().or(declared).or_else(|| setting.fallback_org().ok().flatten());
    Some((org.unwrap_or_default(), source))
}

/// The name that a project gives itself, whose manifests have errors; none without a manifest.
///
/// # Errors
/// It gives none that can be read: which source is meant must not be guessed.
pub(crate) fn name_of_broken(directory: &Path) -> Result<Option<SourceName>, Failure> {
    match Folder::open(directory).map_or(InHeader::NoManifest, |folder| declared_name(&folder)) {
        InHeader::Known(Some(name)) => Ok(Some(name)),
        InHeader::NoManifest => Ok(None),
        InHeader::Known(None) | InHeader::Unreadable => {
            let message = "the manifest has errors and no `[project] name` that can be read, so it is not known which \
                           source is meant";
            let help = "name it with `--source`, or mend the manifest (`reconcile check`)";
            Err(Problem::new(ProblemKind::Invalid, "E_SOURCE", message).help(help).into())
        }
    }
}
