//! Files that are not what they should be are refused at once, with a typed diagnostic, and never block (P6).

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;

use holdfast_reconciler::manifest::{
    Environment, FileTree, Folder, Item, ItemKind, Loaded, ReadError, environment, load,
};

use crate::support::manifest::{codes, load_files, text};

const AGENT: &str = "[agents.a]\nname = \"A\"\ndir = \"./a\"\n";

fn load_folder(path: &Path) -> Loaded {
    load(&Folder::open(path).unwrap(), "p", &Environment::default())
}

fn pipe(path: &Path) {
    let path = std::ffi::CString::new(path.to_str().unwrap()).unwrap();
    rustix::fs::mknodat(rustix::fs::CWD, &path, rustix::fs::FileType::Fifo, rustix::fs::Mode::RWXU, 0).unwrap();
}

#[test]
fn what_is_no_file_is_refused_without_waiting() {
    type Make = fn(&Path);
    let cases: [(&str, Make); 6] = [
        ("a directory", |manifest| fs::create_dir(manifest).unwrap()),
        ("a pipe", pipe),
        ("a device", |manifest| symlink("/dev/zero", manifest).unwrap()),
        ("circle", |manifest| symlink("lobu.toml", manifest).unwrap()),
        ("outside", |manifest| symlink("/etc/passwd", manifest).unwrap()),
        ("not there", |manifest| symlink("missing/../x", manifest).unwrap()),
    ];
    for (what, make) in cases {
        let project = tempfile::tempdir().unwrap();
        make(&project.path().join("lobu.toml"));
        let loaded = load_folder(project.path());
        assert!(loaded.desired.is_none(), "{what}");
        let code = match what {
            "a device" | "outside" => "E_OUTSIDE_PROJECT",
            _ => "E_FILE",
        };
        assert_eq!(codes(&loaded), [code], "{what}: {}", text(&loaded.diagnostics));
        if code == "E_FILE" {
            assert!(text(&loaded.diagnostics).contains(what), "{what}: {}", text(&loaded.diagnostics));
        }
    }
}

#[test]
fn a_text_of_an_agent_is_guarded_like_the_manifest() {
    let project = tempfile::tempdir().unwrap();
    fs::write(project.path().join("lobu.toml"), AGENT).unwrap();
    fs::create_dir(project.path().join("a")).unwrap();
    pipe(&project.path().join("a/SOUL.md"));
    fs::create_dir(project.path().join("a/USER.md")).unwrap();
    fs::write(project.path().join("a/IDENTITY.md"), vec![b'x'; 1024 * 1024 + 1]).unwrap();
    let loaded = load_folder(project.path());
    assert_eq!(codes(&loaded), ["E_FILE", "E_FILE", "E_TOO_LARGE"], "{}", text(&loaded.diagnostics));
}

#[test]
fn a_link_inside_the_project_is_followed() {
    let project = tempfile::tempdir().unwrap();
    fs::create_dir_all(project.path().join("..data/a")).unwrap();
    fs::write(project.path().join("..data/lobu.toml"), AGENT).unwrap();
    fs::write(project.path().join("..data/a/SOUL.md"), " soul \n").unwrap();
    symlink("..data/lobu.toml", project.path().join("lobu.toml")).unwrap();
    symlink("..data/a", project.path().join("a")).unwrap();
    let desired = load_folder(project.path()).desired.unwrap();
    let settings = desired.resources.iter().find(|one| one.address.to_string() == "settings/a").unwrap();
    assert_eq!(settings.fields["soulMd"], "soul");
}

#[test]
fn a_manifest_over_the_limit_is_refused_before_it_is_read() {
    let project = tempfile::tempdir().unwrap();
    let file = fs::File::create(project.path().join("lobu.toml")).unwrap();
    file.set_len(1 << 30).unwrap();
    let loaded = load_folder(project.path());
    assert_eq!(codes(&loaded), ["E_TOO_LARGE"]);
    assert!(loaded.diagnostics[0].message.contains("1073741824"), "{}", loaded.diagnostics[0].message);
}

