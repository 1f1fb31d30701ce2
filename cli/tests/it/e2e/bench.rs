//! The bench that the end-to-end tests stand on: a project in a folder of its own, the binary in a cleared environment, and
//! servers that are ended by their own pid.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc;
use std::time::{Duration, Instant};

use serde_json::Value;

use super::wire::Place;

/// How long a test waits for something that must happen.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// A project like `testdata/hotreload`, with its own store and master key.
pub(crate) struct Project {
    folder: tempfile::TempDir,
    variables: BTreeMap<&'static str, String>,
}

/// What a process holds in memory now, in bytes, as the kernel counts it.
pub(crate) fn resident(pid: u32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    line.trim().strip_suffix(" kB").unwrap().trim().parse::<u64>().unwrap() << 10
}

/// How a run of the binary ended.
#[derive(Debug)]
pub(crate) struct Ran {
    pub(crate) status: ExitStatus,
    pub(crate) out: String,
    pub(crate) err: String,
}

impl Ran {
    #[track_caller]
    pub(crate) fn exits(self, code: i32) -> Self {
        assert_eq!(self.status.code(), Some(code), "stdout:\n{}\nstderr:\n{}", self.out, self.err);
        self
    }

    #[track_caller]
    pub(crate) fn says(self, text: &str) -> Self {
        assert!(self.out.contains(text), "`{text}` is not in stdout:\n{}\nstderr:\n{}", self.out, self.err);
        self
    }

    #[track_caller]
    pub(crate) fn complains(self, text: &str) -> Self {
        assert!(self.err.contains(text), "`{text}` is not in stderr:\n{}\nstdout:\n{}", self.err, self.out);
        self
    }

    #[track_caller]
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.out).unwrap_or_else(|error| panic!("{error}: {}\n{}", self.out, self.err))
    }
}

impl Project {
    /// A copy of `testdata/hotreload` whose key is set.
    pub(crate) fn hotreload() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let project = folder.path().join("hotreload");
        copy(&Path::new(env!("CARGO_MANIFEST_DIR")).join("../testdata/hotreload"), &project);
        let variables = BTreeMap::from([
            ("HOLDFAST_KEY_FILE", folder.path().join("master.key").to_str().unwrap().to_owned()),
            ("USER", "tester".to_owned()),
            ("Z_AI_API_KEY", "canary-z-ai-key".to_owned()),
        ]);
        Self { folder, variables }
    }

    pub(crate) fn path(&self) -> PathBuf {
        self.folder.path().join("hotreload")
    }

    /// The folder around the project.
    pub(crate) fn root(&self) -> &Path {
        self.folder.path()
    }

    pub(crate) fn store(&self) -> PathBuf {
        self.path().join(".holdfast")
    }

    pub(crate) fn unset(&mut self, variable: &str) {
        self.variables.remove(variable);
    }

    pub(crate) fn set(&mut self, variable: &'static str, value: &str) {
        self.variables.insert(variable, value.to_owned());
    }

    pub(crate) fn manifest(&self) -> String {
        std::fs::read_to_string(self.path().join("lobu.toml")).unwrap()
    }

    /// Writes the manifest as an editor does: a new file in the old one's place.
    pub(crate) fn write_manifest(&self, text: &str) {
        let new = self.path().join(".lobu.toml.new");
        std::fs::write(&new, text).unwrap();
        std::fs::rename(new, self.path().join("lobu.toml")).unwrap();
    }

    pub(crate) fn set_model(&self, model: &str) {
        let lines = self.manifest();
        let lines = lines.lines().map(|line| match line.starts_with("model = ") {
            true => format!("model = \"{model}\"\n"),
            false => format!("{line}\n"),
        });
        self.write_manifest(&lines.collect::<String>());
    }

    pub(crate) fn remove_key(&self) {
        let text = self.manifest();
        let lines = text.lines().filter(|line| !line.starts_with("key = "));
        self.write_manifest(&lines.map(|line| format!("{line}\n")).collect::<String>());
    }

    /// The binary in this project, with nothing of the environment but what the project sets.
    pub(crate) fn command(&self, program: &Path) -> Command {
        let mut command = Command::new(program);
        command.current_dir(self.path()).env_clear().envs(&self.variables).stdin(Stdio::null());
        command
    }

    pub(crate) fn run(&self, arguments: &[&str]) -> Ran {
        self.run_with_input(arguments, None)
    }

    pub(crate) fn run_with_input(&self, arguments: &[&str], input: Option<&str>) -> Ran {
        let mut command = self.command(&reconcile());
        command.args(arguments).stdout(Stdio::piped()).stderr(Stdio::piped());
        if input.is_some() {
            command.stdin(Stdio::piped());
        }
        let mut child = command.spawn().unwrap();
        if let Some(input) = input {
            child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
        }
        let done = child.wait_with_output().unwrap();
        let text = |bytes| String::from_utf8(bytes).unwrap();
        Ran { status: done.status, out: text(done.stdout), err: text(done.stderr) }
    }

    /// A request over the server's socket, as a client in any language makes it; gives the body of a good answer.
    pub(crate) fn http(&self, method: &str, target: &str, body: &str) -> String {
        let mut stream = UnixStream::connect(self.store().join("server.sock")).unwrap();
        let length = body.len();
        write!(
            stream,
            "{method} {target} HTTP/1.1\r\nhost: x\r\nconnection: close\r\ncontent-length: {length}\r\n\r\n{body}"
        )
        .unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        assert!(answer.starts_with("HTTP/1.1 20"), "{method} {target}: {answer}");
        answer.split_once("\r\n\r\n").unwrap().1.to_owned()
    }

    /// Starts a server on the project's store and waits until it serves.
    pub(crate) fn serve(&self) -> Server {
        self.serving(&[])
    }

    /// The same with more flags.
    pub(crate) fn serving(&self, flags: &[&str]) -> Server {
        let mut command = self.command(&reconcile());
        command.arg("serve").args(flags);
        Server::start(command, |line| line.contains("serving ") && line.contains("pid"))
    }

    /// Starts a server that listens on the network too, and makes a token for it.
    pub(crate) fn listen(&self, role: &str, flags: &[&str]) -> (Server, Place) {
        let mut command = self.command(&reconcile());
        command.args(["serve", "--listen", "127.0.0.1:0"]).args(flags);
        let server = Server::start(command, |line| line.starts_with("listening on http://"));
        let address = server.ready["listening on http://".len()..].split(',').next().unwrap().parse().unwrap();
        let token = self.run(&["token", "create", "bench", "--role", role, "--all-orgs"]).exits(0).out;
        (server, Place::Network(address, Some(token.trim_end().to_owned())))
    }
}

