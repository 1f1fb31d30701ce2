//! Sessions through the server from eight processes at once, while commits go on: each reads the newest commit that was
//! acknowledged before it was asked for, and none is torn.
//!
//! The short form asks for 20,000 sessions, `HOLDFAST_LONG` for 200,000.

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};

use holdfast_engine::{Key, Txn};
use holdfast_reconciler::desired::SecretText;
use holdfast_reconciler::plane::{ControlPlane, ResourcesQuery, SecretWrite, SessionRequest};
use holdfast_server::Client;
use serde_json::json;

use crate::support::Server;

const AGENTS: usize = 10;
const PROCESSES: u64 = 8;
/// What a child is told: socket, file of the acknowledged revision, how many sessions, its number.
const TOLD: &str = "HOLDFAST_TEST_HAMMER";

fn sessions() -> u64 {
    if std::env::var_os("HOLDFAST_LONG").is_some() { 200_000 } else { 20_000 }
}

/// All agents to one model, in one commit; the revision is in the file once it is acknowledged.
fn change(server: &Server, acknowledged: &File, count: u64) {
    let txn = (0..AGENTS).fold(Txn::new().author("hammer"), |txn, index| {
        let settings = json!({"fields": {
            "installedProviders": [{"providerId": "z-ai"}],
            "providerModelPreferences": {"z-ai": format!("model-{count}")},
        }});
        txn.put(
            Key::new(format!("org/default/live/settings/agent-{index}")).unwrap(),
            settings.to_string().into_bytes(),
        )
    });
    let revision = server.plane.engine().commit(txn).unwrap().revision;
    acknowledged.write_all_at(&revision.get().to_be_bytes(), 0).unwrap();
}

#[test]
fn p4_eight_processes_never_read_a_session_that_is_older_than_what_was_acknowledged() {
    let server = Server::start();
    let (name, value) = ("provider:z-ai:apiKey".to_owned(), Some(SecretText::new("a-key".to_owned())));
    let (author, allow_break) = ("tester".to_owned(), Default::default());
    server.plane.write_secret(&SecretWrite { org: None, name, value, expires: None, author, allow_break }).unwrap();
    let path = server.folder.path().join("acknowledged");
    let acknowledged = File::create(&path).unwrap();
    change(&server, &acknowledged, 0);
    let done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let committer = scope.spawn(|| {
            let mut count = 0;
            while !done.load(Ordering::Relaxed) {
                count += 1;
                change(&server, &acknowledged, count);
            }
            count
        });
        let children: Vec<_> = (0..PROCESSES)
            .map(|number| {
                let told =
                    format!("{}|{}|{}|{number}", server.socket().display(), path.display(), sessions() / PROCESSES);
                let mut command = Command::new(std::env::current_exe().unwrap());
                command.args(["--exact", "hammer::child_of_the_hammer", "--nocapture"]).env(TOLD, told).spawn().unwrap()
            })
            .collect();
        let ended: Vec<_> = children.into_iter().map(|mut child| child.wait().unwrap().success()).collect();
        done.store(true, Ordering::Relaxed);
        assert_eq!(ended, vec![true; PROCESSES as usize]);
        let commits = committer.join().unwrap();
        let told: u64 = (0..PROCESSES).map(|number| asked(&path, number)).sum();
        println!("{told} sessions through the server by {PROCESSES} processes while {commits} commits went on");
        assert_eq!(told, sessions(), "too few sessions were asked for");
        assert!(commits > 100, "only {commits} commits went on meanwhile");
    });
}

/// How many sessions a child says that it was given.
fn asked(acknowledged: &Path, number: u64) -> u64 {
    std::fs::read_to_string(report(acknowledged, number)).unwrap().parse().unwrap()
}

/// Where a child says so.
fn report(acknowledged: &Path, number: u64) -> PathBuf {
    acknowledged.with_extension(format!("by-{number}"))
}

/// One of the eight processes; by itself it does nothing.
#[test]
fn child_of_the_hammer() {
    let Ok(told) = std::env::var(TOLD) else { return };
    let [socket, path, sessions, number] = told.split('|').collect::<Vec<_>>().try_into().unwrap();
    let (client, acknowledged) = (Client::new(socket.into()), File::open(Path::new(path)).unwrap());
    let (sessions, number): (usize, usize) = (sessions.parse().unwrap(), number.parse().unwrap());
    let mut given: u64 = 0;
    for round in 0..sessions {
        let mut newest = [0; 8];
        acknowledged.read_exact_at(&mut newest, 0).unwrap();
        let newest = u64::from_be_bytes(newest);
        let request =
            SessionRequest { agent: format!("agent-{}", (round + number) % AGENTS), ..SessionRequest::default() };
        let context = client.look(&request).unwrap();
        assert!(context.revision.get() >= newest, "{} is older than r{newest}", context.revision);
        // The other nine at the revision of the session, which is one answer.
        if round % 50 == 0 {
            let (kind, at) = (Some("settings".to_owned()), Some(context.revision));
            let all = client.resources(&ResourcesQuery { kind, at, ..ResourcesQuery::default() }).unwrap();
            assert_eq!(all.resources.len(), AGENTS);
            for resource in all.resources {
                let model = &resource.record.fields["providerModelPreferences"]["z-ai"];
                assert_eq!(model, &json!(context.model.id), "{}", resource.address);
            }
        }
        given += 1;
    }
    std::fs::write(report(Path::new(path), number as u64), given.to_string()).unwrap();
}