#[test]
fn a_manifest_of_fifty_megabytes_of_nothing_is_read_and_one_of_mistakes_is_cut() {
    let comments = format!("{AGENT}{}", "# nothing\n".repeat(5_000_000));
    let loaded = load_files(&[("lobu.toml", &comments)]);
    assert!(loaded.desired.is_some(), "{}", text(&loaded.diagnostics));
    let mistakes: String = (0..20_000).map(|number| format!("x{number} = 1\n")).collect();
    let loaded = load_files(&[("lobu.toml", &mistakes)]);
    assert_eq!(loaded.diagnostics.len(), 1001);
    assert_eq!(loaded.diagnostics.last().unwrap().message, "19000 more findings are not shown");
    assert_eq!(loaded.diagnostics.last().unwrap().code, "E_TOO_MANY");
}

#[test]
fn nesting_without_end_is_refused() {
    let deep = |open: &str, close: &str| open.repeat(100_000) + close;
    for manifest in [
        deep("x.", "x = 1\n"),
        format!("[{}x]\n", deep("x.", "")),
        format!("a = {}\n", deep("[", "")),
        format!("a = {}\n", deep("{ a = ", "")),
    ] {
        let loaded = load_files(&[("lobu.toml", &manifest)]);
        assert_eq!(codes(&loaded), ["E_TOML_SYNTAX"], "{}", &manifest[..20]);
    }
    let main = format!("{AGENT}[memory]\n");
    for model in [deep("- ", "x\n"), deep("[", ""), deep("{a: ", ""), deep("? ", "x\n"), deep("&a ", "x\n")] {
        let loaded = load_files(&[("lobu.toml", &main), ("models/m.yaml", &model)]);
        assert!(loaded.desired.is_none(), "{}", &model[..20]);
    }
}

/// A project that names a file of every sort.
const EVERYTHING: [(&str, &str); 10] = [
    (
        "lobu.toml",
        "[project]\ninclude = [\"teams/*.toml\"]\n[kinds.k]\nfields.s = { type = \"string\", sensitive = true }\n\
         [resources.k.r]\ns = \"file:secret.txt\"\n[agents.a]\nname = \"A\"\ndir = \"./a\"\n[memory]\n",
    ),
    ("teams/x.toml", "[agents.b]\nname = \"B\"\ndir = \"../a\"\n"),
    ("a/SOUL.md", "soul\n"),
    ("skills/s/SKILL.md", "---\nname: s\n---\ntext\n"),
    ("a/skills/t.md", "text\n"),
    (
        "models/m.yaml",
        "version: 2\nwatchers:\n  - { slug: w, name: W, agent: a, schedule: \"0 * * * *\", prompt: p, reaction_script: r.ts }\n",
    ),
    ("models/r.ts", "export {}\n"),
    ("connectors/c.yaml", "type: connection\nslug: c\nconnector: x\n"),
    ("connectors/x.connector.ts", "export {}\n"),
    ("secret.txt", "value\n"),
];

fn everything() -> tempfile::TempDir {
    let project = tempfile::tempdir().unwrap();
    for (name, text) in EVERYTHING {
        let path = project.path().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }
    project
}

#[test]
fn every_file_that_a_project_names_is_guarded_like_the_manifest() {
    assert_eq!(codes(&load_folder(everything().path())), Vec::<&str>::new());
    type Make = fn(&Path);
    let makes: [(&str, Make); 5] = [
        ("a pipe", pipe),
        ("1073741824 bytes", |path| fs::File::create(path).unwrap().set_len(1 << 30).unwrap()),
        ("outside", |path| symlink("/etc/passwd", path).unwrap()),
        ("circle", |path| symlink(path.file_name().unwrap(), path).unwrap()),
        ("not there", |path| symlink("nowhere", path).unwrap()),
    ];
    for (name, _) in EVERYTHING {
        for (what, make) in makes {
            // The file of a secret may lie anywhere, and may be missing: its value may be in the store.
            if name == "secret.txt" && matches!(what, "outside" | "not there") {
                continue;
            }
            let project = everything();
            let path = project.path().join(name);
            fs::remove_file(&path).unwrap();
            make(&path);
            let loaded = load_folder(project.path());
            let said = text(&loaded.diagnostics);
            assert!(loaded.desired.is_none(), "{name} as {what}: {said}");
            assert!(said.contains(what) && said.contains(name.rsplit('/').next().unwrap()), "{name} as {what}: {said}");
        }
    }
}

