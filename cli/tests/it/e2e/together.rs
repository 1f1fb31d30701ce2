//! Two applies at once, from two processes through one server: each is whole or refused as stale, and what is live is never a
//! mixture.

use std::process::{Output, Stdio};

use serde_json::Value;

use crate::serve::Server;
use crate::support::Project;
use rustix::process::Signal;

const ROUNDS: usize = 100;
const AGENTS: [&str; 4] = ["one", "two", "three", "four"];

/// One project, four agents, all on one model.
fn manifest(model: &str) -> String {
    let agent = |id: &str| {
        format!(
            "\n[agents.{id}]\nname = \"{model}\"\ndir = \"./agents/{id}\"\n\n[[agents.{id}.providers]]\nid = \"z-ai\"\n\
             model = \"{model}\"\n"
        )
    };
    format!("[project]\nname = \"team\"\n{}", AGENTS.map(agent).concat())
}

/// The only model and name of all that is live at a revision.
fn model_at(project: &Project, revision: &str) -> String {
    let exported = project.run(&["export", "--at", revision]);
    assert_eq!(exported.code, Some(0), "{}", exported.stderr);
    let state: Value = serde_json::from_str(&exported.stdout).unwrap();
    let rows = state["resources"].as_array().unwrap();
    let model = |row: &Value| match row["kind"].as_str().unwrap() {
        "agent" => row["fields"]["name"].as_str().unwrap().to_owned(),
        _ => row["fields"]["providerModelPreferences"]["z-ai"].as_str().unwrap().to_owned(),
    };
    let models: Vec<String> = rows.iter().map(model).collect();
    assert_eq!(models.len(), 2 * AGENTS.len(), "{revision}");
    assert!(models.iter().all(|model| *model == models[0]), "{revision} is mixed: {models:?}");
    models[0].clone()
}

#[test]
fn p1_p2_of_two_applies_at_once_each_is_whole_and_one_may_be_stale() {
    let project = Project::bare();
    for side in ["left", "right"] {
        std::fs::create_dir(project.path().join(side)).unwrap();
    }
    let server = Server::start(&project);
    let (mut stale, mut both, mut newest) = (0, 0, 0);
    for round in 0..ROUNDS {
        let models = ["left", "right"].map(|side| format!("{side}-{round}"));
        let apply = |side: &str, model: &str| {
            std::fs::write(project.path().join(side).join("lobu.toml"), manifest(model)).unwrap();
            let mut command = project.command(&[side, "--store", ".holdfast", "--yes", "--format", "json", "-q"]);
            command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
        };
        let running = [apply("left", &models[0]), apply("right", &models[1])];
        let ended: Vec<Output> = running.into_iter().map(|child| child.wait_with_output().unwrap()).collect();
        let mut revisions = Vec::new();
        for (output, model) in ended.iter().zip(&models) {
            let document: Value = serde_json::from_slice(&output.stdout).unwrap();
            match output.status.code() {
                Some(0) => {
                    let revision = document["applied"]["revision"].as_u64().unwrap();
                    assert_eq!(model_at(&project, &format!("r{revision}")), *model, "round {round}");
                    revisions.push(revision);
                }
                Some(4) => {
                    assert_eq!(
                        (&document["applied"], document["error"]["code"].as_str()),
                        (&Value::Null, Some("E_STALE"))
                    );
                    stale += 1;
                }
                other => panic!("round {round}: {other:?}\n{}", String::from_utf8_lossy(&output.stderr)),
            }
        }
        revisions.sort_unstable();
        assert!(!revisions.is_empty(), "round {round}: nobody applied");
        // No revision was made but those that somebody was told of.
        let expected: Vec<u64> = (1..=revisions.len() as u64).map(|step| newest + step).collect();
        assert_eq!(revisions, expected, "round {round}");
        newest += revisions.len() as u64;
        both += usize::from(revisions.len() == 2);
    }
    println!("{ROUNDS} rounds: in {both} both applied one after the other, in {stale} one was stale");
    assert_eq!(stale + both, ROUNDS);
    server.stop(Signal::TERM);
}
