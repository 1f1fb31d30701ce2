//! What is wrong with the manifests: collected while loading, turned into diagnostics at the end.
//!
//! The codes are listed here and in `docs/diagnostics.md`. Never here: deciding what is wrong.

use super::limits::FINDINGS_MAX;
use super::source::{Files, Spot};
use crate::diagnostic::{Diagnostic, Label, Position, Severity};

/// Declares the codes once, so that a test can hold them against the documentation.
macro_rules! codes {
    ($($name:ident),+ $(,)?) => {
        $(pub(crate) const $name: &str = stringify!($name);)+
        /// All codes of the loader, in byte order.
        pub const CODES: &[&str] = &[$($name),+];
    };
}

codes!(
    E_DUPLICATE,
    E_EXCLUSIVE_KEYS,
    E_FILE,
    E_FRONT_MATTER,
    E_INVALID_NAME,
    E_INVALID_REFERENCE,
    E_INVALID_VALUE,
    E_MISSING_KEY,
    E_NOT_UTF8,
    E_NO_MANIFEST,
    E_OUTSIDE_PROJECT,
    E_PROVIDER_KEY_CLASH,
    E_SCHEDULE,
    E_TOML_SYNTAX,
    E_TOO_LARGE,
    E_TOO_MANY,
    E_TWO_MANIFESTS,
    E_UNKNOWN_KEY,
    E_UNKNOWN_REFERENCE,
    E_WRONG_TYPE,
    E_YAML_SYNTAX,
    W_ENV_FILE,
    W_IGNORE_NOTHING,
    W_INCLUDE_NOTHING,
    W_LITERAL_SECRET,
    W_NOT_A_REFERENCE,
    W_NO_FOLDER,
    W_PROTECT_NOTHING,
    W_UNKNOWN_PROVIDER,
);

/// One finding before its places are looked up.
#[derive(Debug)]
#[must_use = "a finding counts once it is reported"]
pub(crate) struct Finding {
    severity: Severity,
    code: &'static str,
    message: String,
    places: Vec<Place>,
    help: Option<String>,
}

#[derive(Debug)]
enum Place {
    Spot { spot: Spot, text: String, conceal: bool },
    File { name: String, line: u32, text: String },
}

impl Finding {
    pub(crate) fn error(code: &'static str, message: impl Into<String>) -> Self {
        Self { severity: Severity::Error, code, message: message.into(), places: Vec::new(), help: None }
    }

    pub(crate) fn warning(code: &'static str, message: impl Into<String>) -> Self {
        Self { severity: Severity::Warning, ..Self::error(code, message) }
    }

    /// Adds a place; the first one is the primary one.
    pub(crate) fn at(self, spot: Spot, text: impl Into<String>) -> Self {
        self.place(Place::Spot { spot, text: text.into(), conceal: false })
    }

    /// Adds a place whose line may hold a secret.
    pub(crate) fn at_concealed(self, spot: Spot, text: impl Into<String>) -> Self {
        self.place(Place::Spot { spot, text: text.into(), conceal: true })
    }

    /// Adds a file as a whole, such as one that cannot be read.
    pub(crate) fn in_file(self, name: impl Into<String>, text: impl Into<String>) -> Self {
        self.place(Place::File { name: name.into(), line: 1, text: text.into() })
    }

    /// Adds a line of a file whose text is never shown.
    pub(crate) fn in_line(self, name: impl Into<String>, line: u32) -> Self {
        self.place(Place::File { name: name.into(), line, text: String::new() })
    }

    pub(crate) fn help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(help.into());
        self
    }

    fn place(mut self, place: Place) -> Self {
        self.places.push(place);
        self
    }
}

/// All findings so far.
#[derive(Debug, Default)]
pub(crate) struct Findings {
    list: Vec<Finding>,
    errors: usize,
    dropped: usize,
}

impl Findings {
    pub(crate) fn report(&mut self, finding: Finding) {
        let error = finding.severity == Severity::Error;
        if self.list.len() < FINDINGS_MAX || (error && self.errors == 0) {
            self.list.push(finding);
        } else {
            self.dropped += 1;
        }
        self.errors += usize::from(error);
    }

    pub(crate) fn has_errors(&self) -> bool {
        self.errors > 0
    }

    /// Whether an error at this very place was reported.
    pub(crate) fn has_error_at(&self, spot: Spot) -> bool {
        let there = |place: &Place| matches!(place, Place::Spot { spot: at, .. } if *at == spot);
        self.list.iter().any(|finding| finding.severity == Severity::Error && finding.places.first().is_some_and(there))
    }

    /// The diagnostics in the order of their places.
    pub(crate) fn finish(mut self, files: &Files) -> Vec<Diagnostic> {
        if self.dropped > 0 {
            let message = format!("{} more findings are not shown", self.dropped);
            let severity = if self.errors > 0 { Severity::Error } else { Severity::Warning };
            self.list.push(Finding { severity, ..Finding::error(E_TOO_MANY, message) });
        }
        let mut diagnostics: Vec<_> = self.list.into_iter().map(|finding| diagnostic(finding, files)).collect();
        diagnostics.sort_by(|left, right| {
            // What has no place stands at the end.
            let place = |diagnostic: &Diagnostic| {
                (diagnostic.labels.is_empty(), diagnostic.labels.first().map(|label| label.at.clone()))
            };
            place(left).cmp(&place(right)).then_with(|| (&left.code, &left.message).cmp(&(&right.code, &right.message)))
        });
        diagnostics.dedup();
        diagnostics
    }
}

fn diagnostic(finding: Finding, files: &Files) -> Diagnostic {
    let Finding { severity, code, message, places, help } = finding;
    let mut diagnostic = match severity {
        Severity::Error => Diagnostic::error(code, message),
        Severity::Warning | Severity::Note => Diagnostic::warning(code, message),
    };
    for place in places {
        diagnostic = diagnostic.label(match place {
            Place::Spot { spot, text, conceal } => files.label(spot, text, conceal),
            Place::File { name, line, text } => Label {
                at: Position { file: name.into(), line, column: 1 },
                length: 1,
                source_line: String::new(),
                text,
                primary: false,
            },
        });
    }
    diagnostic.help = help;
    diagnostic
}
