//! A branch of a Git repository as a source, through the `git` program, so that the user's credentials work.
//!
//! The branch is fetched into a bare repository in a folder of our own; each new commit is written out beside it and read as a
//! whole. Whatever fails leaves the tree that was written out before. Never here: what the manifests mean.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Component, Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use super::program::{Ended, call};
use super::{Declared, ManifestSource, Seen, read};
use crate::desired::GitState;

/// How long one call of `git` may take.
const GIT_TIME_MAX: Duration = Duration::from_secs(120);
/// What the full name of a branch begins with.
const HEADS: &str = "refs/heads/";
/// What it is told each time: nothing of it stays behind in the background, and no program of a hook has a say.
const SETTINGS: [&str; 6] =
    ["-c", "gc.autoDetach=false", "-c", "maintenance.autoDetach=false", "-c", "core.hooksPath=/dev/null"];
/// The name that the fetched commit has in our repository.
const FETCHED: &str = "refs/holdfast/fetched";

/// Which branch of which repository, and where to keep it.
#[derive(Clone, Debug)]
pub struct GitOptions {
    /// The repository, as `git fetch` takes it.
    pub url: String,
    /// The branch; without it the one that the repository's HEAD names.
    pub branch: Option<String>,
    /// The project's folder inside of the repository.
    pub subdirectory: Option<PathBuf>,
    /// A folder of our own; it is made.
    pub cache: PathBuf,
    /// Where references of the manifests are looked up, before the project's `.env`.
    pub variables: BTreeMap<String, String>,
}

/// A branch of a repository.
#[derive(Debug)]
pub struct GitSource {
    options: GitOptions,
    /// The commit that is written out.
    written: Option<String>,
}

impl GitSource {
    /// The branch that the options name. Nothing is fetched before the first look.
    pub fn new(options: GitOptions) -> Self {
        Self { options, written: None }
    }

    fn repository(&self) -> PathBuf {
        self.options.cache.join("repository")
    }

    fn tree(&self, commit: &str) -> PathBuf {
        self.options.cache.join(format!("tree-{commit}"))
    }

    /// Fetches the branch and gives its commit.
    fn fetch(&self) -> Result<String, String> {
        let repository = self.repository();
        if !repository.join("HEAD").exists() {
            fs::create_dir_all(&repository)
                .map_err(|error| format!("cannot make `{}`: {error}", repository.display()))?;
            git(&repository, &["init", "--quiet", "--bare", "."])?;
        }
        let branch = self.options.branch.as_deref();
        let from = branch.map_or("HEAD".to_owned(), |branch| match branch.starts_with(HEADS) {
            true => branch.to_owned(),
            false => format!("{HEADS}{branch}"),
        });
        let refspec = format!("+{from}:{FETCHED}");
        let url = &self.options.url;
        git(&repository, &["fetch", "--quiet", "--no-tags", "--depth=1", "--force", "--", url, &refspec])?;
        let commit = git(&repository, &["rev-parse", "--verify", &format!("{FETCHED}^{{commit}}")])?.trim().to_owned();
        match commit.len() >= 40 && commit.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            true => Ok(commit),
            false => Err("git names no commit".to_owned()),
        }
    }

    /// Writes the files of a commit out, whole or not at all, and takes the tree before away.
    fn write_out(&mut self, commit: &str) -> Result<(), String> {
        let tree = self.tree(commit);
        if self.written.as_deref() == Some(commit) && tree.is_dir() {
            return Ok(());
        }
        let (repository, new) = (self.repository(), self.options.cache.join("tree.new"));
        fn failed(what: &Path) -> impl FnOnce(std::io::Error) -> String {
            move |error| format!("cannot write `{}`: {error}", what.display())
        }
        for old in [&new, &tree] {
            if old.exists() {
                fs::remove_dir_all(old).map_err(failed(old))?;
            }
        }
        fs::create_dir_all(&new).map_err(failed(&new))?;
        let work_tree = format!("--work-tree={}", new.display());
        git(&repository, &["read-tree", commit])?;
        git(&repository, &["--git-dir=.", &work_tree, "checkout-index", "--all", "--force", "--quiet"])?;
        fs::rename(&new, &tree).map_err(failed(&tree))?;
        let before = self.written.replace(commit.to_owned());
        if let Some(before) = before.filter(|before| before != commit) {
            // What is left of it is written over by the next commit of that name.
            let _ = fs::remove_dir_all(self.tree(&before));
        }
        Ok(())
    }

    /// The folders of a tree that are submodules, relative to the project. They are not fetched, so they are empty there.
    fn submodules(&self, tree: &Path) -> Result<Vec<PathBuf>, String> {
        let file = tree.join(".gitmodules");
        if !file.is_file() {
            return Ok(Vec::new());
        }
        let file = file.to_string_lossy();
        let arguments =
            ["config", "--null", "--no-includes", "--file", &file, "--get-regexp", r"^submodule\..*\.path$"];
        // It fails too where none is named.
        let told = git(&self.repository(), &arguments).unwrap_or_default();
        let paths = told.split('\0').filter_map(|entry| Some(PathBuf::from(entry.split_once('\n')?.1)));
        let Some(project) = &self.options.subdirectory else { return Ok(paths.collect()) };
        let project: PathBuf = project.components().filter(|part| matches!(part, Component::Normal(_))).collect();
        let mut inside = Vec::new();
        for path in paths {
            if project.starts_with(&path) {
                return Err(format!("`{}` is a submodule, and submodules are not fetched", path.display()));
            }
            inside.extend(path.strip_prefix(&project).ok().map(Path::to_owned));
        }
        Ok(inside)
    }

    fn try_look(&mut self) -> Result<Seen, String> {
        let commit = self.fetch()?;
        self.write_out(&commit)?;
        let tree = self.tree(&commit);
        let project = self.options.subdirectory.as_ref().map_or(tree.clone(), |inside| tree.join(inside));
        let url = self.options.url.trim_end_matches('/');
        let name = match &self.options.subdirectory {
            Some(inside) => inside.file_name().map(|name| name.to_string_lossy().into_owned()),
            None => url.rsplit(['/', ':']).next().map(|name| name.trim_end_matches(".git").to_owned()),
        };
        let state = GitState { commit: commit.clone(), dirty: false };
        let submodules = self.submodules(&tree)?;
        let mut seen = read(&project, name.as_deref(), &self.options.variables, Some(state), &submodules);
        if let Seen::Declared(declared) = &mut seen {
            let told = git(&self.repository(), &["log", "-1", "--format=%an%n%s", &commit])?;
            let mut lines = told.lines().map(str::trim).filter(|line| !line.is_empty()).map(str::to_owned);
            let Declared { author, message, .. } = &mut **declared;
            (*author, *message) = (lines.next(), lines.next());
        }
        Ok(seen)
    }
}

