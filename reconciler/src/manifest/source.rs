//! The texts that were read and places in them: from byte offsets to lines, columns and labels.
//!
//! A label never shows a line that may hold a secret. Never here: reading, and what the texts mean.

use std::borrow::Cow;
use std::sync::{Arc, OnceLock};

use super::limits::{SHOWN_CHARS_MAX, SOURCE_LINE_CHARS_MAX};
use crate::diagnostic::{Label, Position};
use crate::unseen::is_unseen;

/// A place in one of the files: a range of bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Spot {
    /// The index of the file in [`Files`].
    pub(crate) file: u32,
    /// The first byte.
    pub(crate) start: u32,
    /// One past the last byte.
    pub(crate) end: u32,
}

/// One file as it was read.
#[derive(Debug)]
pub(crate) struct SourceFile {
    /// Its path in the project.
    pub(crate) name: Arc<str>,
    /// Its text; empty if it is not text.
    pub(crate) text: String,
    lines: OnceLock<Lines>,
}

/// Where lines start, and how bytes map to characters.
#[derive(Debug)]
struct Lines {
    starts: Vec<u32>,
    /// For a text that is not all ASCII: the number of characters before each block of `BLOCK` bytes.
    blocks: Option<Vec<u32>>,
}

const BLOCK: usize = 1024;

impl SourceFile {
    fn lines(&self) -> &Lines {
        self.lines.get_or_init(|| {
            let bytes = self.text.as_bytes();
            let mut starts: Vec<u32> = vec![0];
            starts.reserve(bytes.len() / 32);
            starts.extend(bytes.iter().zip(1..).filter(|(byte, _)| **byte == b'\n').map(|(_, next)| next));
            let blocks = (!bytes.is_ascii()).then(|| {
                let mut before = 0;
                let count = |block: &[u8]| block.iter().filter(|byte| is_char_start(**byte)).count() as u32;
                let step = |block: &[u8]| {
                    before += count(block);
                    before - count(block)
                };
                bytes.chunks(BLOCK).map(step).collect()
            });
            Lines { starts, blocks }
        })
    }

    /// The number of characters before a byte.
    fn chars_before(&self, offset: usize) -> u32 {
        match &self.lines().blocks {
            None => offset as u32,
            Some(blocks) => {
                let block = (offset / BLOCK).min(blocks.len() - 1);
                let rest = &self.text.as_bytes()[block * BLOCK..offset];
                blocks[block] + rest.iter().filter(|byte| is_char_start(**byte)).count() as u32
            }
        }
    }

    fn line_at(&self, offset: usize) -> (usize, &str) {
        let starts = &self.lines().starts;
        let line = starts.partition_point(|start| *start as usize <= offset) - 1;
        let end = starts.get(line + 1).map_or(self.text.len(), |next| *next as usize - 1);
        (line, self.text[starts[line] as usize..end].trim_end_matches('\r'))
    }
}

/// Finds lines and columns of places that mostly lie near each other: it begins to look where it found the last one.
pub(crate) struct Finder<'f> {
    files: &'f Files,
    file: u32,
    /// The line of the last place, from 0.
    line: usize,
}

/// So many lines around the last place are walked before all are searched.
const NEAR_LINES: usize = 32;

impl Finder<'_> {
    /// Where a place starts, as people count.
    pub(crate) fn position(&mut self, spot: Spot) -> Position {
        let (line, column) = self.line_and_column(spot);
        Position { file: self.files.list[spot.file as usize].name.clone(), line, column }
    }

    /// The line and the column where a place starts, as people count.
    pub(crate) fn line_and_column(&mut self, spot: Spot) -> (u32, u32) {
        let file = &self.files.list[spot.file as usize];
        let (offset, starts) = (boundary(&file.text, spot.start), &file.lines().starts);
        if self.file != spot.file {
            (self.file, self.line) = (spot.file, 0);
        }
        self.line = line_near(starts, self.line, offset);
        let column = file.chars_before(offset) - file.chars_before(starts[self.line] as usize);
        (self.line as u32 + 1, column + 1)
    }
}

