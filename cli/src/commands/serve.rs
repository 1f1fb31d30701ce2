//! `reconcile serve [DIR]`: holds the store and answers through its socket, and on the network if asked to, until it is told to
//! stop. With `--watch` or `--git` it applies the manifests there by itself; else it applies nothing. With `--follow` it holds no
//! store (`follow.rs`).

use std::path::Path;
use std::sync::{Arc, mpsc};
use std::thread::JoinHandle;
use std::time::Duration;

use holdfast_reconciler::Plane;
use holdfast_reconciler::controller::{self, Loop};
use holdfast_reconciler::error::{Problem, ProblemKind};
use holdfast_reconciler::plane::{Holder, Retention};
use holdfast_reconciler::source::{FolderSource, GitOptions, GitSource, ManifestSource};
use holdfast_server::{Listen, ServeOptions, ServerHandle, mount};
use tokio::signal::unix::{Signal, SignalKind, signal};

use super::certificate::Certificate;
use super::{Run, follow};
use crate::args::{LogFormat, ServeArgs};
use crate::connect;
use crate::descriptors;
use crate::error::{Exit, Failure};
use crate::retention;

/// How many seconds pass between two looks at a folder, if nobody says.
const FOLDER_SECONDS: u64 = 2;
/// How many seconds pass between two looks at a repository, if nobody says.
const GIT_SECONDS: u64 = 30;

/// How long the end waits for a look at the manifests that is under way, and how often it asks.
const LOOP_GRACE: Duration = Duration::from_secs(5);
const LOOP_REST: Duration = Duration::from_millis(10);
/// The exit code of a server that was told twice to stop.
const ENDED_AT_ONCE: i32 = 130;

/// Serves until SIGTERM or SIGINT.
pub(super) fn run(run: &Run, args: &ServeArgs) -> Result<Exit, Failure> {
    let directory = run.directory(args.directory.as_ref())?;
    let store = run.setting.store(&directory);
    if let Some(server) = &args.follow {
        return follow::run(run, args, server, &store);
    }
    let every = Duration::from_millis(u64::try_from(args.compact_every.millis).unwrap_or(0));
    if every.is_zero() {
        return Err(Failure::usage("`--compact-every` is no time at all").help("write a span, as in `1h`"));
    }
    let (listen, certificate) = listen(run, args)?;
    run.output.log(args.log_format);
    descriptors::raise();
    let pid = std::process::id();
    let holder = Holder { pid, version: env!("CARGO_PKG_VERSION").to_owned() };
    let plane = connect::hold(&run.setting, &store, &run.output, holder)?;
    // A server that cannot open what is sealed would fail every session; better that it does not start.
    plane.check_keys()?;
    let engine = plane.engine().clone();
    let failed = |error: &std::io::Error| Failure::io("E_SERVE", "cannot start to serve", error);
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().map_err(|error| failed(&error))?;
    runtime.block_on(async {
        // Signals are taken before anybody can see that the server is ready.
        let mut signals = Signals::take().map_err(|error| failed(&error))?;
        certificate.map_or(Ok(()), Certificate::keep).map_err(|error| failed(&error))?;
        let program = concat!("reconcile/", env!("CARGO_PKG_VERSION")).to_owned();
        let options = ServeOptions { program, listen, ..ServeOptions::default() };
        let retention = Retention { commits: args.keep, age_ms: args.keep_for.map(|span| span.millis) };
        let looping = begin_loop(run, args, &directory, &store, &plane)?;
        let driven = plane.clone();
        let retaining = retention::begin(plane.clone(), retention, every);
        let handle = mount(Arc::new(plane), &store, options)
            .await
            .map_err(|error| Problem::from_error(ProblemKind::Failed, "E_SERVE", &error).help(error.help()))?;
        let shown = std::fs::canonicalize(&store).unwrap_or(store);
        if let Some((_, begin)) = &looping {
            // Who reads that it serves can already ask how the source stands.
            let _ = begin.send(());
        }
        ready(run, args, &format!("serving {}", shown.display()), &shown, &handle);
        let why = signals.stop().await;
        tracing::info!(signal = why, "stopping; a second signal ends at once");
        end_at_second(signals);
        if let Some(retaining) = retaining {
            retaining.abort();
        }
        handle.shutdown().await;
        driven.stop_loops();
        if let Some((looping, begin)) = looping {
            drop(begin);
            if !ended(&looping).await {
                tracing::warn!("left a look at the manifests that did not end in time");
            }
        }
        Ok::<(), Failure>(())
    })?;
    engine.close();
    Ok(Exit::Done)
}

/// Waits for the loop to end, which may be in the middle of a look that takes long, such as a fetch from a host that does not answer. A
/// panic of it was reported by its hook.
async fn ended(looping: &JoinHandle<()>) -> bool {
    for _ in 0..LOOP_GRACE.as_millis() / LOOP_REST.as_millis() {
        if looping.is_finished() {
            return true;
        }
        tokio::time::sleep(LOOP_REST).await;
    }
    looping.is_finished()
}

