//! What a follower asks and tells its server beside being fed: the head, before a value is given out, and where it is.
//!
//! Never here: the feed, and deciding what is reported.

use std::sync::Arc;
use std::sync::mpsc::{SyncSender, sync_channel};
use std::time::Duration;

use axum::body::Bytes;
use axum::http::{HeaderMap, Method};
use holdfast_engine::Revision;
use holdfast_reconciler::plane::Head;
use tokio::sync::{mpsc, watch};
use tokio::time::{sleep, timeout};
use uuid::Uuid;

use super::disk::IdFile;
use super::line::Line;
use super::shared::{Shared, in_line};
use crate::call::{problem_of, target};
use crate::endpoint::Endpoint;
use crate::follow_wire::FollowerBody;
use crate::limits::{FOLLOWER_ASKS_MAX, FOLLOWER_CATCH_UP_MAX, FOLLOWER_REPORT_EVERY, FOLLOWER_REPORT_REST};
use crate::transport::Outgoing;

/// The code of a report under an id that another process has too.
const TWIN: &str = "E_FOLLOWER_TWIN";

/// Asks for the head of the server from any thread.
pub(super) struct Asks(mpsc::Sender<SyncSender<Revision>>);

/// Who asks for the head.
pub(super) type Asked = mpsc::Receiver<SyncSender<Revision>>;

impl Asks {
    pub(super) fn new() -> (Self, Asked) {
        let (asks, asked) = mpsc::channel(FOLLOWER_ASKS_MAX);
        (Self(asks), asked)
    }

    /// The head of the server, blocking; none if it does not tell in time.
    pub(super) fn head(&self, patience: Duration) -> Option<Revision> {
        let (answer, told) = sync_channel(1);
        self.0.try_send(answer).ok()?;
        told.recv_timeout(patience).ok()
    }
}

/// Asks the server for its head whenever somebody wants to know; one question answers all who asked before it was sent.
pub(super) async fn answer(endpoint: Endpoint, mut asked: Asked) {
    let mut line = Line::new(endpoint);
    let mut waiting = Vec::new();
    while asked.recv_many(&mut waiting, FOLLOWER_ASKS_MAX).await > 0 {
        let request = outgoing(Method::GET, target(&["head"], &[]), Bytes::new());
        if let Ok(Ok(answer)) = timeout(FOLLOWER_CATCH_UP_MAX, line.exchange(request)).await
            && answer.status.is_success()
            && let Ok(head) = serde_json::from_slice::<Head>(&answer.body)
        {
            for answer in &waiting {
                // Who waits no longer needs none.
                let _ = answer.try_send(head.revision);
            }
        }
        // Who is not answered sees its end.
        waiting.clear();
    }
}

/// Who tells.
pub(super) struct Who {
    id: String,
    identity: IdFile,
    name: String,
    /// Tells this start from another of the same id.
    run: String,
}

impl Who {
    pub(super) fn new(id: &str, identity: IdFile, name: String) -> Self {
        Self { id: id.to_owned(), identity, name, run: Uuid::new_v4().to_string() }
    }

    fn path(&self) -> String {
        target(&["followers", &self.id], &[])
    }
}

/// Tells the server where the follower is, at once when that changes and else now and then; after the sender of `stopped` is gone,
/// that it goes.
pub(super) async fn tell(shared: Arc<Shared>, endpoint: Endpoint, mut who: Who, mut stopped: watch::Receiver<()>) {
    let mut line = Line::new(endpoint);
    let mut refused = None;
    loop {
        let place = shared.place().map(|place| place.to_string());
        let body = FollowerBody { name: who.name.clone(), place, run: Some(who.run.clone()) };
        let body = Bytes::from(serde_json::to_vec(&body).unwrap_or_default());
        let told = timeout(FOLLOWER_REPORT_EVERY, line.exchange(outgoing(Method::PUT, who.path(), body))).await;
        match told {
            Ok(Ok(answer)) if answer.status.is_success() => refused = None,
            Ok(Ok(answer)) => {
                let problem = problem_of(&answer);
                if problem.as_ref().is_some_and(|problem| problem.code == TWIN) {
                    let before = std::mem::replace(&mut who.id, who.identity.renew());
                    tracing::warn!(%before, id = who.id, "another follower has the same id, as after the folder was copied; a new one is taken");
                    continue;
                }
                // Once: it goes on for as long as nobody does something about it.
                if refused != Some(answer.status) {
                    let error = problem.as_ref().map(in_line);
                    tracing::warn!(status = %answer.status, error, "the server does not take where this follower is");
                    refused = Some(answer.status);
                }
            }
            // The feed tells why, and comes back by itself.
            Ok(Err(_)) | Err(_) => {}
        }
        let news = async {
            sleep(FOLLOWER_REPORT_REST).await;
            shared.news().await;
        };
        tokio::select! {
            _ = timeout(FOLLOWER_REPORT_EVERY, news) => {}
            _ = stopped.changed() => break,
        }
    }
    let gone = line.exchange(outgoing(Method::DELETE, who.path(), Bytes::new()));
    let _ = timeout(FOLLOWER_CATCH_UP_MAX, gone).await;
}

fn outgoing(method: Method, target: String, body: Bytes) -> Outgoing {
    Outgoing { method, target, headers: HeaderMap::new(), body }
}
