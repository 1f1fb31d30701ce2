//! What the parts of one load share: the files read so far, the findings, the resources.
//!
//! Every file of a project is read through here, once, within one budget of bytes. Never here: a grammar.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::rc::Rc;
use std::sync::Arc;

use super::draft::{Draft, Drafts};
use super::findings::{E_FILE, E_NOT_UTF8, E_OUTSIDE_PROJECT, E_PROVIDER_KEY_CLASH, E_TOO_LARGE, Finding, Findings};
use super::fingerprint::Fingerprint;
use super::limits::{FILES_MAX, PROJECT_BYTES_MAX, SECRET_BYTES_MAX};
use super::node::Node;
use super::reference::{Environment, reference};
use super::skills::Skill;
use super::source::{Files, SourceFile, Spot, shown};
use super::tree::{FileTree, ReadError, join, parent};
use crate::agents::catalogue::Catalogue;
use crate::agents::kinds;
use crate::desired::{SecretInput, SecretOrigin, SecretText};
use crate::own_kind::OwnKind;
use crate::resource::KindName;

/// The state of one load.
pub(crate) struct Context<'c> {
    pub(crate) tree: &'c dyn FileTree,
    environment: &'c Environment,
    pub(crate) files: Files,
    pub(crate) findings: Findings,
    pub(crate) drafts: Drafts,
    pub(crate) kinds: KindNames,
    pub(crate) catalogue: Catalogue,
    pub(crate) fingerprint: Fingerprint,
    /// The project's own kinds, each with its place.
    pub(crate) own_kinds: BTreeMap<KindName, (OwnKind, Spot)>,
    /// The ids of all agents, for references to them.
    pub(crate) agents: BTreeSet<String>,
    /// The names in folders of which more than one thing was looked for; none if that is not known.
    names: HashMap<String, Option<HashSet<String>>>,
    /// Folders of which one thing was looked for.
    looked_into: HashSet<String>,
    /// The names in folders that were looked into for what a missing one may have meant.
    pub(crate) neighbours: HashMap<String, Rc<[String]>>,
    /// The skills of each folder that was read.
    pub(crate) skills: HashMap<String, Rc<[Skill]>>,
    provider_keys: HashMap<String, (String, Spot)>,
    bytes_left: u64,
    files_left: usize,
}

/// The names of the built-in kinds, validated once.
pub(crate) struct KindNames {
    pub(crate) agent: KindName,
    pub(crate) settings: KindName,
    pub(crate) platform: KindName,
    pub(crate) entity_type: KindName,
    pub(crate) relationship_type: KindName,
    pub(crate) watcher: KindName,
    pub(crate) connector_definition: KindName,
    pub(crate) auth_profile: KindName,
    pub(crate) connection: KindName,
    pub(crate) feed: KindName,
    pub(crate) provider: KindName,
    pub(crate) secret: KindName,
}

impl KindNames {
    fn new() -> Self {
        let name = |name| KindName::new(name).expect("the built-in kinds have valid names");
        Self {
            agent: name(kinds::AGENT),
            settings: name(kinds::SETTINGS),
            platform: name(kinds::PLATFORM),
            entity_type: name(kinds::ENTITY_TYPE),
            relationship_type: name(kinds::RELATIONSHIP_TYPE),
            watcher: name(kinds::WATCHER),
            connector_definition: name(kinds::CONNECTOR_DEFINITION),
            auth_profile: name(kinds::AUTH_PROFILE),
            connection: name(kinds::CONNECTION),
            feed: name(kinds::FEED),
            provider: name(kinds::PROVIDER),
            secret: name(kinds::SECRET),
        }
    }
}

impl<'c> Context<'c> {
    pub(crate) fn new(tree: &'c dyn FileTree, environment: &'c Environment) -> Self {
        Self {
            tree,
            environment,
            files: Files::default(),
            findings: Findings::default(),
            drafts: Drafts::default(),
            kinds: KindNames::new(),
            catalogue: Catalogue::builtin(),
            fingerprint: Fingerprint::default(),
            own_kinds: BTreeMap::new(),
            agents: BTreeSet::new(),
            names: HashMap::new(),
            looked_into: HashSet::new(),
            neighbours: HashMap::new(),
            skills: HashMap::new(),
            provider_keys: HashMap::new(),
            bytes_left: PROJECT_BYTES_MAX,
            files_left: FILES_MAX,
        }
    }

    /// Reads the bytes of a file within the project's budget.
    pub(crate) fn bytes(&mut self, path: &str, limit: u64) -> Result<Vec<u8>, ReadError> {
        if self.files_left == 0 {
            return Err(ReadError::TooManyFiles { limit: FILES_MAX });
        }
        let bytes = self.tree.read(path, limit.min(self.bytes_left))?;
        self.files_left -= 1;
        self.bytes_left -= bytes.len() as u64;
        self.fingerprint.add(path, &bytes);
        Ok(bytes)
    }

    /// Whether there is nothing at a path, as far as the names of its folder tell. They are listed once two things of one folder
    /// were looked for: thousands of agents without folders cost one look.
    pub(crate) fn is_absent(&mut self, path: &str) -> bool {
        let folder = parent(path);
        let name = path.rsplit('/').next().unwrap_or(path);
        // Elsewhere a file system may find what is written in another case.
        if !cfg!(target_os = "linux") || path.is_empty() || self.looked_into.insert(folder.to_owned()) {
            return false;
        }
        if !self.names.contains_key(folder) {
            let names = match self.tree.list(folder) {
                Ok(items) => Some(items.into_iter().map(|item| item.name).collect()),
                Err(ReadError::NotFound) => Some(HashSet::new()),
                Err(_) => None,
            };
            self.names.insert(folder.to_owned(), names);
        }
        self.names.get(folder).is_some_and(|names| names.as_ref().is_some_and(|names| !names.contains(name)))
    }

