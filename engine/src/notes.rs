//! Notes: a short list of what happened that is no commit, kept beside the commits. The newest replace the oldest.
//!
//! A note moves no revision, wakes nobody, is in no backup, and says nothing about the state. Never here: what notes say.

use std::sync::Arc;

use crate::engine::Engine;
use crate::error::StoreError;
use crate::limits::{NOTE_BYTES_MAX, NOTES_MAX};

/// One note.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Note {
    /// Counts the notes of the store from 1; gaps are notes that were replaced.
    pub number: u64,
    /// What it says.
    pub bytes: Vec<u8>,
}

/// Why a note was not taken.
#[derive(Debug, Clone, thiserror::Error)]
#[non_exhaustive]
pub enum NoteError {
    /// It is longer than [`NOTE_BYTES_MAX`].
    #[error("a note of {bytes} bytes is longer than {NOTE_BYTES_MAX}")]
    TooLarge {
        /// How long it is.
        bytes: usize,
    },
    /// The store failed, now or before.
    #[error("the store failed")]
    Storage(#[source] Arc<StoreError>),
    /// A write failed before; the store must be opened again.
    #[error("the store failed before and takes nothing until it is opened again")]
    Poisoned,
    /// The engine was closed.
    #[error("the engine is closed")]
    Closed,
}

impl Engine {
    /// Takes a note, which is durable when this returns; blocks the thread. The oldest one goes if there are
    /// [`NOTES_MAX`].
    ///
    /// # Errors
    /// If the note is too long, or the store cannot be read or written; a failed write poisons the engine, as that of a commit
    /// does.
    pub fn note(&self, bytes: &[u8]) -> Result<(), NoteError> {
        if bytes.len() > NOTE_BYTES_MAX {
            return Err(NoteError::TooLarge { bytes: bytes.len() });
        }
        if self.core().is_poisoned() {
            return Err(NoteError::Poisoned);
        }
        let bytes = bytes.to_vec();
        let written = self.on_store(move |store| {
            let number = store.notes()?.iter().map(|note| note.number).max().unwrap_or_default() + 1;
            store.write_note(&Note { number, bytes })
        });
        match written {
            Some(Ok(())) => Ok(()),
            Some(Err(error)) => Err(NoteError::Storage(self.core().poison(error))),
            None => Err(NoteError::Closed),
        }
    }

    /// The notes that are kept, oldest first; blocks the thread. One that is damaged is left out; a verification names it.
    ///
    /// # Errors
    /// If the store cannot be read.
    pub fn notes(&self) -> Result<Vec<Note>, NoteError> {
        let mut notes = match self.on_store(|store| store.notes()) {
            Some(Ok(notes)) => notes,
            Some(Err(error)) => return Err(NoteError::Storage(Arc::new(error))),
            None => return Err(NoteError::Closed),
        };
        notes.sort_unstable_by_key(|note| note.number);
        Ok(notes)
    }
}

/// Where a note lies: the one that it replaces had the same place.
pub(crate) fn slot(number: u64) -> u64 {
    number % NOTES_MAX
}