/// A process that serves, ended by its own pid when dropped.
pub(crate) struct Server {
    child: Child,
    /// The line by which it said that it is ready.
    pub(crate) ready: String,
}

impl Server {
    /// Starts a program and waits for the line that says it is ready, on stdout or stderr.
    pub(crate) fn start(mut command: Command, is_ready: fn(&str) -> bool) -> Self {
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let (send, lines) = mpsc::channel();
        for stream in [
            Box::new(child.stdout.take().unwrap()) as Box<dyn Read + Send>,
            Box::new(child.stderr.take().unwrap()) as Box<dyn Read + Send>,
        ] {
            let send = send.clone();
            // The threads go on reading to the end, so that the program never waits for a full pipe.
            std::thread::spawn(move || {
                BufReader::new(stream).lines().map_while(Result::ok).for_each(|line| drop(send.send(line)));
            });
        }
        drop(send);
        let deadline = Instant::now() + PATIENCE;
        let mut seen = Vec::new();
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            match lines.recv_timeout(left) {
                Ok(line) if is_ready(&line) => return Self { child, ready: line },
                Ok(line) => seen.push(line),
                Err(error) => {
                    let _ = child.kill();
                    panic!("not ready: {error}; it said {seen:#?}")
                }
            }
        }
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    pub(crate) fn is_running(&mut self) -> bool {
        self.child.try_wait().unwrap().is_none()
    }

    /// SIGKILL: what is not on the disk and not in the page cache is gone.
    pub(crate) fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// SIGTERM, and waits for the end.
    pub(crate) fn stop(mut self) -> ExitStatus {
        let pid = self.pid().to_string();
        assert!(Command::new("kill").args(["-TERM", &pid]).status().unwrap().success());
        let deadline = Instant::now() + PATIENCE;
        while self.is_running() {
            assert!(Instant::now() < deadline, "it does not stop on SIGTERM");
            std::thread::sleep(Duration::from_millis(5));
        }
        self.child.wait().unwrap()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The command under test.
pub(crate) fn reconcile() -> PathBuf {
    PathBuf::from(env!("CARGO_BIN_EXE_reconcile"))
}

fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        match entry.file_type().unwrap().is_dir() {
            true if entry.file_name() == ".holdfast" => {}
            true => copy(&entry.path(), &target),
            false => drop(std::fs::copy(entry.path(), target).unwrap()),
        }
    }
}