/// The line that a byte lies in, looked for around another line first.
fn line_near(starts: &[u32], near: usize, offset: usize) -> usize {
    let begins_after = |line: usize| starts.get(line).is_none_or(|start| *start as usize > offset);
    let around = near.saturating_sub(NEAR_LINES)..near + NEAR_LINES;
    let found = match begins_after(near) {
        true => around.rev().skip(NEAR_LINES).find(|line| !begins_after(*line)),
        false => (near..around.end).find(|line| begins_after(line + 1)),
    };
    found.unwrap_or_else(|| starts.partition_point(|start| *start as usize <= offset) - 1)
}

fn is_char_start(byte: u8) -> bool {
    byte & 0xc0 != 0x80
}

/// All files of a project that were read, in the order of reading.
#[derive(Debug, Default)]
pub(crate) struct Files {
    list: Vec<Arc<SourceFile>>,
    /// Places that hold a secret in clear: their lines are never shown.
    secrets: Vec<Spot>,
    /// Places that may hold one, though nothing says so: their lines are shown up to them.
    doubtful: Vec<Spot>,
}

impl Files {
    /// Adds a file and gives it with its index.
    pub(crate) fn add(&mut self, name: String, text: String) -> (u32, Arc<SourceFile>) {
        let file = Arc::new(SourceFile { name: name.into(), text, lines: OnceLock::new() });
        self.list.push(Arc::clone(&file));
        (self.list.len() as u32 - 1, file)
    }

    /// Keeps the lines of this place out of every label.
    pub(crate) fn hide(&mut self, spot: Spot) {
        self.secrets.push(spot);
    }

    /// Ends every line of this place in a label before it.
    pub(crate) fn cut(&mut self, spot: Spot) {
        self.doubtful.push(spot);
    }

    /// Where a place starts, as people count.
    pub(crate) fn position(&self, spot: Spot) -> Position {
        self.finder().position(spot)
    }

    /// What finds many places one after the other.
    pub(crate) fn finder(&self) -> Finder<'_> {
        Finder { files: self, file: 0, line: 0 }
    }

    /// The paths of all files, each at its index.
    pub(crate) fn names(&self) -> Arc<[Arc<str>]> {
        self.list.iter().map(|file| Arc::clone(&file.name)).collect()
    }

    /// A label for a place, with its source line unless that may hold a secret.
    pub(crate) fn label(&self, spot: Spot, text: String, conceal: bool) -> Label {
        let file = &self.list[spot.file as usize];
        let start = boundary(&file.text, spot.start);
        let (line, source) = file.line_at(start);
        let first = file.lines().starts[line] as usize;
        let last = first + source.len();
        let end = boundary(&file.text, spot.end).clamp(start, last.max(start));
        let length = file.chars_before(end) - file.chars_before(start);
        let holds = |secret: &Spot| {
            secret.file == spot.file && (secret.start as usize) <= last && (secret.end as usize) >= first
        };
        // A value that began on an earlier line leaves nothing of this one.
        let cuts = self.doubtful.iter().filter(|spot| holds(spot));
        let cut = cuts.map(|spot| boundary(&file.text, spot.start).saturating_sub(first)).min();
        let source_line = match cut {
            _ if conceal || self.secrets.iter().any(holds) => String::new(),
            Some(cut) if first + cut < end => String::new(),
            Some(cut) => format!("{}…", shown_line(&source[..cut])),
            None => shown_line(source),
        };
        Label { at: self.position(spot), length: length.max(1), source_line, text, primary: false }
    }

    /// The text of the line that a place starts in.
    pub(crate) fn line_text(&self, spot: Spot) -> &str {
        let file = &self.list[spot.file as usize];
        file.line_at(boundary(&file.text, spot.start)).1
    }

    /// The path of the file that a place lies in.
    pub(crate) fn name(&self, spot: Spot) -> &str {
        &self.list[spot.file as usize].name
    }
}

