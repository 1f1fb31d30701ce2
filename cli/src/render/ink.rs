//! Text with roles: what every text renderer builds, with colour as a layer on top, so that plain and coloured output hold
//! the same words in the same places.
//!
//! Whatever is added is escaped here, and here only. Never here: what the text says, and whether the terminal takes colour.

use anstyle::{AnsiColor, Style};
use unicode_width::UnicodeWidthStr as _;

use super::escape::visible;

/// What a piece of text is, which decides its colour.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Role {
    /// Ordinary text.
    Plain,
    /// The first line, headings.
    Strong,
    /// Comments, positions, things to skip.
    Quiet,
    /// Something is made.
    Create,
    /// Something is changed.
    Update,
    /// Something is removed.
    Delete,
    /// Something gets another name.
    Move,
    /// Something is refused or fails.
    Error,
    /// Something deserves a look.
    Warning,
    /// What to do.
    Help,
}

impl Role {
    fn style(self) -> Style {
        let colour = |colour: AnsiColor| Style::new().fg_color(Some(colour.into()));
        match self {
            Self::Plain => Style::new(),
            Self::Strong => Style::new().bold(),
            Self::Quiet => Style::new().dimmed(),
            Self::Create => colour(AnsiColor::Green),
            Self::Update => colour(AnsiColor::Yellow),
            Self::Delete => colour(AnsiColor::Red),
            Self::Move => colour(AnsiColor::Cyan),
            Self::Error => colour(AnsiColor::Red).bold(),
            Self::Warning => colour(AnsiColor::Yellow).bold(),
            Self::Help => colour(AnsiColor::Cyan).bold(),
        }
    }
}

/// Whether text is written with colours.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Colour {
    /// With escape sequences of our own.
    On,
    /// Plain.
    Off,
}

/// Lines of text with roles.
#[derive(Clone, Debug, Default)]
pub(crate) struct Text {
    pieces: Vec<(Role, String)>,
    column: usize,
}

impl Text {
    /// Starts an empty text.
    pub(crate) fn new() -> Self {
        Self::default()
    }

    /// Adds a piece to the line.
    pub(crate) fn add(&mut self, role: Role, text: impl AsRef<str>) -> &mut Self {
        let text = visible(text.as_ref());
        if !text.is_empty() {
            self.column += text.width();
            self.pieces.push((role, text.into_owned()));
        }
        self
    }

    /// Adds an ordinary piece to the line.
    pub(crate) fn plain(&mut self, text: impl AsRef<str>) -> &mut Self {
        self.add(Role::Plain, text)
    }

    /// Fills the line up to a column, with at least `least` spaces.
    pub(crate) fn pad(&mut self, column: usize, least: usize) -> &mut Self {
        let spaces = column.saturating_sub(self.column).max(least);
        self.plain(" ".repeat(spaces))
    }

    /// Ends the line.
    pub(crate) fn end(&mut self) -> &mut Self {
        self.pieces.push((Role::Plain, "\n".to_owned()));
        self.column = 0;
        self
    }

    /// Adds a whole ordinary line.
    pub(crate) fn line(&mut self, text: impl AsRef<str>) -> &mut Self {
        self.plain(text).end()
    }

    /// Adds all lines of another text.
    pub(crate) fn append(&mut self, other: Self) -> &mut Self {
        self.pieces.extend(other.pieces);
        self.column = other.column;
        self
    }

    /// Writes the text out.
    pub(crate) fn render(&self, colour: Colour) -> String {
        let mut out = String::new();
        for (role, text) in &self.pieces {
            let style = role.style();
            if colour == Colour::Off || style.is_plain() || text == "\n" {
                out.push_str(text);
            } else {
                out.push_str(&format!("{style}{text}{style:#}"));
            }
        }
        out
    }
}

/// Lays cells out in columns that are two spaces apart; the last cell of a row is not filled up.
pub(crate) fn table(rows: &[Vec<(Role, String)>], indent: usize) -> Text {
    let columns = rows.iter().map(Vec::len).max().unwrap_or(0);
    let width = |column: usize| {
        rows.iter().filter_map(|row| row.get(column)).map(|(_, cell)| visible(cell).width()).max().unwrap_or(0)
    };
    let widths: Vec<usize> = (0..columns).map(width).collect();
    let mut text = Text::new();
    for row in rows {
        text.plain(" ".repeat(indent));
        let last = row.iter().rposition(|(_, cell)| !cell.is_empty()).unwrap_or(0);
        let mut start = indent;
        for (column, (role, cell)) in row.iter().enumerate().take(last + 1) {
            text.add(*role, cell);
            start += widths[column] + 2;
            // A column without any cell takes no room.
            if widths[column] == 0 {
                start -= 2;
            }
            if column < last {
                text.pad(start, 0);
            }
        }
        text.end();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn colour_adds_nothing_but_escape_sequences() {
        let mut text = Text::new();
        text.add(Role::Create, "+ new").pad(10, 3).add(Role::Quiet, "lobu.toml:1").end();
        let coloured = text.render(Colour::On);
        assert!(coloured.contains("\u{1b}["), "{coloured:?}");
        let mut stripped = String::new();
        for (index, part) in coloured.split('\u{1b}').enumerate() {
            stripped.push_str(if index == 0 { part } else { part.split_once('m').unwrap().1 });
        }
        assert_eq!(stripped, text.render(Colour::Off));
    }

    #[test]
    fn a_comment_stands_in_its_column_or_three_spaces_behind_a_longer_row() {
        for (row, expected) in [("ab", "ab        c"), ("abcdefghijk", "abcdefghijk   c"), ("日本", "日本      c")]
        {
            let mut text = Text::new();
            text.plain(row).pad(10, 3).plain("c");
            assert_eq!(text.render(Colour::Off), expected);
        }
    }

    #[test]
    fn whatever_is_added_is_escaped() {
        let mut text = Text::new();
        text.line("a\u{1b}[2Jb\nc");
        assert_eq!(text.render(Colour::On), "a\\u001b[2Jb\\nc\n");
    }
}
