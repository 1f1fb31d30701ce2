//! The secret values of a project that was read before: a sealed plan carries references, and its values are read again where
//! they stand now.
//!
//! Never here: the rest of the manifests, which may have changed meanwhile.

use std::sync::Arc;

use super::limits::SECRET_BYTES_MAX;
use super::reference::Environment;
use super::tree::{FileTree, join, parent};
use crate::desired::{Desired, SecretOrigin, SecretText};

/// Fills in every sensitive value by its reference, as far as it has one now.
pub fn reread(desired: &mut Desired, tree: &dyn FileTree, environment: &Environment) {
    for declared in desired.resources.iter_mut().filter(|declared| !declared.secrets.is_empty()) {
        let declared = Arc::make_mut(declared);
        for (path, secret) in &mut declared.secrets {
            let at = declared.field_at.get(path).or_else(|| declared.at.clone());
            let file = at.as_ref().map_or("", |at| &*at.file);
            let value = match &secret.origin {
                SecretOrigin::Env(name) => environment.get(name).map(str::to_owned),
                SecretOrigin::File(named) => read(tree, file, named),
                SecretOrigin::Literal | SecretOrigin::Sealed => None,
            };
            secret.value = value.filter(|value| !value.is_empty()).map(SecretText::new);
        }
    }
}

/// The value in a file that a manifest names relative to itself.
fn read(tree: &dyn FileTree, manifest: &str, named: &str) -> Option<String> {
    let path = if named.starts_with('/') { named.to_owned() } else { join(parent(manifest), named) };
    let bytes = tree.read_secret(&path, SECRET_BYTES_MAX).ok()?;
    Some(String::from_utf8(bytes).ok()?.trim_end_matches(['\r', '\n']).to_owned())
}
