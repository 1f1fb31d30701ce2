//! Discovery: whether a server holds the store of a folder, told by its socket.
//!
//! Never here: asking it for more than whether it is there.

use std::path::Path;

use holdfast_reconciler::error::Problem;

use crate::call::failure;
use crate::client::Client;
use crate::socket::SOCKET_NAME;
use crate::transport::ExchangeError;

/// What a store's folder says about a server.
#[derive(Debug)]
pub enum Discovery {
    /// A server answers.
    Server(Client),
    /// A server was there and is gone: its socket is left and nobody answers.
    Stale,
    /// There is no socket.
    None,
}

/// Looks for a server in a store's folder.
///
/// # Errors
/// Somebody answers with whom we cannot speak: a server of another protocol, something that is no server, one that does not
/// answer in time, or a socket of another user.
///
/// # Panics
/// On a thread that drives asynchronous tasks; see [`Client`].
pub fn discover(store_dir: impl AsRef<Path>) -> Result<Discovery, Problem> {
    let client = Client::new(store_dir.as_ref().join(SOCKET_NAME));
    // A server that ends in this moment takes the connection and does not answer: the next look finds nobody.
    let answer = match client.greet() {
        Err(ExchangeError::Lost { .. }) => client.greet(),
        answer => answer,
    };
    match answer {
        Ok(_) => Ok(Discovery::Server(client)),
        Err(ExchangeError::Absent) => Ok(Discovery::None),
        Err(ExchangeError::Stale) => Ok(Discovery::Stale),
        Err(error) => Err(failure(client.endpoint(), &error, false)),
    }
}
