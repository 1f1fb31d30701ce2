//! A program elsewhere that follows a server and opens sessions by itself: it reads `AGENT [REVISION]`, a line each, and answers with
//! the session's model, of that revision or a later one.
//!
//! `follower .holdfast .gateway` follows the server whose store lies in `.holdfast`; stop that server, and sessions go on. Meanwhile
//! `reconcile --store .gateway status` asks this program.

use std::collections::BTreeMap;
use std::error::Error;
use std::ffi::OsString;
use std::io::{BufRead, Write, stderr, stdin, stdout};
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::{Duration, UNIX_EPOCH};

use holdfast_engine::{Revision, Timestamp};
use holdfast_reconciler::agents::resolver::SystemEnvironment;
use holdfast_reconciler::error::Problem;
use holdfast_reconciler::keyfile::KeySource;
use holdfast_reconciler::plane::Holder;
use holdfast_reconciler::resource::OrgId;
use holdfast_server::{Client, Follower, FollowerOptions, SOCKET_NAME, ServeOptions, mount};

fn main() -> ExitCode {
    tracing_subscriber::fmt().with_writer(stderr).init();
    let mut arguments = std::env::args().skip(1);
    let server = arguments.next().unwrap_or(".holdfast".to_owned());
    let folder = arguments.next().unwrap_or(".gateway".to_owned());
    if let Err(error) = run(server.as_ref(), folder.as_ref()) {
        let _ = writeln!(stderr(), "error: {error}");
        return ExitCode::FAILURE;
    }
    ExitCode::SUCCESS
}

fn run(server: &Path, folder: &Path) -> Result<(), Box<dyn Error>> {
    let text = |(name, value): (OsString, OsString)| Some((name.into_string().ok()?, value.into_string().ok()?));
    let variables: BTreeMap<_, _> = std::env::vars_os().filter_map(text).collect();
    let follower = Follower::start(FollowerOptions {
        // On another machine: `Client::remote("https://HOST:PORT", Some(&token), Some(&trust))`.
        server: Client::new(server.join(SOCKET_NAME)),
        folder: folder.to_owned(),
        name: Some("example".to_owned()),
        keys: KeySource::of(&variables, ".".as_ref()),
        system: SystemEnvironment::Known(variables),
        clock: Arc::new(now),
        holder: Some(Holder { pid: std::process::id(), version: env!("CARGO_PKG_VERSION").to_owned() }),
    })?;

    // A follower is a control plane, so the one call that lets `reconcile` in is the same as for any other.
    let runtime = tokio::runtime::Runtime::new()?;
    let control = runtime.block_on(mount(Arc::new(follower.clone()), folder, ServeOptions::default()))?;

    follower.ready(Duration::from_secs(30))?;
    writeln!(stdout(), "following at {}", follower.state().revision().unwrap_or_default())?;
    for line in stdin().lock().lines() {
        match answer(&follower, &line?) {
            Ok(line) => writeln!(stdout(), "{line}")?,
            Err(problem) => writeln!(stdout(), "{}: {}", problem.code, problem.message)?,
        }
    }
    runtime.block_on(control.shutdown());
    follower.shutdown();
    Ok(())
}

fn answer(follower: &Follower, line: &str) -> Result<String, Problem> {
    let (agent, revision) = line.split_once(' ').unwrap_or((line, "0"));
    let wanted = revision.trim().parse().unwrap_or(Revision::ZERO);
    let session = follower.session_at_least(wanted, &OrgId::default(), agent, None, Duration::from_secs(5))?;
    Ok(format!("{} {}/{}", session.revision(), session.context().model.provider, session.context().model.id))
}

fn now() -> Timestamp {
    Timestamp::from_millis(UNIX_EPOCH.elapsed().map_or(0, |since| since.as_millis() as i64))
}
