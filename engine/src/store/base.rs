//! Bases: the whole state at one revision, written in slices behind the commits, read back when a store is opened.
//!
//! Never here: when a base is due (`embedded.rs`), or anything that a commit waits for.

use std::ops::{Bound, ControlFlow};

use imbl::OrdMap;

use crate::codec::{
    BaseMark, BlockContent, BlockEntry, BlockWriter, decode_block, decode_requests, encode_requests, is_large,
    open_piece,
};
use crate::entry::Entry;
use crate::error::{Damage, StoreError};
use crate::key::Key;
use crate::revision::Revision;
use crate::snapshot::Head;
use crate::store::records::{damage, put_piece, put_record, read_record};
use crate::store::sled::{Changes, Disk};
use crate::store::{Request, layout};

/// Most pieces that one slice of a deletion removes.
const DELETE_PIECES: usize = 256;

/// A base in the making.
pub(crate) struct BaseWriter {
    entries: OrdMap<Key, Entry>,
    requests: Vec<Request>,
    after: Option<Key>,
    mark: BaseMark,
}

impl BaseWriter {
    pub(crate) fn begin(head: Head, entries: OrdMap<Key, Entry>, requests: &[Request]) -> Self {
        let mark = BaseMark { head, entries: 0, blocks: 0, larges: 0, bytes: 0 };
        let known = |request: &&Request| request.revision <= head.revision;
        Self { entries, requests: requests.iter().filter(known).cloned().collect(), after: None, mark }
    }

    pub(crate) fn revision(&self) -> Revision {
        self.mark.head.revision
    }

    /// How many entries are written.
    pub(crate) fn entries(&self) -> u64 {
        self.mark.entries
    }

    /// Adds about `budget` bytes to `changes`; gives the mark when all is written.
    pub(crate) fn slice(&mut self, changes: &mut Changes, budget: usize) -> Option<BaseMark> {
        let base = self.mark.head.revision;
        let from = self.after.take();
        let start = from.as_ref().map_or(Bound::Unbounded, |key| Bound::Excluded(key.as_str()));
        let mut rest = self.entries.range::<_, str>((start, Bound::Unbounded)).peekable();
        let mut last = None;
        while let Some(&(first, _)) = rest.peek()
            && changes.bytes < budget
        {
            let mut block = BlockWriter::default();
            while let Some(&(key, entry)) = rest.peek() {
                let large = is_large(entry).then_some(self.mark.larges);
                if !block.add(key, entry, large) {
                    break;
                }
                if let Some(number) = large {
                    put_record(changes, &layout::large(base, number), entry.value());
                    self.mark.larges += 1;
                }
                self.mark.entries += 1;
                last = Some(key.clone());
                rest.next();
            }
            put_piece(changes, &layout::block(base, first.as_str()), &block.finish());
            self.mark.blocks += 1;
        }
        let done = rest.peek().is_none();
        self.after = last;
        if done {
            put_record(changes, &layout::requests(base), &encode_requests(&self.requests));
        }
        self.mark.bytes += changes.bytes as u64;
        done.then_some(self.mark)
    }
}

/// Reads a base back.
pub(crate) fn load(disk: &mut Disk, mark: &BaseMark) -> Result<(OrdMap<Key, Entry>, Vec<Request>), StoreError> {
    let base = mark.head.revision;
    let mut entries = OrdMap::new();
    let mut larges = Vec::new();
    let mut blocks = 0;
    let mut problem = None;
    let (from, to) = layout::blocks(base);
    disk.scan(&from, &to, &mut |key, piece| match open_piece(key, piece).and_then(decode_block) {
        Ok(block) => {
            blocks += 1;
            for entry in block {
                match entry.content {
                    BlockContent::Inline(_) => drop(insert(&mut entries, entry, None)),
                    BlockContent::Large { .. } => larges.push(entry),
                }
            }
            ControlFlow::Continue(())
        }
        Err(error) => {
            problem = Some(block_damage(base, key, damage("a block of the current entries", &error)));
            ControlFlow::Break(())
        }
    })?;
    if let Some(problem) = problem {
        return Err(problem.into());
    }
    for entry in larges {
        let value = large_value(disk, base, &entry)?;
        insert(&mut entries, entry, value);
    }
    if blocks != mark.blocks || entries.len() as u64 != mark.entries {
        return Err(Damage::new("blocks of the current entries are missing").at(base).into());
    }
    let requests = read_record(disk, &layout::requests(base), "the request ids")?
        .ok_or_else(|| Damage::new("the request ids are missing").at(base))?;
    let requests = decode_requests(&requests).map_err(|error| damage("the request ids", &error))?;
    Ok((entries, requests))
}

