//! Fingerprints of files: what was read, as one digest.
//!
//! Never here: secrets. A file that holds only a secret has no part in any digest.

use std::collections::BTreeMap;

use sha2::{Digest as _, Sha256};

/// The files of a project by name, each with the digest of its bytes.
#[derive(Debug, Default)]
pub(crate) struct Fingerprint(BTreeMap<String, String>);

impl Fingerprint {
    /// Adds a file.
    pub(crate) fn add(&mut self, name: &str, bytes: &[u8]) {
        self.0.insert(name.to_owned(), sha256(&[bytes]));
    }

    /// The digest of all names and bytes, in hex.
    pub(crate) fn finish(&self) -> String {
        let mut parts = Vec::with_capacity(self.0.len() * 4);
        for (name, digest) in &self.0 {
            parts.extend([name.as_bytes(), b"\0", digest.as_bytes(), b"\0"]);
        }
        sha256(&parts)
    }
}

/// The SHA-256 of the parts in a row, in hex.
pub(crate) fn sha256(parts: &[&[u8]]) -> String {
    let mut hash = Sha256::new();
    for part in parts {
        hash.update(part);
    }
    hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect()
}
