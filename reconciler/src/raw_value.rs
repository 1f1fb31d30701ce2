//! A raw value in JSON: text as it is, other bytes in base64.
//!
//! Never here: fields of resources (`value.rs`).

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Serialize};

/// A raw value in JSON: text as it is, other bytes as `{"base64": ".."}`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged, deny_unknown_fields, expecting = "a raw value is a string, or an object with a string base64")]
pub enum RawValue {
    /// UTF-8.
    Text(String),
    /// Anything else.
    Bytes {
        /// In the standard alphabet with padding.
        base64: String,
    },
}

impl RawValue {
    /// The JSON form of a raw value.
    pub fn new(value: &[u8]) -> Self {
        match std::str::from_utf8(value) {
            Ok(text) => Self::Text(text.to_owned()),
            Err(_) => Self::Bytes { base64: STANDARD.encode(value) },
        }
    }

    /// The raw value; none if it is not base64.
    pub fn into_bytes(self) -> Option<Vec<u8>> {
        match self {
            Self::Text(text) => Some(text.into_bytes()),
            Self::Bytes { base64 } => STANDARD.decode(base64).ok(),
        }
    }
}