fn shown_line(line: &str) -> String {
    line.chars().take(SOURCE_LINE_CHARS_MAX).map(harmless).collect()
}

fn boundary(text: &str, offset: u32) -> usize {
    text.floor_char_boundary((offset as usize).min(text.len()))
}

/// A character that is seen as it is; a tab stays.
fn harmless(char: char) -> char {
    if is_unseen(char) && char != '\t' { '\u{fffd}' } else { char }
}

/// A name or value from a manifest as a message may show it: escaped and cut.
pub(crate) fn shown(text: &str) -> Cow<'_, str> {
    let plain = text.chars().all(|char| harmless(char) == char && char != '\t');
    if plain && text.len() <= SHOWN_CHARS_MAX {
        return Cow::Borrowed(text);
    }
    let mut cut: String = text.chars().take(SHOWN_CHARS_MAX).flat_map(escaped).collect();
    if text.chars().nth(SHOWN_CHARS_MAX).is_some() {
        cut.push('…');
    }
    Cow::Owned(cut)
}

fn escaped(char: char) -> impl Iterator<Item = char> {
    let plain = harmless(char) == char && char != '\t';
    let escape = (!plain).then(|| char.escape_default());
    escape.into_iter().flatten().chain(plain.then_some(char))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_count_characters_also_far_into_a_long_line() {
        let mut files = Files::default();
        let text = format!("a = 1\n{}x = \"ä\"\r\n", "é".repeat(3000));
        let x = text.find('x').unwrap() as u32;
        let (file, _) = files.add("f.toml".to_owned(), text);
        let at = files.position(Spot { file, start: x, end: x + 1 });
        assert_eq!((at.line, at.column), (2, 3001));
        let label = files.label(Spot { file, start: x + 5, end: x + 7 }, String::new(), false);
        assert_eq!((label.at.column, label.length), (3006, 1));
        assert_eq!(label.source_line.chars().count(), SOURCE_LINE_CHARS_MAX);
    }

    #[test]
    fn a_line_is_the_same_wherever_one_begins_to_look() {
        let starts: Vec<u32> = (0..200).map(|line| line * 3).collect();
        for near in [0, 1, 31, 32, 33, 99, 168, 199] {
            for offset in 0..600 {
                assert_eq!(line_near(&starts, near, offset), offset / 3, "{offset} from {near}");
            }
        }
    }

    #[test]
    fn a_line_that_holds_a_secret_is_never_shown_p8() {
        let mut files = Files::default();
        let (file, _) = files.add("f.toml".to_owned(), "a = 1\nkey = \"\"\"x\ny\"\"\" # z\nb = 2\n".to_owned());
        files.hide(Spot { file, start: 12, end: 21 });
        let line = |at| files.label(Spot { file, start: at, end: at + 1 }, String::new(), false).source_line;
        assert_eq!(line(0), "a = 1");
        assert_eq!((line(6).as_str(), line(18).as_str()), ("", ""));
        assert_eq!(line(26), "b = 2");
    }

    #[test]
    fn a_line_is_shown_up_to_a_value_that_may_be_a_secret_p8() {
        let mut files = Files::default();
        let (file, _) = files.add("f.toml".to_owned(), "a = { kee = \"\"\"x\ny\"\"\", b = 1 }\nc = 2\n".to_owned());
        files.cut(Spot { file, start: 12, end: 21 });
        let line = |at| files.label(Spot { file, start: at, end: at + 3 }, String::new(), false).source_line;
        assert_eq!(line(6), "a = { kee = …");
        assert_eq!((line(13).as_str(), line(19).as_str(), line(23).as_str()), ("", "", ""));
        assert_eq!(line(31), "c = 2");
    }

    #[test]
    fn nothing_shown_can_steer_a_terminal() {
        assert_eq!(shown("plain ä"), "plain ä");
        assert_eq!(shown("a\u{1b}[31m\n"), "a\\u{1b}[31m\\n");
        assert_eq!(shown(&"x".repeat(500)).chars().count(), SHOWN_CHARS_MAX + 1);
    }
}
