//! What a project's files look like to the loader: a read-only tree, and the tree in memory that tests use.
//!
//! Paths are relative to the project, with `/` between their parts, without `.` and `..`; the root is the empty path. Never
//! here: a disk (`folder.rs` is the only file that reads one), and what the files mean.

use std::collections::BTreeMap;

/// A read-only view of a project's files.
pub trait FileTree: Sync {
    /// Reads a whole file of at most `limit` bytes.
    ///
    /// # Errors
    /// Says why the file cannot be had; a file over the limit is refused before it is read.
    fn read(&self, path: &str, limit: u64) -> Result<Vec<u8>, ReadError>;

    /// Lists a directory in byte order of the names.
    ///
    /// # Errors
    /// Says why the directory cannot be had.
    fn list(&self, path: &str) -> Result<Vec<Item>, ReadError>;

    /// Reads a file that holds one secret value; unlike manifests it may lie anywhere, so the path may be absolute.
    ///
    /// # Errors
    /// Says why the file cannot be had.
    fn read_secret(&self, path: &str, limit: u64) -> Result<Vec<u8>, ReadError>;
}

/// One name in a directory.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Item {
    /// The name, without the directory's path.
    pub name: String,
    /// What it names; a symbolic link to a file counts as a file, one to a directory as neither.
    pub kind: ItemKind,
}

/// What a name in a directory stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum ItemKind {
    /// A regular file, or a symbolic link that may lead to one.
    File,
    /// A directory.
    Directory,
    /// Anything else: a pipe, a socket, a device.
    Other,
}

/// Why a file or directory cannot be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ReadError {
    /// Nothing has that name.
    #[error("there is no such file")]
    NotFound,
    /// It is a link, and what it leads to does not exist.
    #[error("it is a symbolic link to something that is not there")]
    Dangling,
    /// It is a directory, a pipe, a device or a socket.
    #[error("it is {0}, not a regular file")]
    NotAFile(&'static str),
    /// A file stands where a directory is needed.
    #[error("it is not a directory")]
    NotADirectory,
    /// It is larger than it may be.
    #[error("it has {size} bytes; at most {limit} are read")]
    TooLarge {
        /// Its size as far as it is known.
        size: u64,
        /// The largest size that is read.
        limit: u64,
    },
    /// It is a folder with too many names.
    #[error("it has more than {limit} names")]
    TooManyNames {
        /// The most names that are looked at.
        limit: usize,
    },
    /// So many files were read before that this one is not.
    #[error("the project has more than {limit} files")]
    TooManyFiles {
        /// The most files that are read.
        limit: usize,
    },
    /// A link or `..` leads out of the project.
    #[error("it lies outside of the project")]
    Outside,
    /// The operating system refuses.
    #[error("{0}")]
    Refused(String),
}

/// A tree in memory.
#[derive(Clone, Debug, Default)]
pub struct MemoryTree(BTreeMap<String, Vec<u8>>);

impl MemoryTree {
    /// Collects files by path.
    pub fn new<P: Into<String>, B: Into<Vec<u8>>>(files: impl IntoIterator<Item = (P, B)>) -> Self {
        Self(files.into_iter().map(|(path, bytes)| (path.into(), bytes.into())).collect())
    }

    fn is_directory(&self, path: &str) -> bool {
        let prefix = format!("{path}/");
        self.0.range(prefix.clone()..).next().is_some_and(|(name, _)| name.starts_with(&prefix))
    }
}

impl FileTree for MemoryTree {
    fn read(&self, path: &str, limit: u64) -> Result<Vec<u8>, ReadError> {
        match self.0.get(path) {
            Some(bytes) if bytes.len() as u64 > limit => Err(ReadError::TooLarge { size: bytes.len() as u64, limit }),
            Some(bytes) => Ok(bytes.clone()),
            None if path.is_empty() || self.is_directory(path) => Err(ReadError::NotAFile("a directory")),
            None => Err(ReadError::NotFound),
        }
    }

    fn list(&self, path: &str) -> Result<Vec<Item>, ReadError> {
        if self.0.contains_key(path) {
            return Err(ReadError::NotADirectory);
        }
        let prefix = if path.is_empty() { String::new() } else { format!("{path}/") };
        let mut items = Vec::new();
        for (name, _) in self.0.range(prefix.clone()..).take_while(|(name, _)| name.starts_with(&prefix)) {
            let (name, kind) = match name[prefix.len()..].split_once('/') {
                Some((directory, _)) => (directory, ItemKind::Directory),
                None => (&name[prefix.len()..], ItemKind::File),
            };
            if items.last().is_none_or(|last: &Item| last.name != name) {
                items.push(Item { name: name.to_owned(), kind });
            }
        }
        if items.is_empty() && !path.is_empty() {
            return Err(ReadError::NotFound);
        }
        items.sort();
        items.dedup();
        Ok(items)
    }

    fn read_secret(&self, path: &str, limit: u64) -> Result<Vec<u8>, ReadError> {
        self.read(path, limit)
    }
}

/// Resolves a path that a file in `directory` writes; `None` when it leaves the project or is absolute.
pub(crate) fn resolve(directory: &str, path: &str) -> Option<String> {
    if path.starts_with('/') || path.contains('\\') || path.contains('\0') {
        return None;
    }
    let mut parts: Vec<&str> = directory.split('/').filter(|part| !part.is_empty()).collect();
    for part in path.split('/') {
        match part {
            "" | "." => {}
            ".." => {
                parts.pop()?;
            }
            part => parts.push(part),
        }
    }
    Some(parts.join("/"))
}

/// Puts a name under a directory.
pub(crate) fn join(directory: &str, name: &str) -> String {
    if directory.is_empty() { name.to_owned() } else { format!("{directory}/{name}") }
}

/// The directory that a file lies in.
pub(crate) fn parent(path: &str) -> &str {
    path.rsplit_once('/').map_or("", |(directory, _)| directory)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_cannot_leave_the_project() {
        for (directory, path, expected) in [
            ("", "./agents/a", Some("agents/a")),
            ("", "./", Some("")),
            ("teams/x", "../y/z.toml", Some("teams/y/z.toml")),
            ("teams", "../../etc", None),
            ("", "/etc/passwd", None),
            ("", "a\\b", None),
        ] {
            assert_eq!(resolve(directory, path).as_deref(), expected, "{directory} + {path}");
        }
    }

    #[test]
    fn a_tree_in_memory_lists_and_reads_like_a_folder() {
        let tree = MemoryTree::new([("a/b.md", "1"), ("a/c/d.md", "2"), ("e", "3")]);
        let names = |path| tree.list(path).map(|items| items.into_iter().map(|item| item.name).collect::<Vec<_>>());
        assert_eq!(names("").unwrap(), ["a", "e"]);
        assert_eq!(names("a").unwrap(), ["b.md", "c"]);
        assert_eq!(names("e"), Err(ReadError::NotADirectory));
        assert_eq!(names("x"), Err(ReadError::NotFound));
        assert_eq!(tree.read("a", 9), Err(ReadError::NotAFile("a directory")));
        assert_eq!(tree.read("e", 0), Err(ReadError::TooLarge { size: 1, limit: 0 }));
    }
}
