//! `reconcile init [DIR]`: writes a small commented project that plans cleanly. Overwrites nothing.

use std::fs::{self, OpenOptions};
use std::io::Write as _;
use std::path::{Path, PathBuf};

use holdfast_reconciler::manifest::source_name;
use serde::Serialize;

use super::Run;
use crate::args::{Format, InitArgs};
use crate::error::{Exit, Failure};

/// The names that a manifest can have.
const MANIFESTS: [&str; 2] = ["lobu.toml", "holdfast.toml"];
/// The text of the first agent.
const IDENTITY: (&str, &str) = (
    "agents/assistant/IDENTITY.md",
    "You are a friendly assistant. You answer briefly and say when you do not know.\n",
);

/// What was written, as JSON.
#[derive(Serialize)]
struct Report {
    directory: PathBuf,
    written: Vec<&'static str>,
}

/// Writes the project.
pub(super) fn run(run: &Run, args: &InitArgs) -> Result<Exit, Failure> {
    let directory = run.setting.project(args.directory.as_deref());
    if let Some(there) = MANIFESTS.iter().find(|name| fs::symlink_metadata(directory.join(name)).is_ok()) {
        let message = format!("`{}` is there already; nothing was written", directory.join(there).display());
        return Err(Failure::new("E_EXISTS", message).help("`reconcile check` reads it"));
    }
    fs::create_dir_all(&directory).map_err(|error| unwritable(&directory, &error))?;
    let real = fs::canonicalize(&directory).map_err(|error| unwritable(&directory, &error))?;
    let name = real.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    let mut written = Vec::new();
    // The text first: with the manifest the project is there.
    for (file, text) in [(IDENTITY.0, IDENTITY.1.to_owned()), (MANIFESTS[0], manifest(source_name(&name).as_str()))] {
        if write_new(&directory.join(file), &text)? {
            written.push(file);
        }
    }
    match run.output.format {
        Format::Json => run.output.document(&Report { directory, written })?,
        Format::Text | Format::Markdown | Format::Github => {
            run.output.raw(&told(args.directory.as_deref(), &written))?;
        }
    }
    Ok(Exit::Done)
}

/// Writes a file that is not there yet; says whether it did.
fn write_new(path: &Path, text: &str) -> Result<bool, Failure> {
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder).map_err(|error| unwritable(folder, &error))?;
    }
    match OpenOptions::new().write(true).create_new(true).open(path) {
        Ok(mut file) => {
            file.write_all(text.as_bytes()).map_err(|error| unwritable(path, &error))?;
            Ok(true)
        }
        Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => Ok(false),
        Err(error) => Err(unwritable(path, &error)),
    }
}

fn unwritable(path: &Path, error: &std::io::Error) -> Failure {
    Failure::io("E_WRITE", format!("cannot write `{}`", path.display()), error)
}

fn told(directory: Option<&Path>, written: &[&str]) -> String {
    let files: String = written.iter().map(|file| format!("  {file}\n")).collect();
    let go = directory.map(|directory| format!("  cd {}\n", directory.display())).unwrap_or_default();
    format!(
        "Written:\n{files}\nNext:\n{go}  \
         reconcile check                  reads the project and tells every mistake\n  \
         reconcile --dry-run              shows what an apply would do\n  \
         reconcile                        plans, shows, asks and applies\n  \
         reconcile secret set provider:claude:apiKey --from-env ANTHROPIC_API_KEY\n  \
         reconcile session assistant      what a session of the agent is given, and why\n"
    )
}

fn manifest(name: &str) -> String {
    format!(
        r##"# What this project declares. `reconcile check` reads it, `reconcile --dry-run` shows what an apply would do.
# `reconcile check --schema` prints the JSON Schema of this file for editors.

[project]
name = "{name}"                  # the source of everything below; it owns what it declares

[agents.assistant]
name = "Assistant"
dir = "./agents/assistant"       # IDENTITY.md, SOUL.md, USER.md and skills/, all optional

[[agents.assistant.providers]]   # the first provider with a usable credential is used
id = "claude"
# model = "claude-sonnet-4-20250514"
# key = "$ANTHROPIC_API_KEY"     # sealed with the apply; or set it once with `reconcile secret set`

# [agents.assistant.network]
# allowed = ["api.github.com"]   # domains that the agent may reach

# [kinds.feature-flag]           # a kind of your own, and a resource of it
# fields.rollout = {{ type = "integer", min = 0, max = 100 }}
#
# [resources.feature-flag.new-ui]
# rollout = 20
"##
    )
}
