//! The only place that writes to standard output and standard error.
//!
//! Data goes to standard output, talk to standard error. A reader that goes away (a closed pipe) ends the output, not the
//! command: what was to be done is done. Never here: what is said.
#![allow(clippy::print_stdout, clippy::print_stderr, reason = "the one door to the terminal")]

use std::cell::Cell;
use std::io::{ErrorKind, IsTerminal as _, Write as _};
use std::ops::ControlFlow;
use std::time::{Duration, Instant};

use holdfast_reconciler::diagnostic::Diagnostic;
use serde::Serialize;

use crate::args::{ColourChoice, Format, LogFormat};
use crate::error::{Exit, Failure};
use crate::render::diagnostic;
use crate::render::escape::visible;
use crate::render::ink::{Colour, Text};
use crate::render::{github, json, markdown, problem};

/// How often progress is told.
const PROGRESS_EVERY: Duration = Duration::from_millis(100);

/// How much is said on standard error.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Verbosity {
    /// Errors only.
    Quiet,
    /// What a person wants to know.
    #[default]
    Normal,
    /// More of it.
    Verbose,
}

/// Where and how a command shows things.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Output {
    /// The form of the data.
    pub(crate) format: Format,
    /// How much is said.
    pub(crate) verbosity: Verbosity,
    data: Colour,
    talk: Colour,
}

impl Output {
    /// Works out the colours: a choice wins, else colours go to a terminal that wants them.
    pub(crate) fn new(format: Format, choice: ColourChoice, verbosity: Verbosity, no_colour: bool) -> Self {
        let colour = |terminal: bool| match choice {
            ColourChoice::Always => Colour::On,
            ColourChoice::Never => Colour::Off,
            ColourChoice::Auto if terminal && !no_colour => Colour::On,
            ColourChoice::Auto => Colour::Off,
        };
        let (data, talk) = (colour(std::io::stdout().is_terminal()), colour(std::io::stderr().is_terminal()));
        Self { format, verbosity, data, talk }
    }

    /// Writes data in its text form, or as a JSON document if that was asked for.
    pub(crate) fn data(&self, value: &impl Serialize, text: impl FnOnce() -> Text) -> Result<(), Failure> {
        match self.format {
            Format::Json => self.document(value),
            Format::Text | Format::Markdown | Format::Github => write_data(&text().render(self.data)),
        }
    }

    /// Writes a JSON document.
    pub(crate) fn document(&self, value: &impl Serialize) -> Result<(), Failure> {
        write_data(&json::document(value))
    }

    /// Writes data that is text already, such as Markdown or a completion script.
    pub(crate) fn raw(&self, text: &str) -> Result<(), Failure> {
        write_data(text)
    }

    /// Writes a JSON document on one line: for a command that gives many.
    pub(crate) fn line(&self, value: &impl Serialize) -> Result<Reader, Failure> {
        write_on(&json::line(value))
    }

    /// Writes one of many pieces of text.
    pub(crate) fn piece(&self, text: &Text) -> Result<Reader, Failure> {
        write_on(&text.render(self.data))
    }

    /// Begins to tell how far long work has come.
    pub(crate) fn progress(&self) -> Progress {
        let shown = self.verbosity > Verbosity::Quiet && std::io::stderr().is_terminal();
        Progress { shown, last: Cell::new(None), told: Cell::new(false) }
    }

    /// Says something, unless only errors are wanted.
    pub(crate) fn say(&self, text: impl AsRef<str>) {
        if self.verbosity > Verbosity::Quiet {
            self.insist(text);
        }
    }

    /// Says something that must be read, such as a question.
    pub(crate) fn insist(&self, text: impl AsRef<str>) {
        write_talk(&format!("{}\n", visible(text.as_ref())));
    }

    /// Asks on the same line.
    pub(crate) fn ask(&self, question: &str) {
        write_talk(&format!("{} ", visible(question)));
    }

