//! SIGKILL of the server at random instants between and during applies: no acknowledged revision is lost, and nobody ever
//! reads half of an apply.

use std::time::Duration;

use serde_json::{Value, json};

use super::bench::Project;

const ROUNDS: usize = 50;
const AGENTS: usize = 10;

/// A small generator with a fixed seed (splitmix64).
struct Random(u64);

impl Random {
    fn below(&mut self, end: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) % end
    }
}

/// A manifest whose agents all have the same model, so that a torn apply would show.
fn manifest(model: usize) -> String {
    let agent = |number: usize| {
        format!(
            "[agents.agent-{number}]\nname = \"Agent {number}\"\ndescription = \"model-{model}\"\ndir = \"./agents\"\n\
             [[agents.agent-{number}.providers]]\nid = \"z-ai\"\nmodel = \"model-{model}\"\nkey = \"$Z_AI_API_KEY\"\n"
        )
    };
    (0..AGENTS).map(agent).collect()
}

/// The models that the live settings and agents speak of, and the revision they were read at.
fn live(project: &Project) -> (Vec<Value>, u64) {
    let mut models = Vec::new();
    let mut revision = 0;
    for number in 0..AGENTS {
        let settings = project.run(&["get", &format!("settings/agent-{number}"), "--format", "json"]).exits(0).json();
        models.push(settings["fields"]["providerModelPreferences"]["z-ai"].clone());
        revision = revision.max(settings["modified"].as_u64().unwrap());
    }
    (models, revision)
}

#[test]
fn p2_p3_a_killed_server_loses_no_acknowledged_revision_and_never_shows_half_an_apply() {
    let project = Project::hotreload();
    let mut random = Random(20_261_122);
    let mut acknowledged = 0;
    let mut killed_during_apply = 0;
    for round in 0..ROUNDS {
        let server = project.serve();
        project.write_manifest(&manifest(round));
        let mut command = project.command(&super::bench::reconcile());
        let apply = command.args(["--yes", "--format", "json"]).stdout(std::process::Stdio::piped());
        let apply = apply.stderr(std::process::Stdio::piped()).spawn().unwrap();
        // An apply takes some 10 to 40 ms here; the instants cover before, during and after it.
        std::thread::sleep(Duration::from_micros(random.below(60_000)));
        server.kill();
        let done = apply.wait_with_output().unwrap();
        if done.status.success() {
            let receipt: Value = serde_json::from_slice(&done.stdout).unwrap();
            acknowledged = find_revision(&receipt).unwrap_or_else(|| panic!("no revision in {receipt}"));
        } else {
            killed_during_apply += 1;
        }

        let status = project.run(&["status", "--format", "json"]).exits(0).json();
        let head = status["head"]["revision"].as_u64().unwrap();
        assert!(head >= acknowledged, "round {round}: r{acknowledged} was acknowledged and the head is r{head}");
        assert!(head <= acknowledged + 1, "round {round}: one apply made more than one revision");
        acknowledged = head;
        if head > 0 && round % 5 == 0 {
            let (models, revision) = live(&project);
            assert!(models.iter().all(|model| *model == models[0]), "round {round}: torn at r{revision}: {models:?}");
            project.run(&["verify"]).exits(0).says("sound");
        }
    }
    println!("{ROUNDS} kills, {killed_during_apply} of them before the apply was acknowledged, head r{acknowledged}");
    assert!(acknowledged > 0, "no apply was ever acknowledged");
    project.write_manifest(&manifest(ROUNDS));
    project.run(&["--yes"]).exits(0);
    let (models, _) = live(&project);
    assert!(models.iter().all(|model| *model == json!(format!("model-{ROUNDS}"))), "{models:?}");
}

fn find_revision(receipt: &Value) -> Option<u64> {
    receipt["revision"].as_u64().or_else(|| receipt["applied"]["revision"].as_u64())
}
