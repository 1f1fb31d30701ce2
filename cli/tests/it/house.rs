//! House rules of this crate that the compiler does not hold: each thing from outside has one door, files stay small, and
//! every file says first what it is.

use std::path::Path;

fn sources() -> Vec<(String, String)> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut folders = vec![root.clone()];
    let mut sources = Vec::new();
    while let Some(folder) = folders.pop() {
        for path in std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()) {
            if path.is_dir() {
                folders.push(path);
            } else {
                sources.push((name(&root, &path), std::fs::read_to_string(&path).unwrap()));
            }
        }
    }
    assert!(sources.len() > 30, "the sources were found");
    sources
}

fn name(root: &Path, path: &Path) -> String {
    path.strip_prefix(root).unwrap().to_str().unwrap().to_owned()
}

#[test]
fn each_thing_from_outside_has_its_doors() {
    let doors: [(&str, &[&str]); 12] = [
        ("stdout()", &["output.rs"]),
        ("stderr()", &["output.rs"]),
        ("io::stderr", &["output.rs"]),
        ("std::env::", &["setting.rs", "main.rs"]),
        ("annotate_snippets::", &["render/diagnostic.rs"]),
        ("similar::", &["render/value.rs"]),
        ("anstyle::", &["render/ink.rs"]),
        ("jiff::", &["clock.rs"]),
        ("Command::new", &["project.rs"]),
        ("rustix::", &["descriptors.rs"]),
        ("rustls_native_certs::", &["remote.rs"]),
        (
            "holdfast_server::",
            &[
                "commands/certificate.rs",
                "commands/follow.rs",
                "commands/serve.rs",
                "commands/watch.rs",
                "connect.rs",
                "remote.rs",
                "setting.rs",
            ],
        ),
    ];
    for (word, files) in doors {
        for (file, text) in sources() {
            let used = text.lines().any(|line| line.contains(word) && !line.trim_start().starts_with("//"));
            assert!(!used || files.contains(&file.as_str()), "`{word}` in {file}; its door is {files:?}");
        }
    }
}

#[test]
fn every_file_says_what_it_is_and_stays_small() {
    for (file, text) in sources() {
        assert!(text.starts_with("//! "), "{file} does not say what it holds");
        let code = text.split("#[cfg(test)]\nmod tests {").next().unwrap_or(&text).lines().count();
        assert!(code <= 400, "{file} has {code} lines: what second subject has moved in?");
    }
}

#[test]
fn every_code_of_the_command_line_is_documented() {
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/guide/errors.md");
    let page = std::fs::read_to_string(page).unwrap();
    for (file, text) in sources().into_iter().filter(|(file, _)| !file.starts_with("render/")) {
        for code in text.split("\"E_").skip(1).filter_map(|rest| rest.split('"').next()) {
            assert!(page.contains(&format!("`E_{code}`")), "E_{code} of {file} is not in docs/guide/errors.md");
        }
    }
}
