//! Addresses as a plan lists them: texts in order, most of them pieces of lists that are kept elsewhere, so that a plan of a large
//! project in which next to nothing changes copies next to nothing.
//!
//! Never here: what an address is (`resource.rs`).

use std::fmt;
use std::ops::Range;
use std::sync::Arc;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// A list of addresses; in JSON an array of strings.
#[derive(Clone, Default)]
pub struct Addresses(Vec<Piece>);

#[derive(Clone)]
enum Piece {
    Own(Vec<Arc<str>>),
    Shared(Arc<[Arc<str>]>, Range<usize>),
}

impl Piece {
    fn as_slice(&self) -> &[Arc<str>] {
        match self {
            Self::Own(list) => list,
            Self::Shared(list, range) => &list[range.clone()],
        }
    }
}

impl Addresses {
    /// How many there are.
    pub fn len(&self) -> usize {
        self.0.iter().map(|piece| piece.as_slice().len()).sum()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// All of them, in order.
    pub fn iter(&self) -> impl Iterator<Item = &str> {
        self.0.iter().flat_map(|piece| piece.as_slice().iter().map(|address| &**address))
    }

    pub(crate) fn push(&mut self, address: String) {
        match self.0.last_mut() {
            Some(Piece::Own(list)) => list.push(address.into()),
            Some(Piece::Shared(..)) | None => self.0.push(Piece::Own(vec![address.into()])),
        }
    }

    /// Adds a piece of a list that stays where it is.
    pub(crate) fn extend_shared(&mut self, list: &Arc<[Arc<str>]>, range: Range<usize>) {
        self.0.push(Piece::Shared(Arc::clone(list), range));
    }
}

impl fmt::Debug for Addresses {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_list().entries(self.iter()).finish()
    }
}

impl PartialEq for Addresses {
    fn eq(&self, other: &Self) -> bool {
        self.iter().eq(other.iter())
    }
}

impl Serialize for Addresses {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(self.iter())
    }
}

impl<'de> Deserialize<'de> for Addresses {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Ok(Self(vec![Piece::Own(Vec::deserialize(deserializer)?)]))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn own_and_shared_pieces_are_one_list() {
        let kept: Arc<[Arc<str>]> = ["agent/b", "agent/c", "agent/d"].map(Arc::from).into();
        let mut list = Addresses::default();
        assert!(list.is_empty());
        list.push("agent/a".to_owned());
        list.extend_shared(&kept, 1..3);
        list.push("agent/e".to_owned());
        list.push("agent/f".to_owned());
        let json = serde_json::to_string(&list).unwrap();
        assert_eq!(json, r#"["agent/a","agent/c","agent/d","agent/e","agent/f"]"#);
        assert_eq!(list.len(), 5);
        assert_eq!(serde_json::from_str::<Addresses>(&json).unwrap(), list);
        assert_eq!(format!("{list:?}"), format!("{:?}", list.iter().collect::<Vec<_>>()));
        assert_ne!(list, Addresses::default());
    }
}
