//! The network side of a server: the address it listens on, and the rule that nothing leaves the machine without TLS.
//!
//! Never here: who may do what (`access.rs`), and serving a connection (`serve.rs`).

use std::net::SocketAddr;

use tokio::net::{TcpListener, TcpStream};

use crate::tls::TlsIdentity;

/// Where a server listens beside its socket. Every request there needs an access token.
#[derive(Clone, Debug)]
pub struct Listen {
    /// The address; port 0 takes a free one.
    pub address: SocketAddr,
    /// The server's identity; without it only a loopback address is listened on.
    pub tls: Option<TlsIdentity>,
}

/// Why a server cannot listen.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ListenError {
    /// Tokens and secrets would go over the network in clear.
    #[error("`{0}` is no loopback address, and there is no certificate for TLS")]
    Insecure(SocketAddr),
    /// The address cannot be listened on.
    #[error("cannot listen on `{address}`")]
    Bind {
        /// The address.
        address: SocketAddr,
        /// Why.
        source: std::io::Error,
    },
}

impl ListenError {
    /// What to do about it.
    pub fn help(&self) -> &'static str {
        match self {
            Self::Insecure(_) => "give a certificate and its key, or listen on 127.0.0.1",
            Self::Bind { .. } => "choose an address of this machine and a port that nobody has",
        }
    }
}

/// An address that is listened on.
#[derive(Debug)]
pub(crate) struct Listening {
    listener: TcpListener,
    pub(crate) address: SocketAddr,
    pub(crate) tls: Option<TlsIdentity>,
}

impl Listening {
    /// Begins to listen.
    pub(crate) async fn begin(listen: &Listen) -> Result<Self, ListenError> {
        let Listen { address, tls } = listen.clone();
        if tls.is_none() && !address.ip().is_loopback() {
            return Err(ListenError::Insecure(address));
        }
        let failed = |source| ListenError::Bind { address, source };
        let listener = TcpListener::bind(address).await.map_err(failed)?;
        let address = listener.local_addr().map_err(failed)?;
        Ok(Self { listener, address, tls })
    }

    /// The next connection.
    pub(crate) async fn accept(&self) -> std::io::Result<TcpStream> {
        let (stream, _) = self.listener.accept().await?;
        // Answers are written whole: waiting for more to send with them only delays them.
        stream.set_nodelay(true)?;
        Ok(stream)
    }
}
