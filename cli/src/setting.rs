//! What a command works with once flags, environment and defaults are joined: directories, organisation, key, author.
//!
//! The only file that reads the process environment and the working directory; everything behind it gets them passed in.
//! Never here: opening anything.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::ffi::OsString;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use holdfast_reconciler::keyfile::KeySource;
use holdfast_reconciler::plan::Plan;
use holdfast_reconciler::resource::OrgId;
use holdfast_server::user_name;

use crate::again;
use crate::args::Global;
use crate::error::Failure;

/// The name of the store's folder in a project.
const STORE_NAME: &str = ".holdfast";

/// The joined settings of one run.
#[derive(Clone)]
pub(crate) struct Setting {
    /// The flags that every verb takes.
    pub(crate) global: Global,
    /// The process environment, as far as it is text.
    pub(crate) environment: BTreeMap<String, String>,
    /// Where relative paths begin: the working directory, or what `-C` says.
    base: PathBuf,
    /// The command as it was given.
    arguments: Vec<OsString>,
}

/// Whether the environment asks for no colours; it is read before everything else, since mistakes are shown too.
pub(crate) fn no_colour() -> bool {
    std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty())
}

impl Setting {
    /// Joins flags with the process's environment and working directory.
    pub(crate) fn new(global: Global, arguments: &[OsString]) -> Result<Self, Failure> {
        let text = |pair: (OsString, OsString)| Some((pair.0.into_string().ok()?, pair.1.into_string().ok()?));
        let environment: BTreeMap<String, String> = std::env::vars_os().filter_map(text).collect();
        let here = std::env::current_dir()
            .map_err(|error| Failure::io("E_DIRECTORY", "cannot find the working directory", &error))?;
        let base = global.directory.as_ref().map_or(here.clone(), |directory| here.join(directory));
        if !base.is_dir() {
            return Err(Failure::usage(format!("`-C {}` is not a directory", base.display())));
        }
        Ok(Self { global, environment, base, arguments: arguments.to_vec() })
    }

    /// The command that was given, with more flags, to be pasted.
    pub(crate) fn again(&self, flags: &str) -> String {
        again::again(&self.arguments, flags)
    }

    /// The plan with ways out that can be pasted.
    pub(crate) fn with_ways_out<'p>(&self, plan: &'p Plan) -> Cow<'p, Plan> {
        again::with_ways_out(&self.arguments, &self.global, &self.base, plan)
    }

    /// A variable; an empty one counts as unset.
    pub(crate) fn variable(&self, name: &str) -> Option<&str> {
        self.environment.get(name).map(String::as_str).filter(|value| !value.is_empty())
    }

    /// A path as the caller meant it.
    pub(crate) fn path(&self, path: &Path) -> PathBuf {
        self.base.join(path)
    }

    /// The project's directory.
    pub(crate) fn project(&self, directory: Option<&Path>) -> PathBuf {
        directory.map_or_else(|| self.base.clone(), |directory| self.path(directory))
    }

    /// The store's folder for a project.
    pub(crate) fn store(&self, project: &Path) -> PathBuf {
        match (&self.global.store, self.variable("HOLDFAST_STORE")) {
            (Some(path), _) => self.path(path),
            (None, Some(path)) => self.path(Path::new(path)),
            (None, None) => project.join(STORE_NAME),
        }
    }

    /// The organisation to use if neither the caller nor the manifest names one.
    pub(crate) fn fallback_org(&self) -> Result<Option<OrgId>, Failure> {
        let parse = |text: &str| {
            OrgId::new(text).map_err(|error| Failure::new("E_NAME", format!("HOLDFAST_ORG is unusable: {error}")))
        };
        self.variable("HOLDFAST_ORG").map(parse).transpose()
    }

    /// Where the master key is.
    pub(crate) fn keys(&self) -> KeySource {
        KeySource::of(&self.environment, &self.base)
    }

    /// Where the master key is, if the caller says so.
    pub(crate) fn named_keys(&self) -> Option<KeySource> {
        KeySource::named(&self.environment, &self.base)
    }

    /// Who acts, for the history.
    pub(crate) fn author(&self, named: Option<&str>) -> String {
        let variables = ["HOLDFAST_AUTHOR", "USER", "LOGNAME"];
        let known = || variables.into_iter().find_map(|name| self.variable(name));
        let account = || uid().and_then(user_name).unwrap_or("unknown".to_owned());
        named.or_else(known).map_or_else(account, str::to_owned)
    }
}

/// The user that this process runs as, where the operating system tells it as the owner of a file.
fn uid() -> Option<u32> {
    std::fs::metadata("/proc/self").ok().map(|found| found.uid())
}
