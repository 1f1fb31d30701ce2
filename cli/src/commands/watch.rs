//! `reconcile watch [PREFIX]`: prints commits as they come, through the server that holds the store, until Ctrl-C.
//!
//! Never here: how a watch resumes (the client's feed does), and a store of its own: whoever holds the store would keep
//! everybody from committing what it waits for.

use std::time::Duration;

use holdfast_engine::Revision;
use holdfast_reconciler::error::{Problem, ProblemKind};
use holdfast_reconciler::plane::{ControlPlane, Moment, Scope};
use holdfast_reconciler::watch::{WatchFeed, WatchItem, WatchRequest, WatchStart, token_revision};
use holdfast_server::watch_document;
use tokio::signal::unix::{Signal, SignalKind, signal};

use super::Run;
use crate::args::{Format, WatchArgs};
use crate::connect;
use crate::error::{Exit, Failure};
use crate::output::Reader;
use crate::project;
use crate::render::watch;

/// How long to rest before a server that is away is tried again.
const REST: Duration = Duration::from_millis(500);

/// Watches until Ctrl-C.
pub(super) fn run(run: &Run, args: &WatchArgs) -> Result<Exit, Failure> {
    let directory = run.setting.project(None);
    let (org, scope) = super::scope(args.prefix.as_deref(), project::org(&run.setting, &directory, &run.output)?)?;
    let plane = connect::served(&run.setting, &run.setting.store(&directory))?;
    // A prefix is where names begin, also in the middle of one.
    let prefix = match scope {
        Scope::All => String::new(),
        Scope::Key(key) | Scope::Prefix(key) => key,
    };
    let start = start(plane.as_ref(), args.from.as_deref())?;
    let feed = plane.watch(&WatchRequest { org, prefix, start })?;
    let failed = |error: &std::io::Error| Failure::io("E_WATCH", "cannot begin to watch", error);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(|error| failed(&error))?;
    runtime.block_on(async {
        let interrupt = signal(SignalKind::interrupt()).map_err(|error| failed(&error))?;
        Following { run, feed, interrupt, away: false }.follow().await
    })
}

fn start(plane: &dyn ControlPlane, from: Option<&str>) -> Result<WatchStart, Failure> {
    let Some(text) = from else { return Ok(WatchStart::Now) };
    match text.parse::<Moment>() {
        Ok(moment) => Ok(WatchStart::After(super::revision(plane, moment)?)),
        Err(_) if token_revision(text).is_ok() => Ok(WatchStart::Token(text.to_owned())),
        Err(error) => Err(Failure::usage(error.to_string()).help(
            "`--from` takes the last revision that was seen, as in `r41`, a time, or the token that a watch gave",
        )),
    }
}

struct Following<'r> {
    run: &'r Run,
    feed: Box<dyn WatchFeed>,
    interrupt: Signal,
    /// Whether it was told that the server is away.
    away: bool,
}

impl Following<'_> {
    async fn follow(mut self) -> Result<Exit, Failure> {
        let begun = tokio::select! {
            token = self.feed.bookmark() => Some(token?),
            _ = self.interrupt.recv() => None,
        };
        let Some(token) = begun else { return Ok(Exit::Interrupted) };
        self.run.output.say(format!("watching after {}", token_revision(&token)?));
        loop {
            let item = tokio::select! {
                item = self.feed.next() => item,
                _ = self.interrupt.recv() => return self.stopped().await,
            };
            let shown = match item {
                Ok(item) => self.show(&item)?,
                Err(problem) => self.wait(problem).await?,
            };
            if let Some(exit) = shown {
                return Ok(exit);
            }
        }
    }

    /// Shows an item; with an exit code if nobody reads any more.
    fn show(&mut self, item: &WatchItem) -> Result<Option<Exit>, Failure> {
        if std::mem::take(&mut self.away) {
            self.run.output.say("the server is back");
        }
        let reader = match self.run.output.format {
            Format::Json => self.run.output.line(&watch_document(item))?,
            Format::Text | Format::Markdown | Format::Github => self.run.output.piece(&watch::item(item))?,
        };
        Ok(match reader {
            Reader::There => None,
            Reader::Gone => Some(Exit::Done),
        })
    }

    /// Waits for a server that is away; any other problem ends the watch.
    async fn wait(&mut self, problem: Problem) -> Result<Option<Exit>, Failure> {
        if problem.kind != ProblemKind::Unavailable {
            return Err(problem.into());
        }
        if !std::mem::replace(&mut self.away, true) {
            self.run.output.say(format!("{}; waiting until it is back", problem.message));
        }
        tokio::select! {
            () = tokio::time::sleep(REST) => Ok(None),
            _ = self.interrupt.recv() => self.stopped().await.map(Some),
        }
    }

    /// Says where to resume.
    async fn stopped(&mut self) -> Result<Exit, Failure> {
        if let Ok(token) = self.feed.bookmark().await {
            let revision = token_revision(&token).unwrap_or(Revision::ZERO);
            self.run.output.say(format!("stopped after {revision}; `--from {token}` goes on there"));
        }
        Ok(Exit::Interrupted)
    }
}
