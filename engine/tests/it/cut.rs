//! A folder as a power cut could have left it: of what was not synced, each write is kept, dropped or torn at sectors,
//! independently; names, which a journal keeps in order, are kept up to some point.
//!
//! Never here: how it is known what was written (`trace.rs`), or what must hold afterwards (`power.rs`).

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::FileExt as _;
use std::path::Path;

use crate::trace::{Event, Inode};

/// A small generator with a fixed seed (splitmix64).
pub(crate) struct Random(pub(crate) u64);

impl Random {
    pub(crate) fn below(&mut self, limit: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        usize::try_from((z ^ (z >> 31)) % limit as u64).expect("below a usize")
    }
}

/// What is on the disk for certain after some events.
struct Durable {
    files: BTreeMap<Inode, usize>,
    names: usize,
    acknowledged: u64,
}

impl Durable {
    fn of(past: &[Event]) -> Self {
        let mut durable = Self { files: BTreeMap::new(), names: 0, acknowledged: 0 };
        for event in past {
            match event {
                Event::Synced { file, began } => _ = durable.files.insert(*file, *began),
                Event::NamesSynced { began } => durable.names = *began,
                Event::Acknowledged(revision) => durable.acknowledged = durable.acknowledged.max(*revision),
                Event::Write { .. } | Event::SetLen { .. } | Event::Named { .. } | Event::Unnamed { .. } => {}
            }
        }
        durable
    }
}

/// Builds the folder as a power cut after `cut` events could have left it; gives the newest revision acknowledged by then.
pub(crate) fn image(events: &[Event], cut: usize, random: &mut Random, folder: &Path) -> u64 {
    let past = &events[..cut];
    let durable = Durable::of(past);
    let names_kept = durable.names + random.below(cut - durable.names + 1);
    let mut names: BTreeMap<&str, Inode> = BTreeMap::new();
    let mut files: BTreeMap<Inode, Vec<u8>> = BTreeMap::new();
    for (place, event) in past.iter().enumerate() {
        let is_kept = |file: &Inode, random: &mut Random| {
            durable.files.get(file).is_some_and(|began| place < *began) || random.below(3) == 0
        };
        match event {
            Event::Write { file, at, bytes } => {
                let whole = is_kept(file, random);
                let torn = !whole && random.below(2) == 0;
                let content = files.entry(*file).or_default();
                write(content, usize::try_from(*at).expect("small"), bytes, || whole || torn && random.below(2) == 0);
            }
            Event::SetLen { file, length } => {
                if is_kept(file, random) {
                    files.entry(*file).or_default().resize(usize::try_from(*length).expect("small"), 0);
                }
            }
            Event::Named { name, file } if place < names_kept => _ = names.insert(name, *file),
            Event::Unnamed { name } if place < names_kept => _ = names.remove(name.as_str()),
            Event::Named { .. } | Event::Unnamed { .. } => {}
            Event::Synced { .. } | Event::NamesSynced { .. } | Event::Acknowledged(_) => {}
        }
    }
    fs::create_dir_all(folder).expect("made");
    for (name, file) in names {
        let path = folder.join(name);
        fs::create_dir_all(path.parent().expect("in the folder")).expect("made");
        let content = files.get(&file).map(Vec::as_slice).unwrap_or_default();
        fs::File::create(path).expect("made").write_all_at(content, 0).expect("written");
    }
    durable.acknowledged
}

/// Writes the sectors of `bytes` that are kept. Sectors of 512 bytes are whole; what is larger may be torn at each of them.
fn write(content: &mut Vec<u8>, from: usize, bytes: &[u8], mut keeps: impl FnMut() -> bool) {
    let mut start = 0;
    while start < bytes.len() {
        let end = (((from + start) / 512 + 1) * 512 - from).min(bytes.len());
        if keeps() {
            if content.len() < from + end {
                content.resize(from + end, 0);
            }
            content[from + start..from + end].copy_from_slice(&bytes[start..end]);
        }
        start = end;
    }
}
