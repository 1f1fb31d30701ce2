//! Mounting a plane's control socket in any tokio program, and the life of the server: accept, bound, serve, shut down.
//!
//! Never here: routes, and how the socket's file is made (`socket.rs`).

use std::convert::Infallible;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::response::Response;
use holdfast_reconciler::error::{Problem, ProblemKind};
use holdfast_reconciler::plane::ControlPlane;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::{GracefulShutdown, Watcher};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::{Semaphore, watch};
use tokio::task::{JoinHandle, JoinSet};
use tokio::time::{sleep, timeout};
use tokio_io_timeout::TimeoutStream;
use tower::ServiceExt as _;

use crate::ask::Peer;
use crate::gate::Gate;
use crate::limits::{
    ACCEPT_REST, BODY_PIECE_TIMEOUT, BOOKMARK_EVERY, CONNECTIONS_MAX, HEAD_BYTES_MAX, HEADER_TIMEOUT, HEADERS_MAX,
    MIN_REVISION_WAIT_MAX, SHUTDOWN_GRACE, WRITE_TIMEOUT,
};
use crate::metrics::Metrics;
use crate::problem::{PROBLEM_TYPE, ProblemBody, status};
use crate::protocol::{PROTOCOL, PROTOCOL_HEADER};
use crate::router::{app, router};
use crate::socket::{Bound, MountError, bind};

/// How a server is mounted; the defaults are right for almost everybody.
#[derive(Clone, Debug)]
pub struct ServeOptions {
    /// The program and its version, which clients and `status` show.
    pub program: String,
    /// The most connections at once.
    pub connections_max: usize,
    /// How long a client may take for the headers of a request, and a connection may lie idle.
    pub header_timeout: Duration,
    /// How long the next piece of a body may take.
    pub body_timeout: Duration,
    /// How long a client may refuse to take any byte of an answer.
    pub write_timeout: Duration,
    /// How long `?min_revision=` waits for that revision.
    pub revision_wait: Duration,
    /// How often a watch tells where it is.
    pub bookmark_every: Duration,
    /// How long a shutdown waits for requests that are being answered.
    pub grace: Duration,
}

impl Default for ServeOptions {
    fn default() -> Self {
        Self {
            program: concat!("holdfast/", env!("CARGO_PKG_VERSION")).to_owned(),
            connections_max: CONNECTIONS_MAX,
            header_timeout: HEADER_TIMEOUT,
            body_timeout: BODY_PIECE_TIMEOUT,
            write_timeout: WRITE_TIMEOUT,
            revision_wait: MIN_REVISION_WAIT_MAX,
            bookmark_every: BOOKMARK_EVERY,
            grace: SHUTDOWN_GRACE,
        }
    }
}

/// Mounts the control socket of a plane in its store's folder, so that `reconcile` and every other client find it there.
///
/// This is the one call that a program needs. The socket is served by tasks of the calling runtime until the handle is shut
/// down or dropped. The store must be held by this process: that nobody else serves the folder is ensured by a lock.
///
/// # Errors
/// Another server has the folder, something that is no socket has the socket's name, or the folder cannot be written.
///
/// # Panics
/// Outside a tokio runtime.
pub async fn mount(
    plane: Arc<dyn ControlPlane>,
    store_dir: impl AsRef<Path>,
    options: ServeOptions,
) -> Result<ServerHandle, MountError> {
    let folder = store_dir.as_ref().to_owned();
    let io = |step, source| MountError::Io { step, path: folder.clone(), source };
    let to_bind = folder.clone();
    let bound = tokio::task::spawn_blocking(move || bind(&to_bind)).await;
    let (listener, bound) = bound.map_err(|error| io("bind a socket in", error.into()))??;
    listener.set_nonblocking(true).map_err(|error| io("listen in", error))?;
    let listener = UnixListener::from_std(listener).map_err(|error| io("listen in", error))?;
    let (stop, stopped) = watch::channel(());
    let app = app(plane, &options, stopped.clone());
    tracing::info!(socket = %bound.path().display(), "serving");
    let server =
        Server { gate: Arc::clone(&app.gate), metrics: Arc::clone(&app.metrics), router: router(app), options };
    let task = tokio::spawn(server.run(listener, stopped));
    Ok(ServerHandle { bound, stop: Some(stop), task: Some(task) })
}

