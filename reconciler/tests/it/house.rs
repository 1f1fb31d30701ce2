//! The rules of the house, read off the source text: which crate may use which, and which file is the only door to a
//! third-party crate that touches bytes, disk, network or the terminal.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

/// Each crate with its doors: files (or folders, ending in `/`) that may name it.
const DOORS: &[(&str, &[&str])] = &[
    ("bincode", &["engine/src/codec.rs", "engine/src/codec/"]),
    ("sled", &["engine/src/store/sled.rs", "engine/src/store/sled/"]),
    ("sha2", &["engine/src/digest.rs"]),
    ("crc32fast", &["engine/src/codec.rs", "engine/src/codec/"]),
    ("chacha20poly1305", &["reconciler/src/secret.rs"]),
    ("toml", &["reconciler/src/manifest/"]),
    (
        "toml_edit",
        &[
            "reconciler/src/manifest/adopt.rs",
            "reconciler/src/manifest/array_edit.rs",
            "reconciler/src/manifest/value_edit.rs",
        ],
    ),
    ("similar", &["reconciler/src/manifest/line_ends.rs", "cli/src/render/value.rs"]),
    ("saphyr_parser", &["reconciler/src/manifest/yaml.rs"]),
    ("croner", &["reconciler/src/manifest/schedule.rs"]),
    ("rustix", &["reconciler/src/manifest/folder.rs", "reconciler/src/source/program.rs", "cli/src/descriptors.rs"]),
    ("strsim", &["reconciler/src/suggest.rs"]),
    ("notify", &["reconciler/src/source/wake.rs"]),
    ("axum", &["server/src/", "server/examples/gateway.rs"]),
    ("hyper", &["server/src/"]),
    ("hyper_util", &["server/src/"]),
    ("tokio_rustls", &["server/src/tls.rs"]),
    (
        "clap",
        &[
            "cli/src/args.rs",
            "cli/src/args/",
            "cli/src/usage.rs",
            "cli/src/commands/completions.rs",
            "cli/src/commands/man.rs",
        ],
    ),
    ("annotate_snippets", &["cli/src/render/diagnostic.rs"]),
    ("anstyle", &["cli/src/render/ink.rs", "cli/src/output.rs"]),
];

/// What a crate may use of the other three.
const LAYERS: &[(&str, &[&str])] =
    &[("engine", &["holdfast_reconciler", "holdfast_server"]), ("reconciler", &["holdfast_server"])];

/// What only one file, or no file of a library, may do.
const DEEDS: &[(&str, &[&str], &[&str])] = &[
    ("println!", &["engine/src/", "reconciler/src/", "server/src/", "cli/src/"], &["cli/src/output.rs"]),
    ("eprintln!", &["engine/src/", "reconciler/src/", "server/src/", "cli/src/"], &["cli/src/output.rs"]),
    ("std::env::var", &["engine/src/", "reconciler/src/", "server/src/"], &[]),
    ("SystemTime::now", &["engine/src/", "reconciler/src/", "server/src/"], &[]),
    ("unsafe ", &["engine/src/", "reconciler/src/", "server/src/", "cli/src/"], &[]),
];

/// What looks at credentials, and the files that may: deciding is the resolver's alone, the others seal, rotate, or fetch a value
/// where the resolver said that it is, or hand an actuator the values of the resource that it makes real.
const CREDENTIALS: &[(&str, &[&str])] = &[
    ("kinds::provider_secret(", &["reconciler/src/agents/credential.rs", "reconciler/src/manifest/context.rs"]),
    (".check(world.org", &["reconciler/src/agents/credential.rs"]),
    (
        "ProfileSet::of(",
        &[
            "reconciler/src/agents/credential.rs",
            "reconciler/src/control/profiles.rs",
            "reconciler/src/control/rotating.rs",
        ],
    ),
    ("plane.value(", &["reconciler/src/agents/session.rs"]),
    (
        "vault.open(",
        &["reconciler/src/actuation/work.rs", "reconciler/src/apply.rs", "reconciler/src/control/rotating.rs"],
    ),
    ("vault()?.open(", &["reconciler/src/control/profiles.rs", "reconciler/src/control/rotating.rs"]),
    ("resolver::place(", &["reconciler/src/agents/session.rs"]),
];

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_owned()
}

/// Every source file below the four crates, by its path from the root.
fn sources() -> BTreeMap<String, String> {
    let mut found = BTreeMap::new();
    let mut folders: Vec<PathBuf> =
        ["engine", "reconciler", "server", "cli"].iter().map(|name| root().join(name)).collect();
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() && !path.ends_with("target") {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                let name = path.strip_prefix(root()).unwrap().to_str().unwrap().replace('\\', "/");
                found.insert(name, fs::read_to_string(&path).unwrap());
            }
        }
    }
    assert!(found.len() > 50, "only {} source files were found", found.len());
    found
}

/// The part of a file before its unit tests, without comments.
fn code(text: &str) -> impl Iterator<Item = &str> {
    let text = text.split("#[cfg(test)]\nmod tests").next().unwrap_or_default();
    text.lines().filter(|line| !line.trim_start().starts_with("//"))
}

fn under(file: &str, doors: &[&str]) -> bool {
    doors.iter().any(|door| file == *door || (door.ends_with('/') && file.starts_with(door)))
}

fn names(line: &str, word: &str) -> bool {
    line.match_indices(word).any(|(at, _)| {
        let part = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
        let before = line[..at].bytes().next_back().is_none_or(|byte| !part(byte) && byte != b':' && byte != b'.');
        before && line[at + word.len()..].starts_with("::")
    })
}