    /// Reads a text; `None` after an error was reported. `spot` is the place that names the file.
    pub(crate) fn read(&mut self, path: &str, limit: u64, spot: Option<Spot>) -> Option<(u32, Arc<SourceFile>)> {
        match self.bytes(path, limit) {
            Ok(bytes) => self.decode(path, bytes),
            Err(error) => {
                self.unreadable(path, &error, spot);
                None
            }
        }
    }

    /// Takes a file's bytes as a text.
    pub(crate) fn decode(&mut self, path: &str, bytes: Vec<u8>) -> Option<(u32, Arc<SourceFile>)> {
        match String::from_utf8(bytes) {
            Ok(text) => Some(self.files.add(path.to_owned(), text)),
            Err(error) => {
                let at = error.utf8_error().valid_up_to();
                let mut bytes = error.into_bytes();
                bytes.truncate(at);
                let valid = String::from_utf8(bytes).unwrap_or_default();
                let (file, _) = self.files.add(path.to_owned(), valid);
                let spot = Spot { file, start: at as u32, end: at as u32 };
                let message = format!("`{}` is not UTF-8: byte {at} starts no character", shown(path));
                let help = "save the file as UTF-8";
                self.findings.report(Finding::error(E_NOT_UTF8, message).at_concealed(spot, "").help(help));
                None
            }
        }
    }

    /// Reads a text that becomes one field, trimmed.
    pub(crate) fn text_field(&mut self, path: &str, limit: u64, from: Spot) -> Option<(String, Spot)> {
        let (file, source) = self.read(path, limit, Some(from))?;
        Some((source.text.trim_start_matches('\u{feff}').trim().to_owned(), Spot { file, start: 0, end: 0 }))
    }

    /// Reports a file that cannot be read.
    pub(crate) fn unreadable(&mut self, path: &str, error: &ReadError, spot: Option<Spot>) {
        let code = match error {
            ReadError::TooLarge { .. } | ReadError::TooManyNames { .. } | ReadError::TooManyFiles { .. } => E_TOO_LARGE,
            ReadError::Outside => E_OUTSIDE_PROJECT,
            ReadError::NotFound
            | ReadError::Dangling
            | ReadError::NotAFile(_)
            | ReadError::NotADirectory
            | ReadError::Refused(_) => E_FILE,
        };
        let finding = Finding::error(code, format!("cannot read `{}`: {error}", shown(path)));
        self.findings.report(match spot {
            Some(spot) => finding.at(spot, "named here"),
            None => finding.in_file(path, ""),
        });
    }

    /// Adds a resource.
    pub(crate) fn add(&mut self, draft: Draft) {
        self.drafts.add(draft, &mut self.findings);
    }

    /// Resolves a sensitive value; a value that cannot be had is left open for the planner.
    pub(crate) fn secret(&mut self, text: &str, spot: Spot) -> SecretInput {
        let origin = reference(text).unwrap_or(SecretOrigin::Literal);
        let value = match &origin {
            SecretOrigin::Literal => Some(text.to_owned()),
            SecretOrigin::Sealed => None,
            SecretOrigin::Env(name) => self.environment.get(name).map(str::to_owned),
            SecretOrigin::File(path) => self.secret_file(path, spot),
        };
        SecretInput { origin, value: value.filter(|value| !value.is_empty()).map(SecretText::new) }
    }

    fn secret_file(&mut self, path: &str, spot: Spot) -> Option<String> {
        let from = if path.starts_with('/') { path.to_owned() } else { join(parent(self.files.name(spot)), path) };
        match self.tree.read_secret(&from, SECRET_BYTES_MAX).map(String::from_utf8) {
            Ok(Ok(text)) => Some(text.trim_end_matches(['\r', '\n']).to_owned()),
            Ok(Err(_)) => {
                let message = format!("`{}` is not UTF-8", shown(path));
                self.findings.report(Finding::error(E_NOT_UTF8, message).at(spot, "named here"));
                None
            }
            // Like a variable that is not set: the planner knows whether the store has the value already.
            Err(ReadError::NotFound) => None,
            Err(error) => {
                self.unreadable(path, &error, Some(spot));
                None
            }
        }
    }

    /// Declares the shared secret of a provider; agents may share it if they write the same text.
    pub(crate) fn provider_key(&mut self, provider: &str, value: &Node<'_>, spot: Spot) {
        let Some(text) = value.text().map(str::trim).filter(|text| !text.is_empty()) else { return };
        match self.provider_keys.get(provider) {
            Some((known, _)) if known == text => {}
            Some((_, first)) => {
                let message = format!("two agents have different keys for the provider `{}`", shown(provider));
                let finding = Finding::error(E_PROVIDER_KEY_CLASH, message).at_concealed(spot, "this key");
                let help = "an organisation has one key for a provider; use a `secret_ref` for an agent's own key";
                self.findings.report(finding.at_concealed(*first, "is not the one here").help(help));
            }
            None => {
                let input = self.secret(text, spot);
                let mut draft = Draft::new(&self.kinds.secret, kinds::provider_secret(provider), spot);
                draft.secret(kinds::SECRET_VALUE, input, spot);
                self.add(draft);
                self.provider_keys.insert(provider.to_owned(), (text.to_owned(), spot));
            }
        }
    }
}
