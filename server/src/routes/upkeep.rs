//! Routes that keep a store small and safe: compaction and backups.
//!
//! A backup goes to whoever asks, over the connection: a server never writes a file that a client names.

use std::io::{self, BufWriter, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use axum::body::{Body, Bytes};
use axum::extract::State;
use axum::http::{HeaderMap, HeaderValue, header};
use axum::response::IntoResponse;
use futures_util::stream::{self, StreamExt as _};
use holdfast_reconciler::error::Problem;
use holdfast_reconciler::plane::{CompactRequest, ControlPlane};
use tokio::sync::mpsc;

use super::{Answer, at_revision, json};
use crate::ask::Ask;
use crate::gate::Lane;
use crate::limits::{BACKUP_PIECE_BYTES, BACKUP_PIECES_WAITING, SMALL_BODY_BYTES_MAX};
use crate::refusal::Refusal;
use crate::router::App;

/// `POST /v1/compact`: gives up the commits before what is to be kept.
pub(crate) async fn compact(State(app): State<App>, ask: Ask, headers: HeaderMap, body: Body) -> Answer {
    ask.finish()?;
    ask.no_preconditions()?;
    let body = app.bodies.read(&headers, body, SMALL_BODY_BYTES_MAX).await?;
    let request: CompactRequest = body.json()?;
    let done = app.gate.call(Lane::Plan, move |plane| plane.compact(&request)).await?;
    json(&done)
}

/// `GET /v1/backup`: the whole store in one file, made while commits go on. What is cut off has no last frame.
pub(crate) async fn backup(State(app): State<App>, ask: Ask) -> Answer {
    ask.finish()?;
    let head = app.gate.head().await?.revision;
    let (sender, mut receiver) = mpsc::channel(BACKUP_PIECES_WAITING);
    let gate = Arc::clone(&app.gate);
    let making = tokio::spawn(async move { gate.call(Lane::Plan, move |plane| make(plane, sender)).await });
    // What goes wrong before the first byte is told as a problem; later only the end of the connection can tell.
    let Some(first) = receiver.recv().await else {
        return match making.await {
            Ok(Err(refusal)) => Err(refusal),
            Ok(Ok(())) | Err(_) => Err(Refusal::panicked()),
        };
    };
    let pieces = stream::unfold((Some(first), receiver), |(first, mut receiver)| async move {
        let piece = match first {
            Some(first) => Some(first),
            None => receiver.recv().await,
        };
        piece.map(|piece| (piece, (None, receiver)))
    });
    // What compresses an answer asks again after its end.
    let pieces = pieces.fuse();
    let kind = [(header::CONTENT_TYPE, HeaderValue::from_static("application/octet-stream"))];
    Ok(at_revision((kind, Body::from_stream(pieces)).into_response(), head))
}

type Piece = io::Result<Bytes>;

fn make(plane: &dyn ControlPlane, sender: mpsc::Sender<Piece>) -> Result<(), Problem> {
    let begun = AtomicBool::new(false);
    let mut out = BufWriter::with_capacity(BACKUP_PIECE_BYTES, Pieces { sender: &sender, begun: &begun });
    let made = plane.backup(&mut out);
    if made.is_ok() && out.flush().is_ok() {
        return Ok(());
    }
    // Whatever was begun must not look whole: the connection is broken off. A client that is gone does not see it.
    let _ = out.into_parts();
    if begun.load(Ordering::Relaxed) {
        let _ = sender.blocking_send(Err(io::Error::other("the backup failed")));
    }
    made
}

/// Hands on what is written, waiting while the client has not taken what came before.
struct Pieces<'s> {
    sender: &'s mpsc::Sender<Piece>,
    /// Whether the client was sent anything.
    begun: &'s AtomicBool,
}

impl Write for Pieces<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let piece = Ok(Bytes::copy_from_slice(bytes));
        self.sender.blocking_send(piece).map_err(|_| io::ErrorKind::BrokenPipe)?;
        self.begun.store(true, Ordering::Relaxed);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