impl ManifestSource for GitSource {
    fn look(&mut self) -> Seen {
        let seen = self.try_look();
        let url = &self.options.url;
        seen.unwrap_or_else(|why| Seen::Away { why: why.replace(url, &without_password(url)) })
    }

    fn describe(&self) -> String {
        let GitOptions { url, branch, subdirectory, .. } = &self.options;
        let mut text = format!("git {}", without_password(url));
        if let Some(branch) = branch {
            text.push_str(&format!(" branch {branch}"));
        }
        if let Some(inside) = subdirectory {
            text.push_str(&format!(" in {}", inside.display()));
        }
        text
    }
}

/// A URL as it may be shown: what stands between the scheme and the host may be a token.
fn without_password(url: &str) -> String {
    match url.split_once("://").and_then(|(scheme, rest)| Some((scheme, rest.split_once('@')?))) {
        Some((scheme, (user, host))) if !user.contains('/') => format!("{scheme}://{host}"),
        Some(_) | None => url.to_owned(),
    }
}

/// The commit that is checked out around a folder, and whether its tracked files differ from it; none without the `git` program
/// or outside a work tree.
pub fn work_tree_state(directory: &Path) -> Option<GitState> {
    // A repository may name a program for this setting; looking at a project must not run it.
    let arguments =
        ["-c", "core.fsmonitor=false", "status", "--porcelain=v2", "--branch", "--untracked-files=no", "--", "."];
    parse_status(&git(directory, &arguments).ok()?)
}

fn parse_status(text: &str) -> Option<GitState> {
    let commit = text.lines().find_map(|line| line.strip_prefix("# branch.oid "))?;
    let hex = commit.len() >= 40 && commit.bytes().all(|byte| byte.is_ascii_hexdigit());
    let dirty = text.lines().any(|line| !line.starts_with('#'));
    hex.then(|| GitState { commit: commit.to_owned(), dirty })
}

/// Calls `git` in a folder and gives what it printed, or the line that says why it failed.
fn git(folder: &Path, arguments: &[&str]) -> Result<String, String> {
    let mut command = Command::new("git");
    command.args(SETTINGS).args(arguments).current_dir(folder);
    command.env("GIT_OPTIONAL_LOCKS", "0").env("GIT_TERMINAL_PROMPT", "0").env("LC_ALL", "C");
    let Ended { success, out, err } = call(command, GIT_TIME_MAX)?;
    if success {
        return Ok(out);
    }
    let line = err.lines().find(|line| !line.trim().is_empty()).unwrap_or("it failed and did not say why");
    Err(format!("git: {}", line.chars().filter(|c| !c.is_control()).take(300).collect::<String>()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn git_status_gives_commit_and_dirty_flag() {
        let commit = "9be07aa7c1e93ab0f5d2c4e8a9b1d3f7c1e93ab0";
        let clean = format!("# branch.oid {commit}\n# branch.head main\n");
        assert_eq!(parse_status(&clean), Some(GitState { commit: commit.to_owned(), dirty: false }));
        let dirty = format!("{clean}1 .M N... 100644 100644 100644 a b lobu.toml\n");
        assert!(parse_status(&dirty).unwrap().dirty);
        assert_eq!(parse_status("# branch.oid (initial)\n# branch.head main\n"), None);
        assert_eq!(parse_status(""), None);
    }

    #[test]
    fn p8_a_token_in_a_url_is_not_shown() {
        assert_eq!(without_password("https://x:tok@example.com/a.git"), "https://example.com/a.git");
        assert_eq!(without_password("git@example.com:a/b.git"), "git@example.com:a/b.git");
        assert_eq!(without_password("https://example.com/@a"), "https://example.com/@a");
    }
}
