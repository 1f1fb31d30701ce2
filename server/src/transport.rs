//! One HTTP exchange with a server, from a thread that may block: connections that are kept, timeouts, bounds, and
//! which failures leave no doubt that the server never saw the request.
//!
//! Never here: routes, bodies, and whether a request is safe to repeat (`client.rs` knows).

use std::io;
use std::path::Path;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use axum::body::Bytes;
use axum::http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode, header};
use http_body_util::{BodyExt, Full, Limited};
use hyper::client::conn::http1::{self, SendRequest};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpStream, UnixStream};
use tokio::runtime::{Builder, Runtime};
use tokio::task::yield_now;
use tokio::time::{sleep, timeout};

use crate::endpoint::{Endpoint, Remote};
use crate::limits::{CLIENT_ANSWER_BYTES_MAX, CLIENT_CHANNELS_KEPT_MAX, CLIENT_IDLE_MAX, CLIENT_RETRY_REST};
use crate::protocol::{PROTOCOL, PROTOCOL_HEADER, Spoken, spoken};
use crate::socket::ShortPath;

/// A request that can be sent more than once.
#[derive(Clone, Debug)]
pub(crate) struct Outgoing {
    pub(crate) method: Method,
    /// Path and query, percent-encoded.
    pub(crate) target: String,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
}

/// A whole answer.
#[derive(Debug)]
pub(crate) struct Incoming {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
}

/// How an answer that comes in pieces ended.
#[derive(Debug)]
pub(crate) enum Streamed {
    /// All pieces were handed on.
    Whole,
    /// Whoever takes the pieces takes no more.
    Stopped(io::Error),
    /// The answer is no success; it was read whole.
    Refused(Incoming),
}

/// Why an exchange failed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ExchangeError {
    /// There is no socket.
    #[error("there is no socket")]
    Absent,
    /// The socket is there and nobody listens on it.
    #[error("nobody answers on the socket")]
    Stale,
    /// The socket cannot be reached.
    #[error("cannot connect to the socket")]
    Connect(#[source] io::Error),
    /// The connection ended; `sent` says whether the server may have seen the request.
    #[error("the connection ended before the answer")]
    Lost { sent: bool, source: Option<hyper::Error> },
    /// No answer came in time; the server may have seen the request.
    #[error("no answer came within {} seconds", .0.as_secs())]
    Silent(Duration),
    /// The answer is larger than the client reads.
    #[error("the answer is larger than {CLIENT_ANSWER_BYTES_MAX} bytes")]
    TooLarge,
    /// The answer does not say that it speaks our protocol.
    #[error("what answers on the socket is no Holdfast server")]
    Foreign,
    /// The server speaks another protocol.
    #[error("the server speaks protocol `{0}`")]
    Protocol(String),
}

impl ExchangeError {
    /// Whether the server cannot have seen the request.
    pub(crate) fn never_sent(&self) -> bool {
        match self {
            Self::Absent | Self::Stale | Self::Connect(_) | Self::Lost { sent: false, .. } => true,
            Self::Lost { sent: true, .. } | Self::Silent(_) | Self::TooLarge | Self::Foreign | Self::Protocol(_) => {
                false
            }
        }
    }

    /// Whether the server went away, so that the same request may find it again.
    pub(crate) fn server_gone(&self) -> bool {
        match self {
            Self::Absent | Self::Stale | Self::Lost { .. } => true,
            Self::Connect(_) | Self::Silent(_) | Self::TooLarge | Self::Foreign | Self::Protocol(_) => false,
        }
    }
}

/// The way to one server, with the connections that are kept open.
#[derive(Debug)]
pub(crate) struct Transport {
    endpoint: Endpoint,
    kept: Mutex<Vec<Channel>>,
}

/// A connection with the runtime that drives it while somebody waits for an answer.
#[derive(Debug)]
struct Channel {
    runtime: Runtime,
    open: Option<(Sender, Instant)>,
}

/// An open connection, with what every request on it says.
#[derive(Debug)]
pub(crate) struct Sender {
    sender: SendRequest<Full<Bytes>>,
    host: HeaderValue,
    authorization: Option<HeaderValue>,
}

