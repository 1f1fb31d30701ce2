//! Diagnostics in rustc's form, drawn with `annotate-snippets` (which only this file uses).
//!
//! Labels carry their source line, so nothing is read from the disk: the manifests may lie on another machine. A line that
//! may hold a secret is empty in the label and is not drawn. Never here: deciding what is wrong.

use annotate_snippets::{AnnotationKind, Element, Group, Level, Origin, Renderer, Snippet};
use holdfast_reconciler::diagnostic::{Diagnostic, Label, Severity};

use super::escape::{same_columns, visible};
use super::ink::Colour;

/// Fixed, so that the same finding gives the same bytes everywhere.
const WIDTH: usize = 160;

/// Draws findings, each followed by an empty line.
pub(crate) fn draw(diagnostics: &[Diagnostic], colour: Colour) -> String {
    diagnostics.iter().map(|diagnostic| format!("{}\n\n", one(diagnostic, colour))).collect()
}

fn one(diagnostic: &Diagnostic, colour: Colour) -> String {
    let level = match diagnostic.severity {
        Severity::Error => Level::ERROR,
        Severity::Warning => Level::WARNING,
        Severity::Note => Level::NOTE,
    };
    let pieces: Vec<Piece> = merged(&diagnostic.labels);
    let mut group = Group::with_title(
        level.primary_title(visible(&diagnostic.message).into_owned()).id(visible(&diagnostic.code).into_owned()),
    );
    group = group.elements(pieces.iter().map(Piece::element));
    if let Some(help) = &diagnostic.help {
        group = group.element(Level::HELP.message(visible(help).into_owned()));
    }
    let renderer = match colour {
        Colour::On => Renderer::styled(),
        Colour::Off => Renderer::plain(),
    };
    renderer.term_width(WIDTH).render(&[group])
}

/// One line of one file with all its marks.
struct Piece {
    file: String,
    line: usize,
    column: usize,
    source: String,
    marks: Vec<Mark>,
}

struct Mark {
    start: usize,
    end: usize,
    text: String,
    primary: bool,
}

/// Labels of the same line are drawn together; the order of first mention stays.
fn merged(labels: &[Label]) -> Vec<Piece> {
    let mut pieces: Vec<Piece> = Vec::new();
    for label in labels {
        let file = visible(&label.at.file).into_owned();
        let line = label.at.line as usize;
        let source = same_columns(&label.source_line);
        let mark = mark(label, &source);
        match pieces.iter_mut().find(|piece| piece.file == file && piece.line == line && piece.source == source) {
            Some(piece) => piece.marks.push(mark),
            None => {
                let column = label.at.column as usize;
                pieces.push(Piece { file, line, column, source, marks: vec![mark] });
            }
        }
    }
    pieces
}

/// Turns columns, which count characters, into offsets, which count bytes, and keeps them inside the line.
fn mark(label: &Label, source: &str) -> Mark {
    let offset = |characters: usize| source.char_indices().nth(characters).map_or(source.len(), |(offset, _)| offset);
    let first = (label.at.column as usize).saturating_sub(1);
    let start = offset(first);
    let end = offset(first + label.length as usize);
    Mark { start, end: end.max(start), text: visible(&label.text).into_owned(), primary: label.primary }
}

impl Piece {
    fn element(&self) -> Element<'_> {
        if self.source.is_empty() {
            return Origin::path(self.file.as_str()).line(self.line).char_column(self.column).into();
        }
        let annotations = self.marks.iter().map(|mark| {
            let kind = if mark.primary { AnnotationKind::Primary } else { AnnotationKind::Context };
            let annotation = kind.span(mark.start..mark.end);
            if mark.text.is_empty() { annotation } else { annotation.label(mark.text.as_str()) }
        });
        Snippet::source(self.source.as_str())
            .path(self.file.as_str())
            .line_start(self.line)
            .fold(false)
            .annotations(annotations)
            .into()
    }
}
