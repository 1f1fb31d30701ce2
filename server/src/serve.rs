//! Mounting a plane's control socket in any tokio program, and the life of the server: accept, bound, serve, shut down.
//!
//! Never here: routes, and how the socket's file is made (`socket.rs`).

use std::convert::Infallible;
use std::net::SocketAddr;
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
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpStream, UnixListener, UnixStream};
use tokio::sync::{Semaphore, watch};
use tokio::task::{JoinHandle, JoinSet};
use tokio::time::{sleep, timeout};
use tokio_io_timeout::TimeoutStream;
use tower::ServiceExt as _;

use crate::ask::Peer;
use crate::gate::Gate;
use crate::limits::{
    ACCEPT_REST, BODY_PIECE_TIMEOUT, BOOKMARK_EVERY, CONNECTIONS_MAX, HANDSHAKE_TIMEOUT, HEAD_BYTES_MAX,
    HEADER_TIMEOUT, HEADERS_MAX, MIN_REVISION_WAIT_MAX, NETWORK_CONNECTIONS_MAX, SHUTDOWN_GRACE, WRITE_TIMEOUT,
};
use crate::listen::{Listen, Listening};
use crate::metrics::Metrics;
use crate::problem::{PROBLEM_TYPE, ProblemBody, status};
use crate::protocol::{PROTOCOL, PROTOCOL_HEADER};
use crate::router::{app, router};
use crate::socket::{Bound, MountError, bind};
use crate::tls::TlsIdentity;

/// How a server is mounted; the defaults are right for almost everybody.
#[derive(Clone, Debug)]
pub struct ServeOptions {
    /// The program and its version, which clients and `status` show.
    pub program: String,
    /// Where to listen on the network, if anywhere.
    pub listen: Option<Listen>,
    /// The most connections at once.
    pub connections_max: usize,
    /// The most connections from the network at once.
    pub network_connections_max: usize,
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
            listen: None,
            connections_max: CONNECTIONS_MAX,
            network_connections_max: NETWORK_CONNECTIONS_MAX,
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
    let network = match &options.listen {
        Some(listen) => Some(Listening::begin(listen).await?),
        None => None,
    };
    let address = network.as_ref().map(|network| network.address);
    let (stop, stopped) = watch::channel(());
    let app = app(plane, &options, stopped.clone());
    tracing::info!(socket = %bound.path().display(), "serving");
    let server =
        Server { gate: Arc::clone(&app.gate), metrics: Arc::clone(&app.metrics), router: router(app), options };
    if let Some(network) = &network {
        tracing::info!(address = %network.address, tls = network.tls.is_some(), "listening");
    }
    let task = tokio::spawn(server.run(listener, network, stopped));
    Ok(ServerHandle { bound, address, stop: Some(stop), task: Some(task) })
}

/// A mounted control socket.
///
/// Dropping it stops accepting, lets open requests finish in the background and takes the socket away.
#[must_use = "the control socket is served for as long as this handle lives"]
#[derive(Debug)]
pub struct ServerHandle {
    bound: Bound,
    address: Option<SocketAddr>,
    stop: Option<watch::Sender<()>>,
    task: Option<JoinHandle<()>>,
}

impl ServerHandle {
    /// The path of the socket.
    pub fn socket(&self) -> &Path {
        self.bound.path()
    }

