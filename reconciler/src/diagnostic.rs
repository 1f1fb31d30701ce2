//! What is wrong, where, and what to do: diagnostics with stable codes and positions in manifests.
//!
//! Never here: drawing them (the command line does that), and deciding what is wrong.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

/// How bad it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// The manifest cannot be used.
    Error,
    /// It can be used, but somebody should look.
    Warning,
    /// A fact worth knowing.
    Note,
}

/// A place in a manifest; line and column count from 1, the column in characters.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Position {
    /// The file, relative to the project, with `/` between its parts; shared by all places in it.
    pub file: Arc<str>,
    /// The line.
    pub line: u32,
    /// The column.
    pub column: u32,
}

/// A marked piece of one line of a manifest.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Label {
    /// Where the piece starts.
    #[serde(flatten)]
    pub at: Position,
    /// How many characters of the line it covers, at least 1.
    pub length: u32,
    /// The line itself, so that a reader elsewhere can see it; cut at 500 characters, empty if it may hold a secret.
    pub source_line: String,
    /// What the piece has to do with the message; may be empty.
    pub text: String,
    /// Whether this is the place itself and not a related one.
    pub primary: bool,
}

/// One finding about the input: what, where, why, and what to do.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Diagnostic {
    /// How bad it is.
    pub severity: Severity,
    /// The stable code, such as `E_UNKNOWN_KEY`; all are listed in `docs/diagnostics.md`.
    pub code: String,
    /// What is the matter, in one line.
    pub message: String,
    /// Where, the primary place first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub labels: Vec<Label>,
    /// What to do.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub help: Option<String>,
}

impl Diagnostic {
    /// Starts an error.
    pub fn error(code: &str, message: impl Into<String>) -> Self {
        Self::new(Severity::Error, code, message)
    }

    /// Starts a warning.
    pub fn warning(code: &str, message: impl Into<String>) -> Self {
        Self::new(Severity::Warning, code, message)
    }

    /// Starts a note.
    pub fn note(code: &str, message: impl Into<String>) -> Self {
        Self::new(Severity::Note, code, message)
    }

    fn new(severity: Severity, code: &str, message: impl Into<String>) -> Self {
        Self { severity, code: code.to_owned(), message: message.into(), labels: Vec::new(), help: None }
    }

    /// Adds a place; the first one added is the primary one.
    #[must_use]
    pub fn label(mut self, mut label: Label) -> Self {
        label.primary = self.labels.is_empty();
        self.labels.push(label);
        self
    }

    /// Says what to do.
    #[must_use]
    pub fn help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(help.into());
        self
    }

    /// Whether the input cannot be used.
    pub fn is_error(&self) -> bool {
        self.severity == Severity::Error
    }
}
