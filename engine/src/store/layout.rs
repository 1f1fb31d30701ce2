//! The keys of the embedded store: tag byte first, numbers big-endian. Drawn in `docs/format.md`.
//!
//! Never here: what lies under a key (`codec.rs`).

use crate::digest::Digest;
use crate::key::Key;
use crate::revision::Revision;

/// The one meta record.
pub(crate) const META: &[u8] = &[0x00];
const GROUP: u8 = 0x01;
const BLOCK: u8 = 0x02;
const LARGE: u8 = 0x03;
const REQUESTS: u8 = 0x04;
const SEALED: u8 = 0x05;
const NOTE: u8 = 0x06;
const REMINDER: u8 = 0x07;

/// Everything that belongs to one base lies under one of these tags.
pub(crate) const BASE_TAGS: [u8; 3] = [BLOCK, LARGE, REQUESTS];

fn join(tag: u8, parts: &[&[u8]]) -> Vec<u8> {
    let mut key = Vec::with_capacity(1 + parts.iter().map(|part| part.len()).sum::<usize>());
    key.push(tag);
    parts.iter().for_each(|part| key.extend_from_slice(part));
    key
}

pub(crate) fn group(first: Revision) -> Vec<u8> {
    join(GROUP, &[&first.get().to_be_bytes()])
}

/// The bounds between which all groups lie.
pub(crate) fn groups() -> (Vec<u8>, Vec<u8>) {
    (vec![GROUP], vec![GROUP + 1])
}

/// The first revision of the group that a piece belongs to.
pub(crate) fn group_of(key: &[u8]) -> Option<Revision> {
    number_at(key, GROUP).map(Revision::new)
}

pub(crate) fn block(base: Revision, first_key: &str) -> Vec<u8> {
    join(BLOCK, &[&base.get().to_be_bytes(), first_key.as_bytes()])
}

pub(crate) fn blocks(base: Revision) -> (Vec<u8>, Vec<u8>) {
    of_base(BLOCK, base)
}

pub(crate) fn large(base: Revision, entry: u64) -> Vec<u8> {
    join(LARGE, &[&base.get().to_be_bytes(), &entry.to_be_bytes()])
}

pub(crate) fn requests(base: Revision) -> Vec<u8> {
    join(REQUESTS, &[&base.get().to_be_bytes()])
}

/// The bounds of everything under `tag` that belongs to `base`.
pub(crate) fn of_base(tag: u8, base: Revision) -> (Vec<u8>, Vec<u8>) {
    (join(tag, &[&base.get().to_be_bytes()]), join(tag, &[&base.next().get().to_be_bytes()]))
}

/// The base that a piece under `tag` belongs to.
pub(crate) fn base_of(tag: u8, key: &[u8]) -> Option<Revision> {
    number_at(key, tag).map(Revision::new)
}

pub(crate) fn sealed(digest: &Digest) -> Vec<u8> {
    join(SEALED, &[digest.as_bytes()])
}

pub(crate) fn all_sealed() -> (Vec<u8>, Vec<u8>) {
    (vec![SEALED], vec![SEALED + 1])
}

pub(crate) fn note(slot: u64) -> Vec<u8> {
    join(NOTE, &[&slot.to_be_bytes()])
}

/// The bounds between which all notes lie.
pub(crate) fn notes() -> (Vec<u8>, Vec<u8>) {
    (vec![NOTE], vec![NOTE + 1])
}

/// Whether a note lies under a key.
pub(crate) fn is_note(key: &[u8]) -> bool {
    key.starts_with(&[NOTE])
}

/// The key of a reminder.
pub(crate) fn reminder(key: &Key) -> Vec<u8> {
    join(REMINDER, &[key.as_str().as_bytes()])
}

/// The bounds between which all reminders lie.
pub(crate) fn reminders() -> (Vec<u8>, Vec<u8>) {
    (vec![REMINDER], vec![REMINDER + 1])
}

/// Whether a reminder lies under a key.
pub(crate) fn is_reminder(key: &[u8]) -> bool {
    key.starts_with(&[REMINDER])
}

/// What the reminder under a key is about.
pub(crate) fn reminder_of(key: &[u8]) -> Option<Key> {
    let text = std::str::from_utf8(key.strip_prefix(&[REMINDER])?).ok()?;
    Key::new(text).ok()
}

/// The digest that a piece in the side area belongs to.
pub(crate) fn digest_of(key: &[u8]) -> Option<Digest> {
    let bytes = key.strip_prefix(&[SEALED])?.get(..32)?;
    bytes.try_into().ok().map(Digest::from_bytes)
}

/// The key of one part of a record.
pub(crate) fn part(record: &[u8], number: u32) -> Vec<u8> {
    [record, &number.to_be_bytes()].concat()
}

/// The bounds of all parts of a record.
pub(crate) fn parts(record: &[u8]) -> (Vec<u8>, Vec<u8>) {
    // Part numbers stay far below their maximum, so an exclusive bound there loses nothing.
    (part(record, 0), part(record, u32::MAX))
}

fn number_at(key: &[u8], tag: u8) -> Option<u64> {
    let bytes = key.strip_prefix(&[tag])?.get(..8)?;
    bytes.try_into().ok().map(u64::from_be_bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_sort_as_what_they_name() {
        let r = Revision::new;
        let keys = [
            META.to_vec(),
            part(&group(r(1)), 0),
            part(&group(r(1)), 1),
            part(&group(r(1)), 256),
            part(&group(r(2)), 0),
            part(&group(r(256)), 0),
            block(r(1), "a"),
            block(r(1), "b"),
            block(r(2), "a"),
            part(&large(r(1), 1), 0),
            part(&requests(r(1)), 0),
            part(&sealed(&Digest::ZERO), 0),
            note(1),
            reminder(&Key::new("a").expect("a key")),
            reminder(&Key::new("b").expect("a key")),
        ];
        assert!(keys.is_sorted_by(|a, b| a < b));
        assert_eq!(group_of(&keys[5]), Some(r(256)));
        assert_eq!(base_of(BLOCK, &keys[8]), Some(r(2)));
        assert_eq!(base_of(BLOCK, &keys[9]), None);
        assert_eq!(digest_of(&keys[11]), Some(Digest::ZERO));
        assert_eq!(reminder_of(&keys[13]).map(|key| key.to_string()), Some("a".to_owned()));
        assert_eq!(reminder_of(&keys[12]), None);
        let (from, to) = parts(&group(r(1)));
        assert_eq!(keys.iter().filter(|key| **key >= from && **key < to).count(), 3);
    }
}