#[test]
fn each_third_party_crate_has_one_door() {
    let mut broken = Vec::new();
    for (file, text) in sources().iter().filter(|(file, _)| file.contains("/src/") || file.contains("/examples/")) {
        for (name, doors) in DOORS.iter().filter(|(_, doors)| !under(file, doors)) {
            if code(text).any(|line| names(line, name)) {
                broken.push(format!("{file} uses {name}; its door is {doors:?}"));
            }
        }
    }
    assert!(broken.is_empty(), "{broken:#?}");
}

#[test]
fn dependencies_point_one_way() {
    for (file, text) in sources() {
        for (layer, above) in LAYERS.iter().filter(|(layer, _)| file.starts_with(&format!("{layer}/src/"))) {
            let used = above.iter().find(|name| text.contains(*name));
            assert!(used.is_none(), "{file} of {layer} uses {used:?}");
        }
    }
}

#[test]
fn libraries_do_not_print_nor_read_environment_or_clock() {
    let mut broken = Vec::new();
    for (file, text) in sources() {
        for (deed, where_not, except) in DEEDS {
            let watched = under(&file, where_not) && !under(&file, except);
            if watched && code(&text).any(|line| line.contains(deed)) {
                broken.push(format!("{file}: {deed}"));
            }
        }
    }
    assert!(broken.is_empty(), "{broken:#?}");
}

#[test]
fn p4_nothing_but_the_resolver_decides_about_credentials() {
    let (mut broken, mut seen) = (Vec::new(), std::collections::BTreeSet::new());
    for (file, text) in sources().iter().filter(|(file, _)| file.contains("/src/")) {
        for (deed, allowed) in CREDENTIALS {
            if code(text).any(|line| line.contains(deed)) {
                seen.insert(*deed);
                if !allowed.contains(&file.as_str()) {
                    broken.push(format!("{file}: {deed}"));
                }
            }
        }
    }
    assert!(broken.is_empty(), "{broken:#?}");
    assert_eq!(seen.len(), CREDENTIALS.len(), "a rule that nothing can break any more: {seen:?}");
}

/// Every page for people, by its path from the root.
fn pages() -> Vec<PathBuf> {
    let mut found = vec![root().join("README.md"), root().join("CHANGELOG.md")];
    let mut folders = vec![root().join("docs")];
    while let Some(folder) = folders.pop() {
        for path in fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()) {
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "md") {
                found.push(path);
            }
        }
    }
    found
}

/// The anchors of a page: its headings, in small letters, with `-` for spaces and nothing else that is no letter.
fn anchors(page: &str) -> Vec<String> {
    let headings = page.lines().filter(|line| line.starts_with('#')).map(|line| line.trim_start_matches('#').trim());
    let kept =
        |c: char| (c.is_alphanumeric() || c == '-' || c == '_' || c == ' ').then_some(if c == ' ' { '-' } else { c });
    headings.map(|heading| heading.to_lowercase().chars().filter_map(kept).collect()).collect()
}

/// The codes of errors that stand in a text between two marks.
fn error_codes(text: &str, mark: char) -> impl Iterator<Item = &str> {
    let is_code = |word: &&str| {
        word.strip_prefix("E_").is_some_and(|rest| {
            !rest.is_empty()
                && rest.bytes().all(|byte| byte.is_ascii_uppercase() || byte.is_ascii_digit() || byte == b'_')
        })
    };
    text.split(mark).filter(is_code)
}

#[test]
fn every_code_of_an_error_stands_in_the_documentation() {
    let pages = ["docs/guide/errors.md", "docs/diagnostics.md", "docs/http.md"];
    let pages: String = pages.iter().map(|page| fs::read_to_string(root().join(page)).unwrap()).collect();
    let told: std::collections::BTreeSet<&str> = error_codes(&pages, '`').collect();
    // What is only there to be shown in a test says no code of its own.
    let shown = ["cli/src/render/fixtures.rs"];
    let (mut seen, mut missing) = (std::collections::BTreeSet::new(), Vec::new());
    for (file, text) in sources().iter().filter(|(file, _)| file.contains("/src/") && !shown.contains(&file.as_str())) {
        for line in code(text) {
            for code in error_codes(line, '"') {
                seen.insert(code.to_owned());
                if !told.contains(code) {
                    missing.push(format!("{file}: {code}"));
                }
            }
        }
    }
    assert!(seen.len() > 100, "only {} codes were found", seen.len());
    assert!(missing.is_empty(), "say what these mean in docs/guide/errors.md: {missing:#?}");
}

#[test]
fn every_link_of_the_documentation_leads_somewhere() {
    let (mut links, mut broken) = (0, Vec::new());
    for page in pages() {
        let text = fs::read_to_string(&page).unwrap();
        let targets = text.split("](").skip(1).filter_map(|rest| rest.split([')', ' ']).next());
        for target in targets.filter(|target| !target.contains("://") && !target.starts_with("mailto:")) {
            links += 1;
            let (file, anchor) = target.split_once('#').map_or((target, None), |(file, anchor)| (file, Some(anchor)));
            let to = if file.is_empty() { page.clone() } else { page.parent().unwrap().join(file) };
            let there = match anchor {
                None => to.exists(),
                Some(anchor) => {
                    fs::read_to_string(&to).is_ok_and(|to| anchors(&to).iter().any(|found| found == anchor))
                }
            };
            if !there {
                broken.push(format!("{}: {target}", page.strip_prefix(root()).unwrap().display()));
            }
        }
    }
    assert!(links > 30, "only {links} links were found");
    assert!(broken.is_empty(), "{broken:#?}");
}

#[test]
fn every_file_says_what_it_holds() {
    for (file, text) in sources() {
        assert!(text.starts_with("//!"), "{file} does not begin with what it holds");
    }
}
