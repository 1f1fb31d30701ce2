//! A program with an actuator: it holds a store, lets `reconcile` in, and keeps the files of a folder equal to the resources of the
//! kind `file`.
//!
//! `files .holdfast OUT`, then in another terminal `reconcile --yes` in a project that declares the kind `file`: the files are there, are
//! mended when somebody changes them, and go when they are no longer declared. Killed at any instant and started again, it goes on.

mod actuator;

use std::error::Error;
use std::io::{Read, Write, stderr, stdin, stdout};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::{Duration, Instant, UNIX_EPOCH};

use actuator::Files;
use holdfast_engine::{Engine, Options, SledOptions, SledStore, Timestamp};
use holdfast_reconciler::actuation::ActuateOptions;
use holdfast_reconciler::agents::resolver::SystemEnvironment;
use holdfast_reconciler::backoff::Backoff;
use holdfast_reconciler::keyfile::KeySource;
use holdfast_reconciler::plane::Holder;
use holdfast_reconciler::resource::KindName;
use holdfast_reconciler::{Plane, PlaneOptions};
use holdfast_server::{ServeOptions, mount};

#[tokio::main]
async fn main() -> ExitCode {
    tracing_subscriber::fmt().with_writer(stderr).init();
    let mut arguments = std::env::args().skip(1);
    let (Some(store), Some(folder)) = (arguments.next(), arguments.next()) else {
        let _ = writeln!(stderr(), "usage: files STORE FOLDER");
        return ExitCode::FAILURE;
    };
    if let Err(error) = run(&store, &folder).await {
        let _ = writeln!(stderr(), "error: {error}");
        return ExitCode::FAILURE;
    }
    ExitCode::SUCCESS
}

async fn run(store: &str, folder: &str) -> Result<(), Box<dyn Error>> {
    let engine = Engine::open(Box::new(SledStore::open(store.as_ref(), SledOptions::default())?), Options::new(now))?;
    let holder = Holder { pid: std::process::id(), version: concat!("files ", env!("CARGO_PKG_VERSION")).to_owned() };
    let keys = KeySource::None("this program seals nothing".to_owned());
    let begun = Instant::now();
    let elapsed = Arc::new(move || begun.elapsed());
    let options =
        PlaneOptions { keys, system: SystemEnvironment::NotKnown, clock: Arc::new(now), elapsed, holder: Some(holder) };
    let plane = Plane::new(engine, options);

    // From here on what is committed is made, until the answer is dropped.
    let files = Arc::new(Files::new(KindName::new("file")?, folder));
    let resync = Duration::from_secs(2);
    let backoff = Backoff { first: Duration::from_millis(50), most: Duration::from_secs(5) };
    let effects = plane.actuate(vec![files], ActuateOptions { resync, backoff, ..ActuateOptions::default() })?;

    let control = mount(Arc::new(plane.clone()), store, ServeOptions::default()).await?;
    writeln!(stdout(), "keeping the files of {folder}, pid {}", std::process::id())?;
    // Until whoever started it lets go of its standard input.
    tokio::task::spawn_blocking(|| stdin().read_to_end(&mut Vec::new())).await??;

    control.shutdown().await;
    drop(effects);
    plane.engine().close();
    Ok(())
}

fn now() -> Timestamp {
    Timestamp::from_millis(UNIX_EPOCH.elapsed().map_or(0, |since| since.as_millis() as i64))
}
