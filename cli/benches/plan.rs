//! A plan of one change as a whole process: 100 and 5,000 agents in one manifest, against a state file, embedded, and through
//! the socket of a server.
//!
//! `cargo bench -p holdfast-cli --bench plan`. Medians of whole processes, start and end included; the environment is cleared.

#![allow(clippy::unwrap_used, clippy::print_stdout, missing_docs, reason = "a benchmark prints and may stop")]

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::json;

const ROUNDS: usize = 30;

fn main() {
    println!("{:<44} {:>10} {:>10}", "plan of one change, whole process", "median", "slowest");
    for agents in [100, 5_000] {
        let folder = tempfile::tempdir().unwrap();
        let bench = Bench { folder: folder.path(), agents };
        bench.write(None);
        bench.state();
        bench.command(&["--yes", "--quiet"]).output().unwrap();
        bench.write(Some(agents / 2));
        bench.measure("--against", &["--dry-run", "--against", "../state.json"]);
        bench.measure("embedded", &["--dry-run"]);
        let mut server = bench.command(&["serve"]).stderr(Stdio::piped()).spawn().unwrap();
        let lines = BufReader::new(server.stderr.take().unwrap()).lines();
        let mut lines = lines.map_while(Result::ok);
        assert!(lines.any(|line| line.contains("serving ")), "the server does not serve");
        std::thread::spawn(move || lines.for_each(drop));
        bench.measure("through a socket", &["--dry-run"]);
        server.kill().unwrap();
        server.wait().unwrap();
    }
}

struct Bench<'b> {
    folder: &'b Path,
    agents: usize,
}

impl Bench<'_> {
    fn write(&self, changed: Option<usize>) {
        let agent = |number: usize| {
            let model = if changed == Some(number) { "glm-4.5" } else { "glm-4.6" };
            format!(
                "[agents.agent-{number}]\nname = \"Agent {number}\"\ndescription = \"Answers questions of team {number}\"\n\
                 dir = \"./agents/{number}\"\n\
                 [[agents.agent-{number}.providers]]\nid = \"z-ai\"\nmodel = \"{model}\"\n\
                 [agents.agent-{number}.network]\nallowed = [\"api.z.ai\", \"github.com\"]\n\n"
            )
        };
        let project = self.folder.join("project");
        std::fs::create_dir_all(&project).unwrap();
        std::fs::write(project.join("lobu.toml"), (0..self.agents).map(agent).collect::<String>()).unwrap();
    }

    fn state(&self) {
        let resources: Vec<_> = (0..self.agents)
            .flat_map(|number| {
                let name = format!("agent-{number}");
                let description = format!("Answers questions of team {number}");
                let settings = json!({
                    "installedProviders": [{"providerId": "z-ai"}], "modelSelection": {"mode": "auto"},
                    "providerModelPreferences": {"z-ai": "glm-4.6"},
                    "networkConfig": {"allowedDomains": ["api.z.ai", "github.com"]},
                });
                let agent = json!({"name": format!("Agent {number}"), "description": description});
                // As `export` writes it: with the owner of each field.
                [("agent", agent), ("settings", settings)].map(|(kind, fields)| {
                    let names = fields.as_object().unwrap().keys();
                    let owners: serde_json::Map<_, _> = names.map(|field| (field.clone(), json!("project"))).collect();
                    json!({"kind": kind, "name": name, "fields": fields, "owner": "project", "owners": owners})
                })
            })
            .collect();
        let state = json!({"format": "holdfast/state", "version": 1, "resources": resources});
        std::fs::write(self.folder.join("state.json"), state.to_string()).unwrap();
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_reconcile"));
        command.args(arguments).current_dir(self.folder.join("project")).env_clear();
        command.env("HOLDFAST_KEY_FILE", self.folder.join("master.key")).stdin(Stdio::null());
        command
    }

    fn measure(&self, what: &str, arguments: &[&str]) {
        let mut times: Vec<Duration> = (0..ROUNDS)
            .map(|_| {
                let start = Instant::now();
                let done = self.command(arguments).output().unwrap();
                let took = start.elapsed();
                let text = String::from_utf8_lossy(&done.stdout);
                assert!(text.contains(" 1 update, "), "{what}: {text} {}", String::from_utf8_lossy(&done.stderr));
                took
            })
            .collect();
        times.sort_unstable();
        let millis = |time: Duration| format!("{:.1} ms", time.as_secs_f64() * 1e3);
        println!(
            "{:<44} {:>10} {:>10}",
            format!("{:>5} agents, {what}", self.agents),
            millis(times[ROUNDS / 2]),
            millis(times[ROUNDS - 1])
        );
    }
}
