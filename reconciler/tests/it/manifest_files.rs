//! Files that are not what they should be are refused at once, with a typed diagnostic, and never block (P6).

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;

use holdfast_reconciler::manifest::{Environment, Folder, Loaded, load};

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