/// Ends the process at the next signal: whoever sends a second one does not want to wait.
pub(super) fn end_at_second(mut signals: Signals) {
    tokio::spawn(async move {
        let why = signals.stop().await;
        // What is acknowledged is on the disk, and the next one to open the store finds it whole.
        tracing::warn!(signal = why, "ended at once");
        std::process::exit(ENDED_AT_ONCE);
    });
}

/// Says that the server answers, what it does, and where: as a log line of the form that was asked for, or to people.
pub(super) fn ready(run: &Run, args: &ServeArgs, what: &str, store: &Path, handle: &ServerHandle) {
    let pid = std::process::id();
    let scheme = if args.tls_cert.is_some() { "https" } else { "http" };
    let url = handle.address().map(|address| format!("{scheme}://{address}"));
    match args.log_format {
        LogFormat::Json => tracing::info!(store = %store.display(), pid, url, follow = args.follow, "ready"),
        LogFormat::Text => {
            run.output.insist(format!("{what}, pid {pid}"));
            if let Some(url) = url {
                run.output.insist(format!("listening on {url}, with tokens of `reconcile token create`"));
            }
        }
    }
}

/// A repository as `git` finds it from any folder: what is a path here is made an absolute one.
fn repository(run: &Run, url: &str) -> String {
    let path = run.setting.path(Path::new(url));
    let absolute = std::path::absolute(&path).ok().filter(|path| !url.contains("://") && path.exists());
    absolute.and_then(|path| path.into_os_string().into_string().ok()).unwrap_or_else(|| url.to_owned())
}

/// A loop in a thread of its own, and what lets it begin.
type Looping = (JoinHandle<()>, mpsc::Sender<()>);

/// Makes the loop that the flags ask for. It begins once the server answers.
fn begin_loop(
    run: &Run,
    args: &ServeArgs,
    directory: &Path,
    store: &Path,
    plane: &Plane,
) -> Result<Option<Looping>, Failure> {
    let variables = run.setting.environment.clone();
    let (source, seconds): (Box<dyn ManifestSource>, u64) = match &args.git {
        Some(url) => {
            let options = GitOptions {
                url: repository(run, url),
                branch: args.branch.clone(),
                subdirectory: args.subdirectory.clone(),
                cache: store.join("git"),
                variables,
            };
            (Box::new(GitSource::new(options)), GIT_SECONDS)
        }
        None if args.watch => {
            // Not resolved: a link in it may be pointed at the next release while this runs.
            let absolute = |path: &Path| std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
            let folder = FolderSource::new(absolute(directory), variables).apart_from(absolute(store));
            (Box::new(folder), FOLDER_SECONDS)
        }
        None if args.interval.is_some() => {
            return Err(Failure::usage("`--interval` is for a loop; add `--watch` or `--git URL`"));
        }
        None => return Ok(None),
    };
    let interval = Duration::from_secs(args.interval.unwrap_or(seconds));
    let (org, fallback) = (run.setting.global.org.clone(), run.setting.fallback_org()?);
    let this = Loop::new(plane.clone(), source, org, fallback, run.setting.author(None));
    let (begin, begun) = mpsc::channel();
    let thread = std::thread::Builder::new().name("holdfast-loop".to_owned()).spawn(move || {
        // Without a sender the server did not come up.
        if begun.recv().is_ok() {
            controller::run(this, interval);
        }
    });
    let thread = thread.map_err(|error| Failure::io("E_SERVE", "cannot start the loop", &error))?;
    Ok(Some((thread, begin)))
}

/// Where to listen on the network, if anywhere, and the certificate that was named.
pub(super) fn listen(run: &Run, args: &ServeArgs) -> Result<(Option<Listen>, Option<Certificate>), Failure> {
    let Some(address) = args.listen else { return Ok((None, None)) };
    let certificate = Certificate::read(run, args)?;
    if certificate.is_none() && !address.ip().is_loopback() {
        let message = format!("`--listen {address}` reaches beyond this machine, where tokens must not be seen");
        return Err(Failure::usage(message).help("add `--tls-cert FILE --tls-key FILE`, or listen on 127.0.0.1"));
    }
    let tls = certificate.as_ref().map(Certificate::identity);
    Ok((Some(Listen { address, tls }), certificate))
}

/// The signals that a server answers to.
pub(super) struct Signals {
    term: Signal,
    int: Signal,
    hup: Signal,
}

impl Signals {
    pub(super) fn take() -> std::io::Result<Self> {
        Ok(Self {
            term: signal(SignalKind::terminate())?,
            int: signal(SignalKind::interrupt())?,
            hup: signal(SignalKind::hangup())?,
        })
    }

    /// Waits until one asks to stop. A hang-up, as from a closed terminal, does not.
    pub(super) async fn stop(&mut self) -> &'static str {
        loop {
            tokio::select! {
                _ = self.term.recv() => return "SIGTERM",
                _ = self.int.recv() => return "SIGINT",
                _ = self.hup.recv() => tracing::info!("SIGHUP changes nothing, but for a renewed certificate"),
            }
        }
    }
}
