//! Fingerprints of files: what was read, as one digest.
//!
//! Never here: secrets. A file that holds only a secret has no part in any digest.

use std::collections::BTreeMap;

use holdfast_engine::Digest;

/// The files of a project by name, each with the digest of its bytes.
#[derive(Debug, Default)]
pub(crate) struct Fingerprint(BTreeMap<String, String>);

impl Fingerprint {
    /// Adds a file.
    pub(crate) fn add(&mut self, name: &str, bytes: &[u8]) {
        self.0.insert(name.to_owned(), Digest::of(bytes).to_string());
    }

    /// The digest of all names and bytes, in hex.
    pub(crate) fn finish(&self) -> String {
        let parts: Vec<&[u8]> = self.0.iter().flat_map(|(name, digest)| [name.as_bytes(), digest.as_bytes()]).collect();
        Digest::of_parts("holdfast manifests", &parts).to_string()
    }
}
