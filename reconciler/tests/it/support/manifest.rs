//! Loading projects of `testdata/` and writing diagnostics as text.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use holdfast_reconciler::diagnostic::{Diagnostic, Severity};
use holdfast_reconciler::manifest::{Environment, Folder, Loaded, environment, load};

/// A folder below `testdata/`.
pub(crate) fn testdata(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../testdata").join(path)
}

/// The names in a folder below `testdata/`, in order.
pub(crate) fn cases(path: &str) -> Vec<String> {
    let entries = std::fs::read_dir(testdata(path)).unwrap();
    let mut names: Vec<_> = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    assert!(!names.is_empty(), "{path} is empty");
    names
}

/// Loads a project of `testdata/` with its own `.env` and nothing else as environment.
pub(crate) fn load_project(path: &str) -> Loaded {
    let folder = Folder::open(&testdata(path)).unwrap();
    let (environment, mut diagnostics) = environment(&folder, []);
    let mut loaded = load(&folder, path.rsplit('/').next().unwrap(), &environment);
    loaded.diagnostics.append(&mut diagnostics);
    loaded
}

/// Loads files in memory without any environment.
pub(crate) fn load_files(files: &[(&str, &str)]) -> Loaded {
    load_files_with(files, &[])
}

/// Loads files in memory.
pub(crate) fn load_files_with(files: &[(&str, &str)], variables: &[(&str, &str)]) -> Loaded {
    let tree = holdfast_reconciler::manifest::MemoryTree::new(files.iter().copied());
    let variables = variables.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
    load(&tree, "memory", &Environment::new(variables))
}

/// The codes of the diagnostics, in order.
pub(crate) fn codes(loaded: &Loaded) -> Vec<&str> {
    loaded.diagnostics.iter().map(|diagnostic| diagnostic.code.as_str()).collect()
}

/// Diagnostics as plain text, in the manner of rustc.
pub(crate) fn text(diagnostics: &[Diagnostic]) -> String {
    let mut out = String::new();
    for diagnostic in diagnostics {
        let word = match diagnostic.severity {
            Severity::Error => "error",
            Severity::Warning => "warning",
            Severity::Note => "note",
        };
        writeln!(out, "{word}[{}]: {}", diagnostic.code, diagnostic.message).unwrap();
        for label in &diagnostic.labels {
            let arrow = if label.primary { "-->" } else { ":::" };
            writeln!(out, " {arrow} {}:{}:{}", label.at.file, label.at.line, label.at.column).unwrap();
            if !label.source_line.is_empty() {
                writeln!(out, "  | {}", label.source_line).unwrap();
                let (mark, length) = if label.primary { ('^', label.length) } else { ('-', label.length) };
                let marks = mark.to_string().repeat(length as usize);
                let indent = " ".repeat(label.at.column as usize - 1);
                writeln!(out, "  | {}", format!("{indent}{marks} {}", label.text).trim_end()).unwrap();
            } else if !label.text.is_empty() {
                writeln!(out, "  = {}", label.text).unwrap();
            }
        }
        if let Some(help) = &diagnostic.help {
            writeln!(out, "help: {help}").unwrap();
        }
        out.push('\n');
    }
    out
}

/// The settings of snapshots in `snapshots/`.
pub(crate) fn snapshots() -> insta::Settings {
    let mut settings = insta::Settings::clone_current();
    settings.set_snapshot_path("../../../snapshots");
    settings.set_prepend_module_to_snapshot(false);
    settings.set_omit_expression(true);
    settings
}
