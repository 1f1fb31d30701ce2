//! TLS for the network: a server's identity, whom a client trusts, and the two handshakes. The only user of `tokio_rustls`.
//!
//! Never here: files, the environment, and what is said over a connection.

use std::fmt;
use std::io;
use std::sync::{Arc, PoisonError, RwLock};

use holdfast_engine::Timestamp;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use tokio_rustls::rustls::{self, CertificateError, ClientConfig, RootCertStore, ServerConfig};
use tokio_rustls::{TlsAcceptor, TlsConnector, client, server};

use crate::validity::{Validity, WrongTime};

/// Why certificates cannot be used. None of these shows a piece of a key.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TlsError {
    /// There is no certificate in the text.
    #[error("there is no certificate in PEM form")]
    NoCertificate,
    /// There is no private key in the text.
    #[error("there is no private key in PEM form")]
    NoKey,
    /// Certificate and key are of no use, or do not belong together.
    #[error("certificate and key cannot be used together")]
    Unusable(#[source] tokio_rustls::rustls::Error),
    /// The host is no name that a certificate can have.
    #[error("`{0}` is no name or address that a certificate can have")]
    Host(String),
}

/// What a server shows of itself: its certificate chain and its private key. All clones show the same.
#[derive(Clone)]
pub struct TlsIdentity(Arc<RwLock<Arc<ServerConfig>>>);

impl fmt::Debug for TlsIdentity {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("TlsIdentity").finish_non_exhaustive()
    }
}

impl TlsIdentity {
    /// Takes a certificate chain, the server's own first, and its private key, both in PEM form.
    ///
    /// # Errors
    /// One of them is not there, or they do not belong together.
    pub fn from_pem(certificates: &[u8], key: &[u8]) -> Result<Self, TlsError> {
        let chain = certificates_of(certificates)?;
        let key = PrivateKeyDer::from_pem_slice(key).map_err(|_| TlsError::NoKey)?;
        let config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()
            .map_err(TlsError::Unusable)?
            .with_no_client_auth()
            .with_single_cert(chain, key)
            .map_err(TlsError::Unusable)?;
        Ok(Self(Arc::new(RwLock::new(Arc::new(config)))))
    }

    /// When a certificate chain in PEM form counts; none if its dates cannot be read.
    ///
    /// # Errors
    /// There is none in the text.
    pub fn validity(certificates: &[u8]) -> Result<Option<Validity>, TlsError> {
        let chain = certificates_of(certificates)?;
        Ok(Validity::of_chain(chain.iter().map(AsRef::as_ref)))
    }

    /// Shows what `renewed` shows, to whoever comes from now on. Connections that are open stay as they are.
    pub fn replace(&self, renewed: &Self) {
        let config = renewed.config();
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = config;
    }

    fn config(&self) -> Arc<ServerConfig> {
        Arc::clone(&self.0.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Greets a client.
    pub(crate) async fn accept<S: AsyncRead + AsyncWrite + Unpin>(
        &self,
        stream: S,
    ) -> io::Result<server::TlsStream<S>> {
        TlsAcceptor::from(self.config()).accept(stream).await
    }
}

/// Whose certificates a client takes.
#[derive(Clone)]
pub struct TlsTrust(Arc<ClientConfig>);

impl fmt::Debug for TlsTrust {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("TlsTrust").finish_non_exhaustive()
    }
}

impl TlsTrust {
    /// Trusts these authorities, each a certificate in DER form; those that cannot be read are left out.
    ///
    /// # Errors
    /// None of them can be used.
    pub fn of(authorities: impl IntoIterator<Item = Vec<u8>>) -> Result<Self, TlsError> {
        let mut roots = RootCertStore::empty();
        let (used, _) = roots.add_parsable_certificates(authorities.into_iter().map(CertificateDer::from));
        if used == 0 {
            return Err(TlsError::NoCertificate);
        }
        let config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()
            .map_err(TlsError::Unusable)?
            .with_root_certificates(roots)
            .with_no_client_auth();
        Ok(Self(Arc::new(config)))
    }

    /// Trusts the authorities of a text in PEM form.
    ///
    /// # Errors
    /// There is none in it.
    pub fn from_pem(authorities: &[u8]) -> Result<Self, TlsError> {
        Self::of(certificates_of(authorities)?.into_iter().map(|certificate| certificate.to_vec()))
    }

    /// The way to greet a host.
    pub(crate) fn greeting(&self, host: &str) -> Result<Greeting, TlsError> {
        let name = ServerName::try_from(host.to_owned()).map_err(|_| TlsError::Host(host.to_owned()))?;
        Ok(Greeting { connector: TlsConnector::from(Arc::clone(&self.0)), name })
    }
}

/// How a client greets one host.
#[derive(Clone)]
pub(crate) struct Greeting {
    connector: TlsConnector,
    name: ServerName<'static>,
}

impl fmt::Debug for Greeting {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("Greeting").field("name", &self.name).finish_non_exhaustive()
    }
}

impl Greeting {
    /// Greets the server at the other end and checks that it is the one.
    pub(crate) async fn connect<S: AsyncRead + AsyncWrite + Unpin>(
        &self,
        stream: S,
    ) -> io::Result<client::TlsStream<S>> {
        self.connector.connect(self.name.clone(), stream).await.map_err(dated)
    }
}

/// What rustls says of a certificate at the wrong time has the time in seconds; it becomes a [`WrongTime`], everything else stays.
fn dated(error: io::Error) -> io::Error {
    let time =
        |time: UnixTime| Timestamp::from_millis(i64::try_from(time.as_secs()).unwrap_or(i64::MAX).saturating_mul(1000));
    let wrong = match error.get_ref().and_then(|inner| inner.downcast_ref()) {
        Some(rustls::Error::InvalidCertificate(CertificateError::ExpiredContext { time: now, not_after })) => {
            WrongTime::Expired { until: time(*not_after), now: time(*now) }
        }
        Some(rustls::Error::InvalidCertificate(CertificateError::NotValidYetContext { time: now, not_before })) => {
            WrongTime::Early { from: time(*not_before), now: time(*now) }
        }
        _ => return error,
    };
    io::Error::new(error.kind(), wrong)
}

pub(crate) fn certificates_of(pem: &[u8]) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let found: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem).collect();
    found.ok().filter(|found| !found.is_empty()).ok_or(TlsError::NoCertificate)
}
