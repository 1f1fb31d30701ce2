//! Where the values of a resource are declared, as it is kept with what a source declared last: short, because there is one for
//! every resource of a store.
//!
//! Never here: places while a manifest is in hand (`places.rs`).

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::diagnostic::Position;
use crate::places::Places;
use crate::value::{FieldPath, PathStep};

/// The places of values by the text form of their path, each as `file:line:column`; the file is left out where it is the
/// resource's own.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct KeptPlaces(BTreeMap<String, String>);

impl KeptPlaces {
    /// Keeps what is not the place of the resource itself.
    pub fn new(of_resource: Option<&Position>, of_values: &Places) -> Self {
        let Some(own) = of_resource else { return Self::default() };
        let kept = of_values.iter().filter(|(_, at)| at != own).map(|(path, at)| {
            let file = if at.file == own.file { "" } else { &*at.file };
            (path.to_owned(), format!("{file}:{}:{}", at.line, at.column))
        });
        Self(kept.collect())
    }

    /// The places as they are while a manifest is in hand, so that they can be kept again.
    pub(crate) fn in_hand(&self, of_resource: Option<&Position>) -> Places {
        let Some(own) = of_resource else { return Places::default() };
        let places = self.0.iter().filter_map(|(path, text)| Some((path.clone(), parse(text, own)?)));
        places.collect::<BTreeMap<_, _>>().into()
    }

    /// Whether every value is declared where the resource is.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The nearest known place of a value: its own, else that of what it lies in, else the resource's.
    pub fn of(&self, path: &FieldPath, of_resource: Option<&Position>) -> Option<Position> {
        let own = of_resource?;
        let found = nearest(path, |text| self.0.get(text)).and_then(|text| parse(text, own));
        Some(found.unwrap_or_else(|| own.clone()))
    }
}

/// What is known of a path, or of the nearest path that it lies in.
pub(crate) fn nearest<T>(path: &FieldPath, known: impl Fn(&str) -> Option<T>) -> Option<T> {
    let mut steps = path.steps();
    while !steps.is_empty() {
        let text = steps.iter().fold(None::<FieldPath>, |path, step| {
            Some(match (path, step) {
                (None, PathStep::Key(name)) => FieldPath::field(name),
                (None, PathStep::Index(_)) => FieldPath::default(),
                (Some(path), PathStep::Key(name)) => path.key(name),
                (Some(path), PathStep::Index(index)) => path.index(*index),
            })
        });
        if let Some(found) = text.and_then(|path| known(&path.to_string())) {
            return Some(found);
        }
        steps = &steps[..steps.len() - 1];
    }
    None
}

fn parse(text: &str, own: &Position) -> Option<Position> {
    let (rest, column) = text.rsplit_once(':')?;
    let (file, line) = rest.rsplit_once(':')?;
    let file = if file.is_empty() { own.file.clone() } else { file.into() };
    Some(Position { file, line: line.parse().ok()?, column: column.parse().ok()? })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(file: &str, line: u32) -> Position {
        Position { file: file.into(), line, column: 7 }
    }

    #[test]
    fn the_nearest_place_counts_and_files_may_have_colons() {
        let own = at("lobu.toml", 4);
        let values = [
            ("soulMd", at("a:b/SOUL.md", 1)),
            ("preferences", at("lobu.toml", 9)),
            ("preferences.z-ai", at("lobu.toml", 11)),
            ("servers[1]", at("lobu.toml", 20)),
            ("name", own.clone()),
        ];
        let values: BTreeMap<_, _> = values.into_iter().map(|(path, at)| (path.to_owned(), at)).collect();
        let places = KeptPlaces::new(Some(&own), &values.into());
        let text =
            r#"{"preferences":":9:7","preferences.z-ai":":11:7","servers[1]":":20:7","soulMd":"a:b/SOUL.md:1:7"}"#;
        assert_eq!(serde_json::to_string(&places).unwrap(), text);
        assert_eq!(KeptPlaces::new(Some(&own), &places.in_hand(Some(&own))), places, "they can be kept again");
        let places: KeptPlaces = serde_json::from_str(text).unwrap();
        for (path, expected) in [
            ("soulMd", at("a:b/SOUL.md", 1)),
            ("preferences.z-ai", at("lobu.toml", 11)),
            ("preferences.openai", at("lobu.toml", 9)),
            ("preferences.z-ai.deeper[3]", at("lobu.toml", 11)),
            ("servers[1].url", at("lobu.toml", 20)),
            ("servers[0].url", own.clone()),
            ("name", own.clone()),
        ] {
            assert_eq!(places.of(&path.parse().unwrap(), Some(&own)), Some(expected), "{path}");
        }
        assert_eq!(places.of(&"soulMd".parse().unwrap(), None), None);
        let damaged = KeptPlaces([("soulMd".to_owned(), "nonsense".to_owned())].into());
        assert_eq!(damaged.of(&"soulMd".parse().unwrap(), Some(&own)), Some(own));
    }
}
