//! The certificate of a server on the network: read from its files when the server starts, and again when they hold another one, so that
//! a renewal needs no restart.
//!
//! Never here: what a certificate is good for (the server crate checks that), and listening.

use std::path::{Path, PathBuf};
use std::time::Duration;

use holdfast_engine::{Clock, Timestamp};
use holdfast_reconciler::error::{Problem, ProblemKind};
use holdfast_server::{TlsIdentity, WrongTime};
use tokio::signal::unix::{SignalKind, signal};
use tokio::time::timeout;
use zeroize::Zeroizing;

use super::Run;
use crate::args::ServeArgs;
use crate::clock;
use crate::error::Failure;

/// How often the files are looked at without being told to.
const LOOK_EVERY: Duration = Duration::from_secs(60);

/// A certificate in use, and the files that it came from.
pub(super) struct Certificate {
    files: Files,
    chain: Vec<u8>,
    identity: TlsIdentity,
    clock: Clock,
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
        Ok(Some(Self { files, chain, identity, clock: clock::system() }))
    }

    /// What the server shows; a renewed certificate reaches every clone.
    pub(super) fn identity(&self) -> TlsIdentity {
        self.identity.clone()
    }

    /// Takes a renewed certificate over, at a hang-up or when its time has come to look, for as long as the runtime lives. What cannot be
    /// used leaves the one that is in use.
    pub(super) fn keep(mut self) -> std::io::Result<()> {
        let mut hangup = signal(SignalKind::hangup())?;
        // Better than none: the clock may be what is wrong, and the files may hold another one in a moment.
        if let Err(wrong) = counts(&self.chain, (self.clock)()) {
            tracing::warn!(file = %self.files.chain.display(), error = %wrong, "clients will refuse the certificate");
        }
        tokio::spawn(async move {
            let mut complained = None;
            loop {
                // Either way the files are looked at: both only wake.
                let _ = timeout(LOOK_EVERY, hangup.recv()).await;
                let (files, chain, now) = (self.files.clone(), self.chain.clone(), (self.clock)());
                let looked = tokio::task::spawn_blocking(move || files.renewed(&chain, now));
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
    /// The certificate that the files hold now, if it is not the one in use. One that does not count now takes no place of another.
    fn renewed(&self, in_use: &[u8], now: Timestamp) -> Result<Option<(Vec<u8>, TlsIdentity)>, Failure> {
        let chain = read(&self.chain)?;
        if chain == in_use {
            return Ok(None);
        }
        let identity = self.identity(&chain)?;
        counts(&chain, now).map_err(|wrong| {
            let message = format!("what is in `{}` is of no use now", self.chain.display());
            let mut problem = Problem::new(ProblemKind::Invalid, "E_TLS", message);
            problem.causes.push(wrong.to_string());
            problem.help("check this machine's clock, and which certificate was installed")
        })?;
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

/// Refuses a chain that does not count at a time, as far as its dates can be read.
fn counts(chain: &[u8], now: Timestamp) -> Result<(), WrongTime> {
    let validity = TlsIdentity::validity(chain).ok().flatten();
    validity.map_or(Ok(()), |validity| validity.check(now))
}

fn read(path: &Path) -> Result<Vec<u8>, Failure> {
    std::fs::read(path).map_err(|error| Failure::io("E_TLS", format!("cannot read `{}`", path.display()), &error))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_certificate_that_does_not_count_now_takes_no_place_of_another() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../testdata/tls");
        let in_use = std::fs::read(root.join("server.pem")).unwrap();
        let looked = |name: &str, now: i64| {
            let files = Files { chain: root.join(name), key: root.join("renewed.key") };
            let renewed = files.renewed(&in_use, Timestamp::from_millis(now * 1000));
            renewed.map(|renewed| renewed.is_some()).map_err(|failure| (failure.problem.code, failure.problem.causes))
        };
        let refused = |why: &str| Err(("E_TLS".to_owned(), vec![why.to_owned()]));
        let now = 1_798_761_600;
        assert_eq!(looked("renewed.pem", now), Ok(true));
        let expired = "the certificate expired at 2020-01-31T00:00:00.000Z, and it is 2027-01-01T00:00:00.000Z by the clock of this machine";
        assert_eq!(looked("expired.pem", now), refused(expired));
        let early = "the certificate counts only from 2090-01-01T00:00:00.000Z on, and it is 2027-01-01T00:00:00.000Z by the clock of this machine";
        assert_eq!(looked("early.pem", now), refused(early));
        assert_eq!(looked("early.pem", 3_786_998_400), Ok(true), "it is taken when its time has come");
    }
}
