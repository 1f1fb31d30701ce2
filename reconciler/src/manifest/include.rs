//! Further manifests of a project: the patterns of `[project] include`.
//!
//! `*` and `?` match inside one name, `**` matches any number of folders; hidden names are matched only by a pattern that
//! starts with a dot itself. Never here: what the files say.

use std::collections::{BTreeSet, HashSet};

use super::context::Context;
use super::findings::{E_OUTSIDE_PROJECT, Finding, W_INCLUDE_NOTHING};
use super::limits::FOLDER_DEPTH_MAX;
use super::node::Node;
use super::source::shown;
use super::tree::{ItemKind, ReadError, join};

/// The files that the patterns name, in order, without the main manifest.
pub(crate) fn files(context: &mut Context<'_>, patterns: &Node<'_>, main: &str) -> Vec<String> {
    let mut all = BTreeSet::new();
    for pattern in patterns.items() {
        let Some(text) = pattern.text() else { continue };
        if text.starts_with('/') || text.contains('\\') || text.split('/').any(|part| part == "..") {
            let message = format!("the pattern `{}` leads out of the project", shown(text));
            context.findings.report(Finding::error(E_OUTSIDE_PROJECT, message).at(pattern.spot, ""));
            continue;
        }
        let mut parts: Vec<&str> = text.split('/').filter(|part| !part.is_empty() && *part != ".").collect();
        parts.dedup_by(|one, other| *one == "**" && *other == "**");
        let mut walk = Walk { seen: HashSet::new(), found: BTreeSet::new() };
        if let Err((folder, error)) = walk.folder(context, "", &parts, 0) {
            context.unreadable(&folder, &error, Some(pattern.spot));
        }
        if walk.found.is_empty() {
            let message = format!("the pattern `{}` names no file", shown(text));
            context.findings.report(Finding::warning(W_INCLUDE_NOTHING, message).at(pattern.spot, ""));
        }
        all.append(&mut walk.found);
    }
    all.remove(main);
    all.into_iter().collect()
}

struct Walk<'p> {
    /// Folders with the part of the pattern that is left: each is walked once, whatever the pattern.
    seen: HashSet<(String, &'p [&'p str])>,
    found: BTreeSet<String>,
}

impl<'p> Walk<'p> {
    fn folder(
        &mut self,
        context: &Context<'_>,
        folder: &str,
        parts: &'p [&'p str],
        depth: usize,
    ) -> Result<(), (String, ReadError)> {
        let Some((first, rest)) = parts.split_first() else { return Ok(()) };
        if depth > FOLDER_DEPTH_MAX || !self.seen.insert((folder.to_owned(), parts)) {
            return Ok(());
        }
        if *first == "**" {
            self.folder(context, folder, rest, depth)?;
        }
        let items = match context.tree.list(folder) {
            Ok(items) => items,
            Err(ReadError::NotFound) => return Ok(()),
            Err(error) => return Err((folder.to_owned(), error)),
        };
        for item in items.iter().filter(|item| matches(first, &item.name)) {
            let path = join(folder, &item.name);
            match item.kind {
                ItemKind::Directory if *first == "**" => self.folder(context, &path, parts, depth + 1)?,
                ItemKind::Directory => self.folder(context, &path, rest, depth + 1)?,
                ItemKind::File if rest.is_empty() => {
                    self.found.insert(path);
                }
                // It is named like a manifest and cannot be one: the read of it says what it is.
                ItemKind::Other if rest.is_empty() && item.name.ends_with(".toml") => {
                    self.found.insert(path);
                }
                ItemKind::File | ItemKind::Other => {}
            }
        }
        Ok(())
    }
}

/// Says whether a name matches one part of a pattern.
fn matches(pattern: &str, name: &str) -> bool {
    if name.starts_with('.') && !pattern.starts_with('.') {
        return false;
    }
    if pattern == "**" {
        return true;
    }
    let (pattern, name): (Vec<char>, Vec<char>) = (pattern.chars().collect(), name.chars().collect());
    let (mut at, mut in_name) = (0, 0);
    let mut star = None;
    while in_name < name.len() {
        match pattern.get(at) {
            Some('*') => {
                star = Some((at, in_name));
                at += 1;
            }
            Some(char) if *char == '?' || *char == name[in_name] => {
                at += 1;
                in_name += 1;
            }
            // The last star takes one character more.
            _ => match star {
                Some((star_at, taken)) => {
                    star = Some((star_at, taken + 1));
                    at = star_at + 1;
                    in_name = taken + 1;
                }
                None => return false,
            },
        }
    }
    pattern[at..].iter().all(|char| *char == '*')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_part_of_a_pattern_matches_names() {
        for (pattern, name) in
            [("*", "a"), ("*.toml", "a.toml"), ("a?c", "abc"), ("a*b*c", "aXbYbc"), (".*", ".a"), ("ä*", "äö")]
        {
            assert!(matches(pattern, name), "{pattern} {name}");
        }
        for (pattern, name) in [("*", ".a"), ("*.toml", "a.tom"), ("a?c", "ac"), ("a*b", "abc"), ("", "a")] {
            assert!(!matches(pattern, name), "{pattern} {name}");
        }
        let (stars, long) = ("*a".repeat(30), "a".repeat(200) + "b");
        assert!(!matches(&stars, &long));
    }
}