/// A mounted control socket.
///
/// Dropping it stops accepting, lets open requests finish in the background and takes the socket away.
#[must_use = "the control socket is served for as long as this handle lives"]
#[derive(Debug)]
pub struct ServerHandle {
    bound: Bound,
    stop: Option<watch::Sender<()>>,
    task: Option<JoinHandle<()>>,
}

impl ServerHandle {
    /// The path of the socket.
    pub fn socket(&self) -> &Path {
        self.bound.path()
    }

    /// Stops accepting, waits for the requests that are being answered (as long as the options say) and for every write
    /// under way, and takes the socket away.
    pub async fn shutdown(mut self) {
        drop(self.stop.take());
        if let Some(task) = self.task.take() {
            // The task does not panic; if the runtime ends first there is nobody left to wait for.
            let _ = task.await;
        }
        tracing::info!(socket = %self.socket().display(), "served to the end");
    }
}

/// What serves connections.
struct Server {
    router: Router,
    gate: Arc<Gate>,
    metrics: Arc<Metrics>,
    options: ServeOptions,
}

impl Server {
    /// Accepts until the sender of `stopped` is gone, then winds down.
    async fn run(self, listener: UnixListener, mut stopped: watch::Receiver<()>) {
        let places = Arc::new(Semaphore::new(self.options.connections_max));
        let graceful = GracefulShutdown::new();
        let mut connections = JoinSet::new();
        let refusal = too_many();
        loop {
            let stream = tokio::select! {
                accepted = listener.accept() => match accepted {
                    Ok((stream, _)) => stream,
                    Err(error) => {
                        // No descriptor or no memory: those who are served will give some back.
                        tracing::warn!(%error, "cannot accept a connection");
                        sleep(ACCEPT_REST).await;
                        continue;
                    }
                },
                Some(_) = connections.join_next() => continue,
                _ = stopped.changed() => break,
            };
            match Arc::clone(&places).try_acquire_owned() {
                Ok(place) => {
                    let served = self.connection(stream, graceful.watcher());
                    let counted = self.metrics.connection();
                    connections.spawn(async move {
                        served.await;
                        drop((place, counted));
                    });
                }
                Err(_) => {
                    tracing::warn!(max = self.options.connections_max, "refused a connection");
                    // A fresh socket has room for this; if not, the client sees the connection close.
                    let _ = stream.try_write(&refusal);
                }
            }
        }
        drop(listener);
        if timeout(self.options.grace, graceful.shutdown()).await.is_err() {
            tracing::warn!(open = connections.len(), "closed connections that did not end in time");
        }
        connections.shutdown().await;
        self.gate.writes_finished().await;
    }

    /// Serves one connection to its end.
    fn connection(&self, stream: UnixStream, watcher: Watcher) -> impl Future<Output = ()> + Send + 'static {
        let peer = Peer { uid: stream.peer_cred().ok().map(|peer| peer.uid()) };
        let mut stream = TimeoutStream::new(stream);
        stream.set_write_timeout(Some(self.options.write_timeout));
        let router = self.router.clone();
        let service = service_fn(move |mut request: hyper::Request<Incoming>| {
            request.extensions_mut().insert(peer);
            let answered = router.clone().oneshot(request.map(Body::new));
            async move { answered.await as Result<Response, Infallible> }
        });
        let connection = http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(self.options.header_timeout)
            .max_headers(HEADERS_MAX)
            .max_buf_size(HEAD_BYTES_MAX)
            .serve_connection(TokioIo::new(Box::pin(stream)), service);
        let served = watcher.watch(connection);
        async move {
            // A connection ends with an error if the client is slow, gone or speaks no HTTP: each is the client's affair.
            if let Err(error) = served.await {
                tracing::debug!(%error, "connection ended");
            }
        }
    }
}

/// What a connection gets that comes when there are too many: a whole answer, so that the client can tell.
fn too_many() -> Vec<u8> {
    let busy = Problem::new(ProblemKind::Unavailable, "E_BUSY", "too many connections").help("try again in a second");
    let body = ProblemBody::new(busy, status(ProblemKind::Unavailable), None);
    let body = serde_json::to_string(&body).unwrap_or_default();
    format!(
        "HTTP/1.1 503 Service Unavailable\r\nretry-after: 1\r\nconnection: close\r\n{PROTOCOL_HEADER}: {PROTOCOL}\r\n\
         content-type: {PROBLEM_TYPE}\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    )
    .into_bytes()
}