    /// Shows text on standard error, as the answer to a question.
    pub(crate) fn show(&self, text: &Text) {
        write_talk(&text.render(self.talk));
    }

    /// Shows findings on standard error.
    pub(crate) fn diagnostics(&self, diagnostics: &[Diagnostic]) {
        let wanted = |found: &&Diagnostic| self.verbosity > Verbosity::Quiet || found.is_error();
        let shown: Vec<Diagnostic> = diagnostics.iter().filter(wanted).cloned().collect();
        write_talk(&diagnostic::draw(&shown, self.talk));
    }

    /// Sends log lines to standard error: for a command that runs long, and for `--verbose`.
    pub(crate) fn log(&self, format: LogFormat) {
        let level = match self.verbosity {
            Verbosity::Quiet => tracing::Level::ERROR,
            Verbosity::Normal => tracing::Level::INFO,
            Verbosity::Verbose => tracing::Level::DEBUG,
        };
        let lines = tracing_subscriber::fmt().with_writer(std::io::stderr).with_max_level(level);
        // Only the first call of a process takes effect; a second one is of the same run.
        let _ = match format {
            LogFormat::Text => lines.with_ansi(self.talk == Colour::On).try_init(),
            LogFormat::Json => lines.json().flatten_event(true).with_current_span(false).try_init(),
        };
    }

    /// Shows why a command failed: for people on standard error and, in the form that was asked for, on standard output if
    /// nothing stands there yet.
    pub(crate) fn failure(&self, failure: &Failure) {
        let problem = &failure.problem;
        write_talk(&problem::draw(problem, self.talk));
        let data = match self.format {
            Format::Json => json::failure(problem),
            // Whoever mistyped a flag is at a terminal, not in a pull request.
            _ if failure.exit == Exit::Usage => String::new(),
            Format::Text => String::new(),
            Format::Markdown => markdown::failure(problem, failure.about.as_deref()),
            Format::Github => github::failure(problem),
        };
        if !failure.documented {
            // The failure itself is what counts; that its document cannot be written adds nothing.
            let _ = write_data(&data);
        }
    }
}

/// How far long work has come, told on a terminal and nowhere else.
#[derive(Debug)]
pub(crate) struct Progress {
    shown: bool,
    last: Cell<Option<Instant>>,
    told: Cell<bool>,
}

impl Progress {
    /// Whether anybody sees it.
    pub(crate) fn is_shown(&self) -> bool {
        self.shown
    }

    /// Tells how far it is, not more often than can be read.
    pub(crate) fn tell(&self, text: impl FnOnce() -> String) {
        let due = self.last.get().is_none_or(|last| last.elapsed() >= PROGRESS_EVERY);
        if self.shown && due {
            self.last.set(Some(Instant::now()));
            self.told.set(true);
            write_talk(&format!("\r\x1b[K{}", visible(&text())));
        }
    }

    /// Tells that so many of so many are done; the form that the engine's reports take.
    pub(crate) fn step(&self, doing: &str, done: u64, all: u64) -> ControlFlow<()> {
        self.tell(|| format!("{doing}: {done} of {all}"));
        ControlFlow::Continue(())
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        if self.told.get() {
            write_talk("\r\x1b[K");
        }
    }
}

/// Whether anybody reads standard output.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Reader {
    /// Somebody does.
    There,
    /// The pipe is closed: a command that would go on for ever ends.
    Gone,
}

fn write_data(text: &str) -> Result<(), Failure> {
    write_on(text).map(|_| ())
}

fn write_on(text: &str) -> Result<Reader, Failure> {
    let mut out = std::io::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Ok(()) => Ok(Reader::There),
        Err(error) if error.kind() == ErrorKind::BrokenPipe => Ok(Reader::Gone),
        Err(error) => Err(Failure::io("E_OUTPUT", "cannot write to standard output", &error)),
    }
}

fn write_talk(text: &str) {
    // Nobody is left to be told that standard error is gone.
    let _ = std::io::stderr().lock().write_all(text.as_bytes());
}