/// Bytes both ways.
trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}
impl<S: AsyncRead + AsyncWrite + Send + Unpin> Stream for S {}

impl Transport {
    pub(crate) fn new(endpoint: Endpoint) -> Self {
        Self { endpoint, kept: Mutex::new(Vec::new()) }
    }

    /// Where the server is.
    pub(crate) fn endpoint(&self) -> &Endpoint {
        &self.endpoint
    }

    /// Sends a request on a connection of its own and hands each piece of a good answer to `sink`.
    ///
    /// # Panics
    /// On a thread that drives asynchronous tasks.
    pub(crate) fn stream(
        &self,
        request: Outgoing,
        patience: Duration,
        sink: impl FnMut(&[u8]) -> io::Result<()>,
    ) -> Result<Streamed, ExchangeError> {
        let runtime = Builder::new_current_thread().enable_io().enable_time().build();
        runtime.map_err(ExchangeError::Connect)?.block_on(stream(&self.endpoint, request, patience, sink))
    }

    /// Sends a request and reads the whole answer, once.
    ///
    /// # Panics
    /// On a thread that drives asynchronous tasks.
    pub(crate) fn exchange(&self, request: Outgoing, patience: Duration) -> Result<Incoming, ExchangeError> {
        let kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner).pop();
        let mut channel = match kept {
            Some(channel) => channel,
            None => {
                let runtime = Builder::new_current_thread().enable_io().enable_time().build();
                Channel { runtime: runtime.map_err(ExchangeError::Connect)?, open: None }
            }
        };
        let answer = channel.exchange(&self.endpoint, request, patience);
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        if kept.len() < CLIENT_CHANNELS_KEPT_MAX {
            kept.push(channel);
        }
        answer
    }
}

impl Channel {
    fn exchange(
        &mut self,
        endpoint: &Endpoint,
        request: Outgoing,
        patience: Duration,
    ) -> Result<Incoming, ExchangeError> {
        let Self { runtime, open } = self;
        runtime.block_on(async {
            let reused = open.take().filter(|(_, used)| used.elapsed() < CLIENT_IDLE_MAX).map(|(sender, _)| sender);
            let done = timeout(patience, async {
                let mut sender = match still_open(reused).await {
                    Some(sender) => sender,
                    None => connect(endpoint).await?,
                };
                let answer = read_whole(send(&mut sender, request).await?).await?;
                Ok((sender, answer))
            });
            let (sender, answer) = done.await.unwrap_or(Err(ExchangeError::Silent(patience)))?;
            *open = Some((sender, Instant::now()));
            Ok(answer)
        })
    }
}

/// Sends a request and hands on the pieces of a good answer.
async fn stream(
    endpoint: &Endpoint,
    request: Outgoing,
    patience: Duration,
    mut sink: impl FnMut(&[u8]) -> io::Result<()>,
) -> Result<Streamed, ExchangeError> {
    let silent = || ExchangeError::Silent(patience);
    let response = timeout(patience, async {
        let mut sender = connect(endpoint).await?;
        send(&mut sender, request).await
    });
    let response = response.await.map_err(|_| silent())??;
    if !response.status().is_success() {
        return read_whole(response).await.map(Streamed::Refused);
    }
    let mut body = response.into_body();
    while let Some(frame) = timeout(patience, body.frame()).await.map_err(|_| silent())? {
        let frame = frame.map_err(|source| ExchangeError::Lost { sent: true, source: Some(source) })?;
        if let Ok(piece) = frame.into_data()
            && let Err(error) = sink(&piece)
        {
            return Ok(Streamed::Stopped(error));
        }
    }
    Ok(Streamed::Whole)
}

/// A kept connection, if the server has not closed it meanwhile.
async fn still_open(kept: Option<Sender>) -> Option<Sender> {
    let mut kept = kept?;
    // Nothing drove the connection since the last answer; two turns let its task see an end that lies waiting.
    yield_now().await;
    yield_now().await;
    kept.sender.ready().await.ok()?;
    Some(kept)
}

