//! What processes wrote, synced and renamed in a folder, read from their strace, in the order in which it began.
//!
//! Never here: what a power cut leaves of it (`cut.rs`).

use std::collections::BTreeMap;
use std::path::Path;

use crate::child::acknowledged;

/// The system calls that are traced.
pub(crate) const CALLS: &str =
    "trace=pwrite64,write,fdatasync,fsync,ftruncate,openat,rename,unlink,unlinkat,link,linkat";

/// A file, under whatever name it has.
pub(crate) type Inode = usize;

/// What happened.
#[derive(Debug)]
pub(crate) enum Event {
    /// Bytes were written.
    Write { file: Inode, at: u64, bytes: Vec<u8> },
    /// The file got this length.
    SetLen { file: Inode, length: u64 },
    /// What was written to the file before the event `began` is on the disk.
    Synced { file: Inode, began: usize },
    /// What was named in any folder before the event `began` is on the disk: file systems with a journal keep names in order.
    NamesSynced { began: usize },
    /// A name was given to a file, in the place of the one that had it.
    Named { name: String, file: Inode },
    /// A name was taken away.
    Unnamed { name: String },
    /// A revision was acknowledged.
    Acknowledged(u64),
}

/// Reads traces as they come, one process after the other.
#[derive(Default)]
pub(crate) struct Reader {
    pub(crate) events: Vec<Event>,
    names: BTreeMap<String, Inode>,
    files: Inode,
    /// How far a file that is written from its beginning has come.
    positions: BTreeMap<Inode, u64>,
    /// What a thread waits for.
    syncing: BTreeMap<String, (Option<Inode>, usize)>,
}

impl Reader {
    /// Adds the trace of one process; paths are relative to `folder`.
    pub(crate) fn add(&mut self, trace: &str, folder: &Path) {
        self.syncing.clear();
        for line in trace.lines() {
            let Some((pid, call)) = line.split_once(' ') else { continue };
            let call = call.trim_start();
            if call.starts_with("<... f") && call.contains("sync resumed>") {
                if let Some((file, began)) = self.syncing.remove(pid) {
                    self.synced(file, began);
                }
                continue;
            }
            // What failed did nothing; what is not finished is taken for done.
            if !call.contains(") = -1 ")
                && let Some((name, rest)) = call.split_once('(')
            {
                self.call(pid, name, rest, folder);
            }
        }
    }

    fn call(&mut self, pid: &str, name: &str, rest: &str, folder: &Path) {
        let open = rest.split_once('<').and_then(|(_, rest)| rest.split_once('>'));
        // What has no name any more is not there after a power cut.
        let open = open.filter(|(_, rest)| !rest.starts_with("(deleted)")).map(|(path, _)| unescape(path));
        let open_name = open.as_deref().and_then(|path| relative(path, folder));
        let file = open_name.as_ref().and_then(|name| self.names.get(name).copied());
        let strings: Vec<Vec<u8>> = rest.split('"').skip(1).step_by(2).map(unescape).collect();
        let paths: Vec<_> = strings.iter().filter_map(|path| relative(path, folder)).collect();
        match (name, file) {
            ("pwrite64", Some(file)) => {
                let numbers = rest.rsplit_once('"').map_or("", |(_, numbers)| numbers);
                let at = numbers.split([',', ')', '<']).nth(2).and_then(|at| at.trim().parse().ok());
                let at = at.unwrap_or_else(|| panic!("no offset in {numbers}"));
                let [bytes] = <[Vec<u8>; 1]>::try_from(strings).expect("one string");
                self.events.push(Event::Write { file, at, bytes });
            }
            ("write", Some(file)) => {
                let bytes = strings.concat();
                let at = self.positions.entry(file).or_default();
                self.events.push(Event::Write { file, at: *at, bytes: bytes.clone() });
                *at += bytes.len() as u64;
            }
            ("write", None) if rest.starts_with("1<") => {
                let line = String::from_utf8_lossy(&strings.concat()).into_owned();
                self.events.extend(acknowledged(&line).map(Event::Acknowledged));
            }
            ("ftruncate", Some(file)) => {
                let length = rest.rsplit(", ").next().and_then(|rest| rest.split([')', ' ']).next());
                let length = length.and_then(|length| length.parse().ok()).expect("a length");
                self.events.push(Event::SetLen { file, length });
            }
            ("fdatasync" | "fsync", file) => {
                let in_folder = open.as_deref().and_then(|path| std::str::from_utf8(path).ok());
                let is_folder = in_folder.is_some_and(|path| folder.starts_with(path)) || open_name.is_some();
                if file.is_none() && !is_folder {
                    return;
                }
                let began = self.events.len();
                if rest.contains("<unfinished") {
                    self.syncing.insert(pid.to_owned(), (file, began));
                } else {
                    self.synced(file, began);
                }
            }
            ("openat", _) if rest.contains("O_CREAT") => {
                let Some(path) = paths.first() else { return };
                let file = match self.names.get(path) {
                    Some(file) => *file,
                    None => self.make(path),
                };
                self.positions.insert(file, 0);
                if rest.contains("O_TRUNC") {
                    self.events.push(Event::SetLen { file, length: 0 });
                }
            }
            ("rename", _) => {
                if let [from, to] = &paths[..]
                    && let Some(file) = self.names.remove(from)
                {
                    self.names.insert(to.clone(), file);
                    self.events.push(Event::Named { name: to.clone(), file });
                    self.events.push(Event::Unnamed { name: from.clone() });
                }
            }
            ("unlink", _) => {
                if let [path] = &paths[..] {
                    self.unname(path.clone());
                }
            }
            ("unlinkat", _) => {
                let name = strings.first().map(|name| String::from_utf8_lossy(name).into_owned()).unwrap_or_default();
                if let Some(parent) = open_name {
                    self.unname(format!("{parent}/{name}"));
                }
            }
            _ => {}
        }
    }

    fn make(&mut self, path: &str) -> Inode {
        self.files += 1;
        self.names.insert(path.to_owned(), self.files);
        self.events.push(Event::Named { name: path.to_owned(), file: self.files });
        self.files
    }

    fn unname(&mut self, name: String) {
        if self.names.remove(&name).is_some() {
            self.events.push(Event::Unnamed { name });
        }
    }

    fn synced(&mut self, file: Option<Inode>, began: usize) {
        match file {
            Some(file) => self.events.push(Event::Synced { file, began }),
            None => self.events.push(Event::NamesSynced { began }),
        }
    }
}

fn unescape(text: impl AsRef<str>) -> Vec<u8> {
    let hex = |pair: &str| u8::from_str_radix(pair, 16).expect("strace was asked for hexadecimal");
    text.as_ref().split("\\x").skip(1).map(|pair| hex(&pair[..2])).collect()
}

fn relative(path: &[u8], folder: &Path) -> Option<String> {
    let path = Path::new(std::str::from_utf8(path).ok()?).strip_prefix(folder).ok()?;
    path.to_str().filter(|path| !path.is_empty()).map(str::to_owned)
}
