//! The actuator of this example: keeps the files of a folder equal to resources of the kind `file`.
//!
//! A file is written beside its place and renamed, so that it is whole or not there, and it is durable before its resource counts as
//! made. The fields: `content`, and `after`, the names of files that must be there before.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{ErrorKind, Write};
use std::path::{Path, PathBuf};

use holdfast_reconciler::actuator::{Actuator, ActuatorError, Errand, Observed, Wanted};
use holdfast_reconciler::resource::{Address, KindName, ResourceName};
use serde_json::json;

/// Keeps files.
pub(crate) struct Files {
    kind: KindName,
    folder: PathBuf,
}

impl Files {
    /// Keeps the files of `folder`, with a folder in it for each organisation.
    pub(crate) fn new(kind: KindName, folder: impl Into<PathBuf>) -> Self {
        Self { kind, folder: folder.into() }
    }

    /// Where a file goes, and where it is written before.
    fn places(&self, errand: &Errand) -> Result<(PathBuf, PathBuf), ActuatorError> {
        let name = errand.address.name.as_str();
        // A name that a manifest declares has none of these; the kv interface and other programs can write any.
        if name.starts_with('.') || name.contains('/') || name.len() > 200 {
            return Err(ActuatorError::stalled("name", format!("`{name}` is no name for a file here")));
        }
        let folder = self.folder.join(errand.org.as_str());
        Ok((folder.join(name), folder.join(format!(".{name}.part"))))
    }
}

impl Actuator for Files {
    fn kind(&self) -> &KindName {
        &self.kind
    }

    fn needs(&self, wanted: &Wanted) -> Vec<Address> {
        let after = wanted.fields.get("after").and_then(|after| after.as_array()).into_iter().flatten();
        let name = |name: &serde_json::Value| ResourceName::new(name.as_str()?).ok();
        after.filter_map(name).map(|name| Address::new(self.kind.clone(), name)).collect()
    }

    fn observe(&self, errand: &Errand) -> Result<Observed, ActuatorError> {
        let (place, _) = self.places(errand)?;
        match fs::read_to_string(&place) {
            Ok(content) => Ok(Observed::Fields(BTreeMap::from([("content".to_owned(), json!(content))]))),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(Observed::Absent),
            // Not text: somebody wrote something else there.
            Err(error) if error.kind() == ErrorKind::InvalidData => {
                Ok(Observed::Fields(BTreeMap::from([("content".to_owned(), json!(null))])))
            }
            Err(error) => Err(failed("read", &place, &error)),
        }
    }

    fn make(&self, errand: &Errand, wanted: &Wanted) -> Result<(), ActuatorError> {
        let (place, part) = self.places(errand)?;
        let content = wanted.fields.get("content").and_then(|content| content.as_str()).unwrap_or_default();
        let folder = place.parent().unwrap_or(&self.folder);
        fs::create_dir_all(folder).map_err(|error| failed("make", folder, &error))?;
        let written = File::create(&part).and_then(|mut file| {
            file.write_all(content.as_bytes())?;
            file.sync_all()
        });
        written.and_then(|()| fs::rename(&part, &place)).map_err(|error| failed("write", &place, &error))?;
        sync(folder)
    }

    fn remove(&self, errand: &Errand) -> Result<(), ActuatorError> {
        let (place, part) = self.places(errand)?;
        for path in [&part, &place] {
            match fs::remove_file(path) {
                Err(error) if error.kind() != ErrorKind::NotFound => return Err(failed("remove", path, &error)),
                Ok(()) | Err(_) => {}
            }
        }
        match place.parent() {
            Some(folder) if folder.is_dir() => sync(folder),
            Some(_) | None => Ok(()),
        }
    }
}

fn sync(folder: &Path) -> Result<(), ActuatorError> {
    File::open(folder).and_then(|folder| folder.sync_all()).map_err(|error| failed("sync", folder, &error))
}

/// What only somebody can mend is stalled: it is shown, and not tried again and again.
fn failed(what: &str, path: &Path, error: &std::io::Error) -> ActuatorError {
    let message = format!("cannot {what} `{}`: {error}", path.display());
    match error.kind() {
        ErrorKind::PermissionDenied
        | ErrorKind::ReadOnlyFilesystem
        | ErrorKind::NotADirectory
        | ErrorKind::IsADirectory => ActuatorError::stalled("denied", message),
        _ => ActuatorError::transient(message),
    }
}
