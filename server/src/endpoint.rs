//! Where a client reaches a server: the Unix socket in a store's folder, or an address on the network, with the token that it
//! shows there.
//!
//! Never here: requests, and keeping connections (`transport.rs`).

use std::fmt;
use std::net::IpAddr;
use std::path::{Path, PathBuf};

use axum::http::{HeaderValue, Uri};
use holdfast_reconciler::desired::SecretText;
use holdfast_reconciler::error::{Problem, ProblemKind};
use zeroize::Zeroizing;

use crate::problem::shown;
use crate::tls::{Greeting, TlsTrust};

/// Where a server is reached.
#[derive(Clone, Debug)]
pub(crate) enum Endpoint {
    /// Its socket.
    Socket(PathBuf),
    /// Its address.
    Network(Box<Remote>),
}

impl fmt::Display for Endpoint {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Socket(path) => write!(out, "{}", path.display()),
            Self::Network(remote) => out.write_str(&remote.url),
        }
    }
}

impl Endpoint {
    /// The socket, if it is one.
    pub(crate) fn socket(&self) -> Option<&Path> {
        match self {
            Self::Socket(path) => Some(path),
            Self::Network(_) => None,
        }
    }
}

/// A server on the network.
#[derive(Clone)]
pub(crate) struct Remote {
    /// As it is shown: scheme and authority.
    url: String,
    pub(crate) host: String,
    pub(crate) port: u16,
    /// The header `Host`.
    pub(crate) authority: HeaderValue,
    pub(crate) greeting: Option<Greeting>,
    /// The header `Authorization`.
    pub(crate) authorization: Option<HeaderValue>,
}

impl fmt::Debug for Remote {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("Remote").field("url", &self.url).finish_non_exhaustive()
    }
}

impl Remote {
    /// Reads `http://HOST:PORT` or `https://HOST:PORT`. In clear nothing but the machine itself is reached, because the token would
    /// go over the network for everybody to read.
    pub(crate) fn new(url: &str, token: Option<&SecretText>, trust: Option<&TlsTrust>) -> Result<Self, Problem> {
        let malformed = || {
            let message = format!("`{}` is no address of a server", shown(url));
            Problem::new(ProblemKind::Invalid, "E_SERVER_URL", message)
                .help("write it as `https://HOST:PORT`, or `http://127.0.0.1:PORT` on this machine")
        };
        let parsed: Uri = url.parse().map_err(|_| malformed())?;
        let authority = parsed.authority().ok_or_else(malformed)?;
        let plain_path = matches!(parsed.path(), "" | "/") && parsed.query().is_none();
        if !plain_path || authority.as_str().contains('@') || authority.host().is_empty() {
            return Err(malformed());
        }
        // A number that is no port must not lead to the usual one.
        let port = match authority.as_str().strip_prefix(authority.host()).unwrap_or_default() {
            "" => None,
            rest => Some(rest.strip_prefix(':').and_then(|port| port.parse::<u16>().ok()).ok_or_else(malformed)?),
        };
        let host = authority.host().trim_start_matches('[').trim_end_matches(']').to_owned();
        let (greeting, usual) = match parsed.scheme_str() {
            Some("https") => {
                let trust = trust.ok_or_else(|| {
                    let message = "there are no certificate authorities to check the server by";
                    Problem::new(ProblemKind::Failed, "E_TLS", message)
                        .help("install the system's, or name a file with `SSL_CERT_FILE`")
                })?;
                let greeting = trust.greeting(&host);
                let greeting =
                    greeting.map_err(|error| Problem::from_error(ProblemKind::Invalid, "E_SERVER_URL", &error))?;
                (Some(greeting), 443)
            }
            Some("http") if is_loopback(&host) => (None, 80),
            Some("http") => {
                let message =
                    format!("`{}` is another machine, and `http` would show your token to the network", shown(url));
                return Err(Problem::new(ProblemKind::Invalid, "E_INSECURE", message).help("use `https`"));
            }
            Some(_) | None => return Err(malformed()),
        };
        Ok(Self {
            url: url.trim_end_matches('/').to_owned(),
            port: port.unwrap_or(usual),
            host,
            authority: HeaderValue::from_str(authority.as_str()).map_err(|_| malformed())?,
            greeting,
            authorization: token.map(authorization).transpose()?,
        })
    }
}

fn is_loopback(host: &str) -> bool {
    host.eq_ignore_ascii_case("localhost") || host.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
}

/// The header that shows a token. No log and no error holds it.
pub(crate) fn authorization(token: &SecretText) -> Result<HeaderValue, Problem> {
    let mut text = Zeroizing::new(String::from("Bearer "));
    text.push_str(token.expose());
    let mut value = HeaderValue::from_str(&text).map_err(|_| {
        Problem::new(ProblemKind::Invalid, "E_ACCESS_TOKEN", "the access token has characters that no token has")
            .help("give it as `reconcile token create` printed it")
    })?;
    value.set_sensitive(true);
    Ok(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn p8_a_token_leaves_the_machine_only_over_tls() {
        let token = SecretText::new("hft_x".to_owned());
        let code =
            |url: &str| Remote::new(url, Some(&token), None).map(|remote| remote.port).map_err(|problem| problem.code);
        for (url, port) in
            [("http://127.0.0.1:81", 81), ("http://localhost", 80), ("http://[::1]:82/", 82), ("http://127.9.9.9:1", 1)]
        {
            assert_eq!(code(url), Ok(port), "{url}");
        }
        for url in ["http://example.org", "http://10.0.0.1:80", "http://0.0.0.0:80", "http://127.0.0.1.example.org"] {
            assert_eq!(code(url), Err("E_INSECURE".to_owned()), "{url}");
        }
        assert_eq!(code("https://example.org"), Err("E_TLS".to_owned()));
        for url in [
            "",
            "x",
            "ftp://a",
            "//a",
            "http://",
            "http://a@127.0.0.1",
            "http://127.0.0.1/a",
            "http://127.0.0.1?a",
            "http://127.0.0.1:99999",
            "http://127.0.0.1:",
            "http://[::1]:0x",
        ] {
            assert_eq!(code(url), Err("E_SERVER_URL".to_owned()), "{url}");
        }
        let shown = format!("{:?}", Remote::new("http://localhost", Some(&token), None).unwrap());
        assert!(!shown.contains("hft_x"), "{shown}");
    }
}
