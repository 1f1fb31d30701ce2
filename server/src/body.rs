//! Reading a request's body: bounded by the route, by a budget over all requests, and in time; wiped from memory after use,
//! because some bodies carry secrets.
//!
//! Never here: what a body means.

use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::http::{HeaderMap, header};
use http_body_util::BodyExt;
use serde::de::DeserializeOwned;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant, timeout, timeout_at};
use zeroize::Zeroizing;

use crate::limits::{ALL_BODIES_BYTES_MAX, BODY_TIMEOUT, BODY_UNIT_BYTES};
use crate::problem::json_problem;
use crate::refusal::Refusal;
use crate::strict::Strict;

/// A whole body, with its share of the budget.
pub(crate) struct Bytes {
    bytes: Zeroizing<Vec<u8>>,
    _share: Option<OwnedSemaphorePermit>,
}

impl std::ops::Deref for Bytes {
    type Target = [u8];
    fn deref(&self) -> &[u8] {
        &self.bytes
    }
}

impl Bytes {
    /// Reads the body as JSON. The type of the content does not matter: every JSON route takes nothing but JSON.
    pub(crate) fn json<T: DeserializeOwned>(&self) -> Result<T, Refusal> {
        from_json(self).map_err(|error| json_problem("JSON body", &error).into())
    }
}

/// Reads JSON. A text that is UTF-8 as a whole need not be looked at again string by string.
pub(crate) fn from_json<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, serde_json::Error> {
    match std::str::from_utf8(bytes) {
        Ok(text) => whole(serde_json::Deserializer::from_str(text)),
        // It says where.
        Err(_) => whole(serde_json::Deserializer::from_slice(bytes)),
    }
}

/// Reads one value to the end of its text.
fn whole<'de, R: serde_json::de::Read<'de>, T: DeserializeOwned>(
    mut from: serde_json::Deserializer<R>,
) -> Result<T, serde_json::Error> {
    let value = T::deserialize(Strict(&mut from))?;
    from.end()?;
    Ok(value)
}

/// What reads bodies, with the budget that all of them share.
pub(crate) struct Bodies {
    /// In units of `BODY_UNIT_BYTES`.
    budget: Arc<Semaphore>,
    /// How long the next piece of a body may take.
    patience: Duration,
}

impl Bodies {
    pub(crate) fn new(patience: Duration) -> Self {
        Self { budget: Arc::new(Semaphore::new(ALL_BODIES_BYTES_MAX / BODY_UNIT_BYTES)), patience }
    }

    /// Reads a body of at most `limit` bytes, which must be the whole value as it is.
    pub(crate) async fn read(&self, headers: &HeaderMap, mut body: Body, limit: usize) -> Result<Bytes, Refusal> {
        plain_and_whole(headers)?;
        let announced =
            headers.get(header::CONTENT_LENGTH).and_then(|length| length.to_str().ok()?.parse::<usize>().ok());
        if announced.is_some_and(|length| length > limit) {
            return Err(Refusal::too_large(limit));
        }
        let mut share = Share { budget: &self.budget, permit: None, units: 0 };
        share.grow(announced.unwrap_or(0))?;
        let mut bytes = Zeroizing::new(Vec::with_capacity(announced.unwrap_or(0)));
        let deadline = Instant::now() + BODY_TIMEOUT;
        loop {
            let piece = match timeout_at(deadline, timeout(self.patience, body.frame())).await {
                Ok(Ok(piece)) => piece,
                Ok(Err(_)) | Err(_) => return Err(Refusal::too_slow()),
            };
            let Some(frame) = piece else { break };
            let Ok(data) = frame.map_err(|_| Refusal::broken_body())?.into_data() else { continue };
            if bytes.len() + data.len() > limit {
                return Err(Refusal::too_large(limit));
            }
            share.grow(bytes.len() + data.len())?;
            bytes.extend_from_slice(&data);
        }
        Ok(Bytes { bytes, _share: share.permit })
    }
}

/// Refuses a body that is not what it stands for: a compressed one (RFC 9110, 15.5.16), or a part of one (14.5).
fn plain_and_whole(headers: &HeaderMap) -> Result<(), Refusal> {
    for encoding in headers.get_all(header::CONTENT_ENCODING) {
        let encoding = String::from_utf8_lossy(encoding.as_bytes());
        if !encoding.split(',').all(|coding| coding.trim().eq_ignore_ascii_case("identity")) {
            return Err(Refusal::encoded(&encoding));
        }
    }
    if headers.contains_key(header::CONTENT_RANGE) { Err(Refusal::part()) } else { Ok(()) }
}

/// The part of the budget that one body has taken.
struct Share<'b> {
    budget: &'b Arc<Semaphore>,
    permit: Option<OwnedSemaphorePermit>,
    units: usize,
}

impl Share<'_> {
    /// Takes as much as a body of this length needs. It never waits: two bodies that wait for each other would wait for ever.
    /// What fits the first unit is free, because the number of connections bounds it.
    fn grow(&mut self, length: usize) -> Result<(), Refusal> {
        let needed = length / BODY_UNIT_BYTES;
        if needed <= self.units {
            return Ok(());
        }
        let more = u32::try_from(needed - self.units).unwrap_or(u32::MAX);
        let permit = Arc::clone(self.budget)
            .try_acquire_many_owned(more)
            .map_err(|_| Refusal::busy("too many large requests are being read"))?;
        match &mut self.permit {
            Some(held) => held.merge(permit),
            None => self.permit = Some(permit),
        }
        self.units = needed;
        Ok(())
    }
}
