//! A connection of a follower's own runtime to its server, made anew when it was lost.
//!
//! Never here: what is asked, and retries beyond the one that a lost connection needs.

use crate::endpoint::Endpoint;
use crate::transport::{ExchangeError, Incoming, Outgoing, Sender, connect, read_whole, send};

/// A connection that is kept.
pub(super) struct Line {
    endpoint: Endpoint,
    open: Option<Sender>,
}

impl Line {
    pub(super) fn new(endpoint: Endpoint) -> Self {
        Self { endpoint, open: None }
    }

    /// Sends a request that may be sent twice.
    pub(super) async fn exchange(&mut self, request: Outgoing) -> Result<Incoming, ExchangeError> {
        if let Some(open) = self.open.take()
            && let Ok(answer) = self.once(open, request.clone()).await
        {
            return Ok(answer);
        }
        // A kept connection may have ended while nobody looked.
        let fresh = connect(&self.endpoint).await?;
        self.once(fresh, request).await
    }

    async fn once(&mut self, mut sender: Sender, request: Outgoing) -> Result<Incoming, ExchangeError> {
        let answer = read_whole(send(&mut sender, request).await?).await?;
        self.open = Some(sender);
        Ok(answer)
    }
}