#[test]
fn a_hostile_environment_file_is_refused_and_never_shown_p8() {
    let project = everything();
    let env = project.path().join(".env");
    pipe(&env);
    let (_, diagnostics) = environment(&Folder::open(project.path()).unwrap(), []);
    assert!(text(&diagnostics).contains("a pipe"), "{}", text(&diagnostics));
    fs::remove_file(&env).unwrap();
    fs::File::create(&env).unwrap().set_len(1 << 30).unwrap();
    let (_, diagnostics) = environment(&Folder::open(project.path()).unwrap(), []);
    assert!(text(&diagnostics).contains("1073741824"), "{}", text(&diagnostics));
}

#[test]
fn no_include_leaves_the_project_and_no_walk_runs_in_circles() {
    let outside = tempfile::tempdir().unwrap();
    fs::write(outside.path().join("x.toml"), "[agents.stolen]\nname = \"S\"\ndir = \"./s\"\n").unwrap();
    for pattern in ["../x.toml", "/etc/*.toml", "a/../../x.toml", "out/*.toml", "out/**/*.toml", "**/x.toml"] {
        let project = tempfile::tempdir().unwrap();
        symlink(outside.path(), project.path().join("out")).unwrap();
        symlink(".", project.path().join("again")).unwrap();
        let manifest = format!("[project]\ninclude = [\"{pattern}\"]\n{AGENT}");
        fs::write(project.path().join("lobu.toml"), manifest).unwrap();
        let loaded = load_folder(project.path());
        let said = text(&loaded.diagnostics);
        assert!(said.contains(pattern), "{pattern}: {said}");
        let stolen = loaded.desired.iter().flat_map(|desired| &desired.resources);
        assert!(stolen.filter(|one| one.address.name.as_str() == "stolen").count() == 0, "{pattern}");
    }
    let project = everything();
    symlink("..", project.path().join("models/up")).unwrap();
    symlink("..", project.path().join("skills/up")).unwrap();
    symlink("..", project.path().join("teams/up")).unwrap();
    assert_eq!(codes(&load_folder(project.path())), Vec::<&str>::new());
}

/// A folder of more names than are looked at, each of them a file without a byte.
struct Crowd {
    names: usize,
}

impl FileTree for Crowd {
    fn read(&self, path: &str, _: u64) -> Result<Vec<u8>, ReadError> {
        match path {
            "lobu.toml" => Ok(format!("[project]\ninclude = [\"teams/*.toml\"]\n{AGENT}").into_bytes()),
            _ if path.starts_with("teams/") => Ok(Vec::new()),
            _ => Err(ReadError::NotFound),
        }
    }

    fn list(&self, path: &str) -> Result<Vec<Item>, ReadError> {
        match path {
            "" => Ok(vec![Item { name: "teams".to_owned(), kind: ItemKind::Directory }]),
            "teams" => {
                let item = |number| Item { name: format!("{number:06}.toml"), kind: ItemKind::File };
                Ok((0..self.names).map(item).collect())
            }
            _ => Err(ReadError::NotFound),
        }
    }

    fn read_secret(&self, path: &str, limit: u64) -> Result<Vec<u8>, ReadError> {
        self.read(path, limit)
    }
}

#[test]
fn an_enormous_number_of_files_is_refused_after_so_many() {
    let loaded = load(&Crowd { names: 50_000 }, "p", &Environment::default());
    assert!(loaded.desired.is_some(), "{}", text(&loaded.diagnostics));
    let loaded = load(&Crowd { names: 100_050 }, "p", &Environment::default());
    assert!(loaded.desired.is_none());
    assert_eq!(loaded.diagnostics.len(), 51, "{}", text(&loaded.diagnostics));
    assert!(loaded.diagnostics[0].message.contains("more than 100000 files"), "{}", loaded.diagnostics[0].message);
}