/// Opens a connection; a task of the calling runtime drives it.
pub(crate) async fn connect(endpoint: &Endpoint) -> Result<Sender, ExchangeError> {
    let (stream, host, authorization): (Box<dyn Stream>, _, _) = match endpoint {
        Endpoint::Socket(path) => (Box::new(to_socket(path).await?), HeaderValue::from_static("localhost"), None),
        Endpoint::Network(remote) => {
            let Remote { authority, authorization, .. } = &**remote;
            (to_network(remote).await?, authority.clone(), authorization.clone())
        }
    };
    let lost = |source| ExchangeError::Lost { sent: false, source: Some(source) };
    let (sender, connection) = http1::handshake(TokioIo::new(stream)).await.map_err(lost)?;
    // Its end shows in the sender.
    tokio::spawn(connection);
    Ok(Sender { sender, host, authorization })
}

async fn to_socket(path: &Path) -> Result<UnixStream, ExchangeError> {
    let short = ShortPath::of(path).map_err(unreachable)?;
    loop {
        match UnixStream::connect(short.as_path()).await {
            Ok(stream) => return Ok(stream),
            // The server's queue is full; the caller's patience bounds this.
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => sleep(CLIENT_RETRY_REST).await,
            Err(error) => return Err(unreachable(error)),
        }
    }
}

async fn to_network(remote: &Remote) -> Result<Box<dyn Stream>, ExchangeError> {
    let stream = TcpStream::connect((remote.host.as_str(), remote.port)).await.map_err(unreachable)?;
    stream.set_nodelay(true).map_err(ExchangeError::Connect)?;
    Ok(match &remote.greeting {
        None => Box::new(stream),
        Some(greeting) => Box::new(greeting.connect(stream).await.map_err(ExchangeError::Connect)?),
    })
}

fn unreachable(error: io::Error) -> ExchangeError {
    match error.kind() {
        io::ErrorKind::NotFound => ExchangeError::Absent,
        io::ErrorKind::ConnectionRefused => ExchangeError::Stale,
        _ => ExchangeError::Connect(error),
    }
}

/// Sends a request and reads the head of its answer.
pub(crate) async fn send(
    sender: &mut Sender,
    request: Outgoing,
) -> Result<Response<hyper::body::Incoming>, ExchangeError> {
    let Outgoing { method, target, headers, body } = request;
    let mut request = Request::new(Full::new(body));
    *request.method_mut() = method;
    // A target is made of percent-encoded parts, so it always parses; `/` answers that there is no such route.
    *request.uri_mut() = target.parse().unwrap_or_default();
    *request.headers_mut() = headers;
    request.headers_mut().insert(header::HOST, sender.host.clone());
    if let Some(authorization) = &sender.authorization {
        // A request that shows a token of its own, a worker's, shows that.
        request.headers_mut().entry(header::AUTHORIZATION).or_insert_with(|| authorization.clone());
    }
    request.headers_mut().insert(PROTOCOL_HEADER, HeaderValue::from_static(PROTOCOL));
    let response = sender.sender.try_send_request(request).await.map_err(|mut error| {
        // Given back means that not a byte of it left.
        let sent = error.take_message().is_none();
        match error.into_error() {
            error if error.is_parse() => ExchangeError::Foreign,
            error => ExchangeError::Lost { sent, source: Some(error) },
        }
    })?;
    match spoken(response.headers()) {
        Spoken::Ours => Ok(response),
        Spoken::Unsaid => Err(ExchangeError::Foreign),
        Spoken::Other(version) => Err(ExchangeError::Protocol(version)),
    }
}

/// Reads the rest of an answer.
pub(crate) async fn read_whole(response: Response<hyper::body::Incoming>) -> Result<Incoming, ExchangeError> {
    let (parts, body) = response.into_parts();
    let body = Limited::new(body, CLIENT_ANSWER_BYTES_MAX).collect().await.map_err(|error| match error.downcast() {
        Ok(source) => ExchangeError::Lost { sent: true, source: Some(*source) },
        Err(_) => ExchangeError::TooLarge,
    })?;
    Ok(Incoming { status: parts.status, headers: parts.headers, body: body.to_bytes() })
}
