//! A project in a folder of its own, a command in an empty environment, and what came of it as one text.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

/// The key that the manifests refer to; no output may ever hold it.
pub(crate) const CANARY: &str = "sk-canary-0123456789";

/// The manifest of most tests: one agent whose provider's key comes from `Z_KEY`.
pub(crate) const TRIAGE: &str = "\
[project]
name = \"team\"

[agents.triage]
name = \"Triage\"
dir = \"./agents/triage\"

[[agents.triage.providers]]
id = \"z-ai\"
model = \"glm-4.6\"
key = \"$Z_KEY\"
";

/// A project with a home of its own.
pub(crate) struct Project {
    folder: tempfile::TempDir,
}

/// What a command did.
pub(crate) struct Ended {
    pub(crate) code: Option<i32>,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Project {
    /// A project without a manifest.
    pub(crate) fn empty() -> Self {
        let folder = tempfile::tempdir().unwrap();
        for name in ["project/agents/triage", "home"] {
            std::fs::create_dir_all(folder.path().join(name)).unwrap();
        }
        Self { folder }
    }

    /// A project of which nothing is there but its folder.
    pub(crate) fn bare() -> Self {
        let folder = tempfile::tempdir().unwrap();
        for name in ["project", "home"] {
            std::fs::create_dir(folder.path().join(name)).unwrap();
        }
        Self { folder }
    }

    /// A project with this manifest.
    pub(crate) fn with(manifest: &str) -> Self {
        let project = Self::empty();
        project.write("lobu.toml", manifest);
        project
    }

    /// A project with the usual agent, applied as r1.
    pub(crate) fn applied() -> Self {
        let project = Self::with(TRIAGE);
        let ended = project.run_with(&["--yes"], &[("Z_KEY", CANARY)], "");
        assert_eq!(ended.code, Some(0), "{}", ended.stderr);
        project
    }

    pub(crate) fn path(&self) -> PathBuf {
        self.folder.path().join("project")
    }

    pub(crate) fn home(&self) -> PathBuf {
        self.folder.path().join("home")
    }

    pub(crate) fn store(&self) -> PathBuf {
        self.path().join(".holdfast")
    }

    pub(crate) fn write(&self, name: &str, text: &str) {
        std::fs::write(self.path().join(name), text).unwrap();
    }

    pub(crate) fn edit(&self, from: &str, to: &str) {
        let text = std::fs::read_to_string(self.path().join("lobu.toml")).unwrap();
        assert!(text.contains(from), "{text}");
        self.write("lobu.toml", &text.replace(from, to));
    }

    /// The command without any variable but HOME and USER.
    pub(crate) fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_reconcile"));
        command.args(arguments).current_dir(self.path()).env_clear();
        command.env("HOME", self.home()).env("USER", "maria");
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        command
    }

    pub(crate) fn run(&self, arguments: &[&str]) -> Ended {
        self.run_with(arguments, &[], "")
    }

    pub(crate) fn run_with(&self, arguments: &[&str], variables: &[(&str, &str)], input: &str) -> Ended {
        let mut command = self.command(arguments);
        command.envs(variables.iter().copied()).stdin(Stdio::piped());
        let mut child = command.spawn().unwrap();
        // A command that does not read its input may end before it is written.
        let _ = child.stdin.take().unwrap().write_all(input.as_bytes());
        self.ended(child.wait_with_output().unwrap())
    }

    pub(crate) fn ended(&self, output: Output) -> Ended {
        let Output { status, stdout, stderr } = output;
        let ended = Ended {
            code: status.code(),
            stdout: self.normal(&String::from_utf8(stdout).unwrap()),
            stderr: self.normal(&String::from_utf8(stderr).unwrap()),
        };
        for text in [&ended.stdout, &ended.stderr] {
            assert!(!text.contains(CANARY), "a secret is shown: {text}");
        }
        ended
    }

    /// Every file below the project and the home.
    pub(crate) fn files(&self) -> BTreeMap<PathBuf, Vec<u8>> {
        let mut files = BTreeMap::new();
        let mut folders = vec![self.folder.path().to_owned()];
        while let Some(folder) = folders.pop() {
            for entry in std::fs::read_dir(folder).unwrap().map(Result::unwrap) {
                match entry.file_type().unwrap() {
                    kind if kind.is_dir() => folders.push(entry.path()),
                    kind if kind.is_file() => drop(files.insert(entry.path(), std::fs::read(entry.path()).unwrap())),
                    _ => {}
                }
            }
        }
        files
    }

    fn normal(&self, text: &str) -> String {
        let real = std::fs::canonicalize(self.folder.path()).unwrap();
        let mut text = text.to_owned();
        for path in [real.as_path(), self.folder.path()] {
            text = text.replace(path.to_str().unwrap(), "[ROOT]");
        }
        text
    }
}

impl Ended {
    /// All of it as one text for a snapshot.
    pub(crate) fn shown(&self, arguments: &[&str]) -> String {
        let mut out = format!("$ reconcile {}\n", arguments.join(" "));
        let code = self.code.map_or("ended by a signal".to_owned(), |code| code.to_string());
        writeln!(out, "exit: {code}").unwrap();
        for (name, text) in [("stdout", &self.stdout), ("stderr", &self.stderr)] {
            if !text.is_empty() {
                write!(out, "---- {name}\n{text}").unwrap();
            }
        }
        out
    }
}

/// Compares with a snapshot; what differs from run to run is made equal.
pub(crate) fn check(name: &str, shown: &str) {
    let mut settings = insta::Settings::clone_current();
    settings.set_snapshot_path("../../../snapshots");
    settings.set_prepend_module_to_snapshot(false);
    settings.set_omit_expression(true);
    for (pattern, replacement) in [
        (r"\b[0-9a-f]{64}\b", "[HASH]"),
        (r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}", "[UUID]"),
        (r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9:.]+Z", "[TIME]"),
        (r"(?i)\b(plan `?)[0-9a-f]{8}\b", "${1}[ID]"),
        (r"(r[0-9]+ \(?)[0-9a-f]{8}\b", "${1}[ID]"),
        (r"\(secret [0-9a-f]{6}\)", "(secret [TAG])"),
        (r#"("(before|after)_tag": )"[0-9a-f]+""#, "${1}\"[TAG]\""),
        (r"[0-9.]+ [kMG]?B -> [0-9.]+ [kMG]?B on the disk", "[SIZE] -> [SIZE] on the disk"),
        (r"\b(process|pid) [0-9]+", "${1} [PID]"),
        (r"(held by +)(this command only|pid .*)", "${1}[HOLDER]"),
        (r"(on disk +)[0-9.]+ [kMG]?B, [0-9]+ commits?", "${1}[SIZE], [N] commits"),
    ] {
        settings.add_filter(pattern, replacement);
    }
    settings.bind(|| insta::assert_snapshot!(name, shown));
}

/// Runs a command of a project and compares all of it with a snapshot.
pub(crate) fn check_run(name: &str, project: &Project, arguments: &[&str]) -> Ended {
    let ended = project.run(arguments);
    check(name, &ended.shown(arguments));
    ended
}

/// Whether a folder holds nothing with this name.
pub(crate) fn absent(path: &Path) -> bool {
    !path.exists()
}
