//! Flags of `serve`.
//!
//! Never here: what is done with them.

use std::net::SocketAddr;
use std::path::PathBuf;

use clap::builder::NonEmptyStringValueParser;
use clap::{Args, ValueEnum};

use super::Span;

/// The form of log lines.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum LogFormat {
    /// For people.
    #[default]
    Text,
    /// One JSON object for each line.
    Json,
}

/// Flags of `serve`.
#[derive(Clone, Debug, Args)]
pub(crate) struct ServeArgs {
    /// The project's directory
    #[arg(value_name = "DIR")]
    pub(crate) directory: Option<PathBuf>,
    /// Applies the manifests of the directory by itself whenever they change, as far as the project's `loop` allows
    #[arg(long, conflicts_with = "git")]
    pub(crate) watch: bool,
    /// Applies the manifests of this Git repository by itself whenever its branch moves, as far as the project's `loop` allows
    #[arg(long, value_name = "URL", value_parser = NonEmptyStringValueParser::new())]
    pub(crate) git: Option<String>,
    /// The branch of --git [default: the one that the repository's HEAD names]
    #[arg(long, value_name = "BRANCH", requires = "git", value_parser = NonEmptyStringValueParser::new())]
    pub(crate) branch: Option<String>,
    /// The project's folder inside of the repository of --git
    #[arg(long, value_name = "PATH", requires = "git")]
    pub(crate) subdirectory: Option<PathBuf>,
    /// Follows this server instead of holding a store: its address, as in `https://HOST:PORT`, or the folder of its store. Sessions are
    /// answered here, writes are forwarded; --store is the folder of the follower
    #[arg(long, value_name = "SERVER", conflicts_with_all = ["watch", "git", "keep", "keep_for"])]
    pub(crate) follow: Option<String>,
    /// The name under which `status` of the server shows the follower [default: an id]
    #[arg(long, value_name = "NAME", requires = "follow")]
    pub(crate) name: Option<String>,
    /// How many seconds pass between two looks at the manifests [default: 2, with --git 30]
    #[arg(long, value_name = "S", value_parser = clap::value_parser!(u64).range(1..=86_400))]
    pub(crate) interval: Option<u64>,
    /// Listens on this address of the network too, as in `127.0.0.1:8443`; clients show tokens of `reconcile token`
    #[arg(long, value_name = "ADDR", value_parser = listen)]
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
    /// The form of the log on standard error
    #[arg(long, value_name = "FORM", value_enum, default_value_t = LogFormat::Text)]
    pub(crate) log_format: LogFormat,
    /// How often it looks whether something is to be given up
    #[arg(long, value_name = "SPAN", default_value = "1h")]
    pub(crate) compact_every: Span,
}

/// An address to listen on. Names are not looked up: what is listened on must not depend on what a name server says.
fn listen(text: &str) -> Result<SocketAddr, String> {
    let local = text.strip_prefix("localhost:").map(|port| format!("127.0.0.1:{port}"));
    local.as_deref().unwrap_or(text).parse().map_err(|_| {
        let port = text.trim_start_matches(':');
        match port.parse::<u16>() {
            Ok(port) => format!("write the address too: `127.0.0.1:{port}` for this machine, `0.0.0.0:{port}` for all"),
            Err(_) => "write an IP address and a port, as in `127.0.0.1:8443` or `[::]:8443`".to_owned(),
        }
    })
}

#[cfg(test)]
mod tests {
    use super::listen;

    #[test]
    fn an_address_to_listen_on_has_both_its_parts() {
        for (text, address) in [
            ("127.0.0.1:8443", "127.0.0.1:8443"),
            ("localhost:0", "127.0.0.1:0"),
            ("[::1]:8443", "[::1]:8443"),
            ("0.0.0.0:1", "0.0.0.0:1"),
        ] {
            assert_eq!(listen(text).unwrap().to_string(), address);
        }
        for bare in ["8443", ":8443"] {
            assert!(listen(bare).unwrap_err().contains("`127.0.0.1:8443` for this machine"), "{bare}");
        }
        for bad in ["", "localhost", "localhost:", "gateway:8443", "127.0.0.1", "127.0.0.1:99999", "::1:x"] {
            assert!(listen(bad).unwrap_err().contains("as in `127.0.0.1:8443`"), "{bad}");
        }
    }
}
