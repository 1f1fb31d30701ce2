//! Where the parts of one resource are declared: a short, flat list in the order of their paths.
//!
//! Thousands of resources have half a dozen places each, nearly all in one file, and nearly none is ever shown. So the names
//! of the files are shared by all of them, and most paths are the program's own texts. Never here: how a byte becomes a
//! line (`manifest/source.rs`), and which place counts for a path (`diff.rs`).

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::sync::Arc;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::diagnostic::Position;

/// The places of the fields of a resource and of what is nested in them, by the text form of their paths.
///
/// As JSON it is an object with a [`Position`] for each path.
#[derive(Clone, Debug, Default)]
pub struct Places {
    files: Arc<[Arc<str>]>,
    /// In the order of paths; a path stands once.
    list: Vec<Place>,
}

/// One place.
#[derive(Clone, Debug)]
pub(crate) struct Place {
    pub(crate) path: Cow<'static, str>,
    /// Its position in the list of files.
    pub(crate) file: u32,
    pub(crate) line: u32,
    pub(crate) column: u32,
}

impl Places {
    /// Takes places in some files, each file by its position among them; the last one of a path counts.
    pub(crate) fn new(files: &Arc<[Arc<str>]>, mut list: Vec<Place>) -> Self {
        // Stable, so that the last one of a path stays the last one.
        list.sort_by(|left, right| left.path.cmp(&right.path));
        list.dedup_by(|later, kept| {
            let same = later.path == kept.path;
            if same {
                std::mem::swap(later, kept);
            }
            same
        });
        Self { files: Arc::clone(files), list }
    }

    /// The place of a path, if it has one of its own.
    pub fn get(&self, path: &str) -> Option<Position> {
        let at = self.list.binary_search_by(|place| place.path.as_ref().cmp(path)).ok()?;
        self.position(&self.list[at])
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.list.is_empty()
    }

    /// All places with their paths, in order.
    pub fn iter(&self) -> impl Iterator<Item = (&str, Position)> {
        self.list.iter().filter_map(|place| Some((place.path.as_ref(), self.position(place)?)))
    }

    fn position(&self, place: &Place) -> Option<Position> {
        let file = Arc::clone(self.files.get(place.file as usize)?);
        Some(Position { file, line: place.line, column: place.column })
    }
}

impl PartialEq for Places {
    fn eq(&self, other: &Self) -> bool {
        let same_files = Arc::ptr_eq(&self.files, &other.files);
        let file = |places: &Self, place: &Place| places.files.get(place.file as usize).cloned();
        let same = |(ours, theirs): (&Place, &Place)| {
            (ours.line, ours.column) == (theirs.line, theirs.column)
                && ours.path == theirs.path
                && if same_files { ours.file == theirs.file } else { file(self, ours) == file(other, theirs) }
        };
        self.list.len() == other.list.len() && self.list.iter().zip(&other.list).all(same)
    }
}

impl From<BTreeMap<String, Position>> for Places {
    fn from(places: BTreeMap<String, Position>) -> Self {
        let mut files: Vec<Arc<str>> = Vec::new();
        let mut known: BTreeMap<Arc<str>, u32> = BTreeMap::new();
        let mut number = |file: Arc<str>| {
            // The one that was named last is nearly always meant again.
            if let Some(last) = files.last().filter(|last| **last == file) {
                return known.get(last).copied().unwrap_or_default();
            }
            *known.entry(file).or_insert_with_key(|file| {
                files.push(Arc::clone(file));
                files.len() as u32 - 1
            })
        };
        let list = places.into_iter().map(|(path, Position { file, line, column })| {
            let (path, file) = (Cow::Owned(path), number(file));
            Place { path, file, line, column }
        });
        let list = list.collect();
        Self { files: files.into(), list }
    }
}

impl Serialize for Places {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.collect_map(self.iter())
    }
}

impl<'de> Deserialize<'de> for Places {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        BTreeMap::<String, Position>::deserialize(from).map(Self::from)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn position(file: &str, line: u32, column: u32) -> Position {
        Position { file: file.into(), line, column }
    }

    fn place(path: &'static str, file: u32, line: u32, column: u32) -> Place {
        Place { path: path.into(), file, line, column }
    }

    #[test]
    fn places_are_in_the_order_of_their_paths_and_the_last_one_of_a_path_counts() {
        let files: Arc<[Arc<str>]> = ["lobu.toml".into(), "agents/a/SOUL.md".into()].into();
        let places = [("soulMd", 1, 1), ("name", 0, 2), ("soulMd", 1, 3), ("config", 0, 9)];
        let places = Places::new(&files, places.map(|(path, file, line)| place(path, file, line, 1)).into());
        let all: Vec<_> = places.iter().collect();
        let soul = position("agents/a/SOUL.md", 3, 1);
        let (config, name) = (position("lobu.toml", 9, 1), position("lobu.toml", 2, 1));
        assert_eq!(all, [("config", config), ("name", name), ("soulMd", soul.clone())]);
        assert_eq!(places.get("soulMd"), Some(soul));
        assert_eq!(places.get("soul"), None);
    }

    #[test]
    fn places_are_the_same_after_a_way_through_json() {
        let text = r#"{"a":{"file":"x","line":1,"column":2},"b":{"file":"y","line":3,"column":4}}"#;
        let places: Places = serde_json::from_str(text).unwrap();
        assert_eq!(serde_json::to_string(&places).unwrap(), text);
        let files: Arc<[Arc<str>]> = ["y".into(), "x".into()].into();
        let same = |file| Places::new(&files, vec![place("b", 0, 3, 4), place("a", file, 1, 2)]);
        assert_eq!(places, same(1));
        assert_ne!(places, same(0));
    }
}
