//! Flags of `serve`.
//!
//! Never here: what is done with them.

use std::net::SocketAddr;
use std::path::PathBuf;

use clap::Args;

use super::Span;

/// Flags of `serve`.
#[derive(Clone, Debug, Args)]
pub(crate) struct ServeArgs {
    /// The project's directory
    #[arg(value_name = "DIR")]
    pub(crate) directory: Option<PathBuf>,
    /// Listens on this address of the network too, as in `127.0.0.1:8443`; clients show tokens of `reconcile token`
    #[arg(long, value_name = "ADDR")]
    pub(crate) listen: Option<SocketAddr>,
    /// The certificate chain for TLS, in PEM form; needed unless the address is a loopback one
    #[arg(long, value_name = "FILE", requires_all = ["listen", "tls_key"])]
    pub(crate) tls_cert: Option<PathBuf>,
    /// The private key of the certificate, in PEM form
    #[arg(long, value_name = "FILE", requires_all = ["listen", "tls_cert"])]
    pub(crate) tls_key: Option<PathBuf>,
    /// Gives up the history but for the newest N commits, and those that --keep-for keeps; without either flag all is kept
    #[arg(long, value_name = "N")]
    pub(crate) keep: Option<u64>,
    /// Gives up the history but for the commits of the last SPAN, as in `30d`, and those that --keep keeps
    #[arg(long, value_name = "SPAN")]
    pub(crate) keep_for: Option<Span>,
    /// How often it looks whether something is to be given up
    #[arg(long, value_name = "SPAN", default_value = "1h")]
    pub(crate) compact_every: Span,
}
