//! The certificate of a server on the network: read from its files when the server starts, and again when they hold another one, so that
//! a renewal needs no restart.
//!
//! Never here: what a certificate is good for (the server crate checks that), and listening.

use std::path::{Path, PathBuf};
use std::time::Duration;

use holdfast_reconciler::error::{Problem, ProblemKind};
use holdfast_server::TlsIdentity;
use tokio::signal::unix::{SignalKind, signal};
use tokio::time::timeout;
use zeroize::Zeroizing;

use super::Run;
use crate::args::ServeArgs;
use crate::error::Failure;

/// How often the files are looked at without being told to.
const LOOK_EVERY: Duration = Duration::from_secs(60);

/// A certificate in use, and the files that it came from.
pub(super) struct Certificate {
    files: Files,
    chain: Vec<u8>,
    identity: TlsIdentity,
}

#[derive(Clone)]
struct Files {
    chain: PathBuf,
    key: PathBuf,
}

impl Certificate {
    /// Reads what the flags name; none if they name nothing.
    pub(super) fn read(run: &Run, args: &ServeArgs) -> Result<Option<Self>, Failure> {
        let (Some(chain), Some(key)) = (&args.tls_cert, &args.tls_key) else { return Ok(None) };
        let files = Files { chain: run.setting.path(chain), key: run.setting.path(key) };
        let chain = read(&files.chain)?;
        let identity = files.identity(&chain)?;
        Ok(Some(Self { files, chain, identity }))
    }

    /// What the server shows; a renewed certificate reaches every clone.
    pub(super) fn identity(&self) -> TlsIdentity {
        self.identity.clone()
    }

    /// Takes a renewed certificate over, at a hang-up or when its time has come to look, for as long as the runtime lives. What cannot be
    /// used leaves the one that is in use.
    pub(super) fn keep(mut self) -> std::io::Result<()> {
        let mut hangup = signal(SignalKind::hangup())?;
        tokio::spawn(async move {
            let mut complained = None;
            loop {
                // Either way the files are looked at: both only wake.
                let _ = timeout(LOOK_EVERY, hangup.recv()).await;
                let (files, chain) = (self.files.clone(), self.chain.clone());
                let looked = tokio::task::spawn_blocking(move || files.renewed(&chain));
                match looked.await {
                    Ok(Ok(Some((chain, identity)))) => {
                        self.identity.replace(&identity);
                        self.chain = chain;
                        complained = None;
                        tracing::info!(file = %self.files.chain.display(), "took over a renewed certificate");
                    }
                    Ok(Ok(None)) => complained = None,
                    Ok(Err(Failure { problem, .. })) => {
                        let why = std::iter::once(&problem.message).chain(&problem.causes);
                        let why = why.map(String::as_str).collect::<Vec<_>>().join(": ");
                        // Two files are not written at one instant; what stays so is said once.
                        if complained.as_ref() != Some(&why) {
                            tracing::warn!(error = why, "the certificate in use stays");
                        }
                        complained = Some(why);
                    }
                    // A panic was reported by its hook.
                    Err(_) => {}
                }
            }
        });
        Ok(())
    }
}

impl Files {
    /// The certificate that the files hold now, if it is not the one in use.
    fn renewed(&self, in_use: &[u8]) -> Result<Option<(Vec<u8>, TlsIdentity)>, Failure> {
        let chain = read(&self.chain)?;
        if chain == in_use {
            return Ok(None);
        }
        let identity = self.identity(&chain)?;
        Ok(Some((chain, identity)))
    }

    fn identity(&self, chain: &[u8]) -> Result<TlsIdentity, Failure> {
        let key = Zeroizing::new(read(&self.key)?);
        let identity = TlsIdentity::from_pem(chain, &key).map_err(|error| {
            let mut problem = Problem::from_error(ProblemKind::Invalid, "E_TLS", &error);
            let Self { chain, key } = self;
            problem.message = format!("{} (`{}`, `{}`)", problem.message, chain.display(), key.display());
            problem.help(
                "`--tls-cert` takes the server's certificate and those between it and its authority, `--tls-key` its key",
            )
        })?;
        Ok(identity)
    }
}

fn read(path: &Path) -> Result<Vec<u8>, Failure> {
    std::fs::read(path).map_err(|error| Failure::io("E_TLS", format!("cannot read `{}`", path.display()), &error))
}