/// The entry of `key` in a base: one seek.
pub(crate) fn find(disk: &mut Disk, base: Revision, key: &Key) -> Result<Option<Entry>, StoreError> {
    let from = layout::block(base, "");
    let mut to = layout::block(base, key.as_str());
    to.push(0);
    let Some((at, piece)) = disk.last(&from, &to)? else { return Ok(None) };
    let block = open_piece(&at, &piece)
        .and_then(decode_block)
        .map_err(|error| damage("a block of the current entries", &error).at(base).of(key))?;
    let Some(found) = block.into_iter().find(|entry| entry.key == *key) else { return Ok(None) };
    let value = large_value(disk, base, &found)?;
    Ok(Some(entry(&found, value)))
}

/// Adds the removal of some of what belongs to `base` to `changes`; says whether nothing is left.
pub(crate) fn delete(disk: &mut Disk, base: Revision, changes: &mut Changes) -> Result<bool, StoreError> {
    for tag in layout::BASE_TAGS {
        let (from, to) = layout::of_base(tag, base);
        if !delete_range(disk, &from, &to, changes)? {
            return Ok(false);
        }
    }
    Ok(true)
}

/// Adds the removal of some pieces of a range to `changes`; says whether nothing is left.
pub(crate) fn delete_range(disk: &mut Disk, from: &[u8], to: &[u8], changes: &mut Changes) -> Result<bool, StoreError> {
    let mut removed = 0;
    disk.scan(from, to, &mut |key, _| {
        if removed == DELETE_PIECES {
            return ControlFlow::Break(());
        }
        changes.remove(key);
        removed += 1;
        ControlFlow::Continue(())
    })?;
    Ok(removed < DELETE_PIECES)
}

/// The bases of which anything is stored.
pub(crate) fn stored(disk: &mut Disk) -> Result<Vec<Revision>, StoreError> {
    let mut found = std::collections::BTreeSet::new();
    for tag in layout::BASE_TAGS {
        let (mut from, to) = (vec![tag], vec![tag + 1]);
        loop {
            let mut next = None;
            disk.scan(&from, &to, &mut |key, _| {
                next = layout::base_of(tag, key);
                ControlFlow::Break(())
            })?;
            let Some(base) = next else { break };
            found.insert(base);
            from = layout::of_base(tag, base).1;
        }
    }
    Ok(found.into_iter().collect())
}

fn large_value(
    disk: &mut Disk,
    base: Revision,
    entry: &BlockEntry,
) -> Result<Option<std::sync::Arc<[u8]>>, StoreError> {
    let BlockContent::Large { number, length } = entry.content else { return Ok(None) };
    let place = |damage: Damage| damage.at(entry.modified).of(&entry.key);
    let missing = || place(Damage::new("a large value is missing"));
    let value = read_record(disk, &layout::large(base, number), "a large value")
        .map_err(|error| match error {
            StoreError::Damaged(damage) => place(damage).into(),
            error => error,
        })?
        .ok_or_else(missing)?;
    if value.len() as u64 == length { Ok(Some(value.into())) } else { Err(missing().into()) }
}

fn entry(record: &BlockEntry, large: Option<std::sync::Arc<[u8]>>) -> Entry {
    let value = match (&record.content, large) {
        (BlockContent::Inline(bytes), _) => std::sync::Arc::clone(bytes),
        (BlockContent::Large { .. }, value) => value.unwrap_or_default(),
    };
    Entry::new(value, record.sealed, record.created, record.modified, record.version)
}

fn insert(entries: &mut OrdMap<Key, Entry>, record: BlockEntry, large: Option<std::sync::Arc<[u8]>>) -> Option<Entry> {
    let entry = entry(&record, large);
    entries.insert(record.key, entry)
}

/// Names the first key of a block, which is in the block's own key.
pub(crate) fn block_damage(base: Revision, key: &[u8], damage: Damage) -> Damage {
    let first = key.get(9..).and_then(|text| std::str::from_utf8(text).ok()).and_then(|text| Key::new(text).ok());
    match first {
        Some(first) => damage.at(base).of(&first),
        None => damage.at(base),
    }
}