    /// The address that is listened on, with the port that was taken; none without a network listener.
    pub fn address(&self) -> Option<SocketAddr> {
        self.address
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
    async fn run(self, listener: UnixListener, network: Option<Listening>, mut stopped: watch::Receiver<()>) {
        let places = Arc::new(Semaphore::new(self.options.connections_max));
        let network_places = Arc::new(Semaphore::new(self.options.network_connections_max));
        let graceful = GracefulShutdown::new();
        let mut connections = JoinSet::new();
        loop {
            let accepted = tokio::select! {
                accepted = listener.accept() => accepted.map(|(stream, _)| Came::Socket(stream)),
                accepted = from_network(network.as_ref()) => accepted,
                Some(_) = connections.join_next() => continue,
                _ = stopped.changed() => break,
            };
            let came = match accepted {
                Ok(came) => came,
                Err(error) => {
                    // No descriptor or no memory: those who are served will give some back.
                    tracing::warn!(%error, "cannot accept a connection");
                    sleep(ACCEPT_REST).await;
                    continue;
                }
            };
            let wider = match &came {
                Came::Socket(_) => Ok(None),
                Came::Network(..) => Arc::clone(&network_places).try_acquire_owned().map(Some),
            };
            match (wider, Arc::clone(&places).try_acquire_owned()) {
                (Ok(wider), Ok(place)) => {
                    let counted = self.metrics.connection();
                    let served = self.serve(came, graceful.watcher());
                    connections.spawn(async move {
                        served.await;
                        drop((wider, place, counted));
                    });
                }
                (Err(_), _) => {
                    tracing::warn!(max = self.options.network_connections_max, "refused a connection of the network");
                    came.refuse();
                }
                (_, Err(_)) => {
                    tracing::warn!(max = self.options.connections_max, "refused a connection");
                    came.refuse();
                }
            }
        }
        drop((listener, network));
        if timeout(self.options.grace, graceful.shutdown()).await.is_err() {
            tracing::warn!(open = connections.len(), "closed connections that did not end in time");
        }
        connections.shutdown().await;
        self.gate.writes_finished().await;
    }

    /// Serves one connection to its end.
    fn serve(&self, came: Came, watcher: Watcher) -> impl Future<Output = ()> + Send + 'static {
        let speaking = Speaking { router: self.router.clone(), options: self.options.clone(), watcher };
        async move {
            match came {
                Came::Socket(stream) => {
                    let peer = Peer { uid: stream.peer_cred().ok().map(|peer| peer.uid()), trusted: true };
                    speaking.speak(stream, peer).await;
                }
                Came::Network(stream, None) => speaking.speak(stream, Peer::default()).await,
                Came::Network(stream, Some(tls)) => match timeout(HANDSHAKE_TIMEOUT, tls.accept(stream)).await {
                    Ok(Ok(stream)) => speaking.speak(stream, Peer::default()).await,
                    Ok(Err(error)) => tracing::debug!(%error, "a TLS handshake failed"),
                    Err(_) => tracing::debug!("a TLS handshake took too long"),
                },
            }
        }
    }
}

/// A connection that was accepted.
enum Came {
    Socket(UnixStream),
    Network(TcpStream, Option<TlsIdentity>),
}

impl Came {
    /// Says that there are too many. A fresh connection has room for this; if not, or over TLS, the client sees it close.
    fn refuse(self) {
        match self {
            Self::Socket(stream) => drop(stream.try_write(&too_many())),
            Self::Network(stream, None) => drop(stream.try_write(&too_many())),
            Self::Network(_, Some(_)) => {}
        }
    }
}

/// The next connection from the network; none ever comes if nobody listens there.
async fn from_network(network: Option<&Listening>) -> std::io::Result<Came> {
    match network {
        Some(network) => network.accept().await.map(|stream| Came::Network(stream, network.tls.clone())),
        None => std::future::pending().await,
    }
}

/// What speaks HTTP over a connection.
struct Speaking {
    router: Router,
    options: ServeOptions,
    watcher: Watcher,
}

impl Speaking {
    async fn speak<S: AsyncRead + AsyncWrite + Send + 'static>(self, stream: S, peer: Peer) {
        let Self { router, options, watcher } = self;
        let mut stream = TimeoutStream::new(stream);
        stream.set_write_timeout(Some(options.write_timeout));
        let service = service_fn(move |mut request: hyper::Request<Incoming>| {
            request.extensions_mut().insert(peer);
            let answered = router.clone().oneshot(request.map(Body::new));
            async move { answered.await as Result<Response, Infallible> }
        });
        let connection = http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(options.header_timeout)
            .max_headers(HEADERS_MAX)
            .max_buf_size(HEAD_BYTES_MAX)
            .serve_connection(TokioIo::new(Box::pin(stream)), service);
        // A connection ends with an error if the client is slow, gone or speaks no HTTP: each is the client's affair.
        if let Err(error) = watcher.watch(connection).await {
            tracing::debug!(%error, "connection ended");
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
