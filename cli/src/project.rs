//! A project on the disk: its manifests, its `.env`, and the Git state that they are in.
//!
//! Never here: what manifests mean (the reconciler's loader says it), and the store.

use std::path::Path;
use std::process::{Command, Stdio};

use holdfast_reconciler::desired::{Desired, GitState};
use holdfast_reconciler::diagnostic::Diagnostic;
use holdfast_reconciler::error::{Problem, ProblemKind};
use holdfast_reconciler::manifest::{DeclaredOrg, Folder, environment, load, org as declared_org};
use holdfast_reconciler::resource::OrgId;

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
            let git = scope.spawn(|| git_state(directory));
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
        let name = folder.path().file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
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

/// The organisation of a command that plans nothing: what the caller says, else the project's, else the environment's; the
/// plane decides if there is none.
pub(crate) fn org(setting: &Setting, directory: &Path, output: &Output) -> Result<Option<OrgId>, Failure> {
    if let Some(org) = &setting.global.org {
        return Ok(Some(org.clone()));
    }
    // A project that is not there says nothing about an organisation; other verbs tell that it is missing.
    let declared = Folder::open(directory).map_or(DeclaredOrg::Known(None), |folder| declared_org(&folder));
    match declared {
        DeclaredOrg::Known(Some(org)) => Ok(Some(org)),
        DeclaredOrg::Known(None) => setting.fallback_org(),
        DeclaredOrg::Unreadable => {
            output
                .say("warning: the manifest cannot be read, so its `[memory] org` is not known; see `reconcile check`");
            setting.fallback_org()
        }
    }
}

/// The commit that is checked out around the project, and whether the project's tracked files differ from it; none without
/// the `git` program or outside a work tree.
fn git_state(directory: &Path) -> Option<GitState> {
    let output = Command::new("git")
        // A repository may name a program for this setting; looking at a project must not run it.
        .args(["-c", "core.fsmonitor=false", "status", "--porcelain=v2", "--branch", "--untracked-files=no", "--", "."])
        .current_dir(directory)
        .env("GIT_OPTIONAL_LOCKS", "0")
        .env("LC_ALL", "C")
        .stdin(Stdio::null())
        .stderr(Stdio::null())
        .output()
        .ok()
        .filter(|output| output.status.success())?;
    parse_git_status(&String::from_utf8_lossy(&output.stdout))
}

fn parse_git_status(text: &str) -> Option<GitState> {
    let commit = text.lines().find_map(|line| line.strip_prefix("# branch.oid "))?;
    let hex = commit.len() >= 40 && commit.bytes().all(|byte| byte.is_ascii_hexdigit());
    let dirty = text.lines().any(|line| !line.starts_with('#'));
    hex.then(|| GitState { commit: commit.to_owned(), dirty })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn git_status_gives_commit_and_dirty_flag() {
        let commit = "9be07aa7c1e93ab0f5d2c4e8a9b1d3f7c1e93ab0";
        let clean = format!("# branch.oid {commit}\n# branch.head main\n");
        assert_eq!(parse_git_status(&clean), Some(GitState { commit: commit.to_owned(), dirty: false }));
        let dirty = format!("{clean}1 .M N... 100644 100644 100644 a b lobu.toml\n");
        assert!(parse_git_status(&dirty).unwrap().dirty);
        assert_eq!(parse_git_status("# branch.oid (initial)\n# branch.head main\n"), None);
        assert_eq!(parse_git_status(""), None);
    }
}
