//! A server on the network: its address from `--server`, the token from a file or the environment, and whose certificates are
//! taken. The only user of `rustls_native_certs`.
//!
//! Never here: what is asked.

use std::fs::File;
use std::io::Read as _;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

use holdfast_reconciler::desired::SecretText;
use holdfast_server::{Client, TlsTrust};

use crate::error::Failure;
use crate::setting::Setting;

/// The variable that holds an access token.
const TOKEN: &str = "HOLDFAST_TOKEN";
/// A token is far shorter; anything larger is another file.
const TOKEN_FILE_BYTES_MAX: u64 = 4096;

/// The client of a server on the network. Nothing is connected yet.
pub(crate) fn client(setting: &Setting, url: &str) -> Result<Client, Failure> {
    let token = token(setting)?;
    // The system's authorities are many: they are read only where they are needed.
    let trust = match url.starts_with("https:") {
        true => TlsTrust::of(rustls_native_certs::load_native_certs().certs.iter().map(|found| found.to_vec())).ok(),
        false => None,
    };
    Ok(Client::remote(url, token.as_ref(), trust.as_ref())?)
}

fn token(setting: &Setting) -> Result<Option<SecretText>, Failure> {
    match &setting.global.token_file {
        Some(path) => read(&setting.path(path)).map(Some),
        None => Ok(setting.variable(TOKEN).map(|token| SecretText::new(token.trim().to_owned()))),
    }
}

fn read(path: &Path) -> Result<SecretText, Failure> {
    let failed = |error: &std::io::Error| {
        Failure::io("E_TOKEN_FILE", format!("cannot read the token file `{}`", path.display()), error)
    };
    // Looked at before it is opened: to open a pipe waits for who writes into it.
    let found = std::fs::metadata(path).map_err(|error| failed(&error))?;
    if !found.is_file() {
        let message = format!("the token file `{}` is no regular file", path.display());
        return Err(
            Failure::new("E_TOKEN_FILE", message).help("name the file itself, or give the token in `HOLDFAST_TOKEN`")
        );
    }
    let file = File::open(path).map_err(|error| failed(&error))?;
    let mode = found.mode() & 0o777;
    if mode & 0o077 != 0 {
        let message = format!("the token file `{}` can be read by others (mode {mode:03o})", path.display());
        return Err(Failure::new("E_TOKEN_FILE", message).help(format!("run `chmod 600 {}`", path.display())));
    }
    let mut text = String::with_capacity(TOKEN_FILE_BYTES_MAX as usize + 1);
    file.take(TOKEN_FILE_BYTES_MAX).read_to_string(&mut text).map_err(|error| failed(&error))?;
    let token = text.trim();
    if token.is_empty() {
        let message = format!("the token file `{}` is empty", path.display());
        return Err(Failure::new("E_TOKEN_FILE", message).help("write the token that `reconcile token create` printed"));
    }
    Ok(SecretText::new(token.to_owned()))
}
