//! A crowd: 5,000 idle watches and 2,000 idle connections over the socket and the network, some of which read nothing of a lot. The
//! server's memory stays within what so many may take, and everybody else is served as if nobody were there.

use std::io;

use rustix::process::{Resource, getrlimit, setrlimit};
use serde_json::json;

use super::bench::{Project, resident};
use super::wire::{Events, Place, Wire};

const WATCHES: usize = 5_000;
const CONNECTIONS: usize = 2_000;
/// Watches that are told much and read nothing.
const DEAF: usize = 200;
/// What one that waits may take of the server's memory.
const EACH_BYTES: u64 = 48 << 10;
/// What one that is told much and reads nothing may take.
const DEAF_BYTES: u64 = 512 << 10;
/// How many are asked what they heard.
const ASKED: usize = 500;

/// Room for both ends; says whether there is.
fn take_descriptors() -> bool {
    let wanted = (WATCHES + CONNECTIONS + DEAF + 500) as u64;
    let mut limit = getrlimit(Resource::Nofile);
    if limit.maximum.is_some_and(|most| most < wanted) {
        return false;
    }
    if limit.current.is_some_and(|current| current < wanted) {
        limit.current = Some(wanted);
        setrlimit(Resource::Nofile, limit).unwrap();
    }
    true
}

/// Opens so many of something, in turn here and there, in a few threads.
fn open<T: Send>(many: usize, places: &[&Place; 2], open: impl Fn(&Place) -> io::Result<T> + Sync) -> Vec<T> {
    let threads = 4;
    std::thread::scope(|scope| {
        let open = &open;
        let parts: Vec<_> = (0..threads)
            .map(|part| {
                scope.spawn(move || {
                    (part..many)
                        .step_by(threads)
                        .map(|number| open(places[number / threads % 2]).unwrap())
                        .collect::<Vec<_>>()
                })
            })
            .collect();
        parts.into_iter().flat_map(|part| part.join().unwrap()).collect()
    })
}

fn greet(place: &Place) -> io::Result<Wire> {
    let mut wire = place.connect()?;
    let answer = wire.ask("GET", "/healthz", &[], b"")?;
    assert_eq!(answer.status, 200);
    Ok(wire)
}

#[test]
fn p9_a_crowd_that_waits_costs_little_and_keeps_nobody_from_being_served() {
    if !take_descriptors() {
        println!("left out: this machine gives a process fewer descriptors than the crowd needs");
        return;
    }
    let project = Project::hotreload();
    project.run(&["--yes"]).exits(0);
    let (server, network) = project.listen("admin", &["--quiet"]);
    let socket = Place::socket(&project.store());
    let places = [&socket, &network];
    for place in places {
        greet(place).unwrap();
    }
    let alone = resident(server.pid());

    let mut watches: Vec<Events> = open(WATCHES, &places, |place| place.watch("/v1/watch?prefix=kv/quiet/", &[]));
    let watching = resident(server.pid());
    let connections: Vec<Wire> = open(CONNECTIONS, &places, greet);
    let crowded = resident(server.pid());
    let shown = |bytes: u64| format!("{:.1} MB", bytes as f64 / 1e6);
    println!(
        "memory alone {}, with {WATCHES} watches {}, and {CONNECTIONS} connections {}",
        shown(alone),
        shown(watching),
        shown(crowded)
    );
    assert!(crowded - alone < (WATCHES + CONNECTIONS) as u64 * EACH_BYTES, "{alone} {watching} {crowded}");
    let metrics = String::from_utf8(socket.ask("GET", "/metrics", &[], b"").unwrap().body).unwrap();
    assert!(metrics.contains(&format!("holdfast_watches {WATCHES}\n")), "{metrics}");
    assert_eq!(socket.ask("GET", "/v1/status", &[], b"").unwrap().json()["watchers"], WATCHES);

    // Some more are told a lot and read nothing; the writer does not wait for them.
    let deaf: Vec<Events> = open(DEAF, &places, |place| place.watch("/v1/watch?prefix=kv/loud/", &[]));
    let mut writer = socket.connect().unwrap();
    let value = vec![b'x'; 8 << 10];
    for number in 0..400 {
        let answer = writer.ask("PUT", &format!("/v1/kv/loud/{}", number % 10), &[], &value).unwrap();
        assert_eq!(answer.status, 200);
    }
    let loud = resident(server.pid());
    println!("and {DEAF} that read nothing of 3.3 MB each {}", shown(loud));
    assert!(loud.saturating_sub(crowded) < DEAF as u64 * DEAF_BYTES + (64 << 20), "{crowded} {loud}");

    // Everybody else is served.
    for place in places {
        let context = place.ask("POST", "/v1/agents/hotreload-test/sessions", &[], b"").unwrap();
        assert_eq!(context.status, 201, "{context:?}");
    }
    project.set_model("glm-4.5");
    project.run(&["--yes"]).exits(0).says("Applied as");
    project.run(&["session", "hotreload-test"]).exits(0).says("glm-4.5");

    // What all wait for comes, to each once.
    let body = json!({"ops": [{"put": {"key": "quiet/a", "value": "now"}}]}).to_string();
    let revision = socket.ask("POST", "/v1/txn", &[], body.as_bytes()).unwrap().json()["revision"].to_string();
    for events in watches.iter_mut().step_by(WATCHES / ASKED) {
        let event = loop {
            let event = events.next().unwrap().expect("the watch goes on");
            if event.name != "bookmark" {
                break event;
            }
        };
        assert_eq!((&event.id, &event.data["changes"][0]["key"]), (&revision, &json!("kv/quiet/a")));
    }
    drop((watches, connections, deaf));
    for place in places {
        greet(place).unwrap();
    }
    assert!(server.stop().success());
    project.run(&["verify"]).exits(0).says("sound");
}
