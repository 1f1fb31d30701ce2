//! Fields that the caller takes over from whoever set them: which of a row are meant, and what is said of those that came
//! to nothing.
//!
//! Never here: whether a field may be taken; `diff.rs` compares the revision.

use std::collections::BTreeMap;

use holdfast_engine::Revision;

use super::Planner;
use crate::diagnostic::Diagnostic;
use crate::error::{Problem, ProblemKind};
use crate::pasted::quoted;
use crate::plan::Blocked;
use crate::resource::Address;
use crate::suggest;
use crate::take::Take;

impl<'p> Planner<'p> {
    /// The fields of a resource that are to be taken, each with the revision that the caller saw.
    pub(super) fn takes(&self, address: &Address) -> BTreeMap<&'p str, Revision> {
        let takes = self.input.options.take.iter().filter(|take| take.address == *address);
        takes.map(|take| (take.field.as_str(), take.revision)).collect()
    }

    /// Refuses a take that names nothing which is declared.
    pub(super) fn check_takes(&self) -> Result<(), Problem> {
        self.input.options.take.iter().try_for_each(|take| self.check_take(take))
    }

    fn check_take(&self, take: &Take) -> Result<(), Problem> {
        let Take { org, address, field, revision: _ } = take;
        let refused = |message: String| Problem::new(ProblemKind::Invalid, "E_TAKE", message);
        if let Some(org) = org.as_ref().filter(|org| *org != self.input.org) {
            let message = format!("`{take}` is about organisation `{org}`, and the plan is for `{}`", self.input.org);
            return Err(refused(message).help(format!("plan with `--org {org}`")));
        }
        let resources = &self.input.desired.resources;
        let Some(declared) = resources.iter().find(|declared| declared.address == *address) else {
            let names: Vec<String> = resources.iter().map(|declared| declared.address.to_string()).collect();
            let near = suggest::nearest(&address.to_string(), names.iter().map(String::as_str)).map(str::to_owned);
            let help = near.map_or("only what the manifests declare can be taken".to_owned(), |near| {
                format!("did you mean `{near}`?")
            });
            return Err(
                refused(format!("the manifests do not declare `{address}`, so nothing of it is taken")).help(help)
            );
        };
        let secrets = declared.secrets.keys().map(|path| crate::leaves::top_of(path));
        let fields: Vec<&str> = declared.fields.keys().map(String::as_str).chain(secrets).collect();
        if fields.contains(&field.as_str()) {
            return Ok(());
        }
        let help = match suggest::nearest(field, fields) {
            Some(near) => format!("did you mean `{near}`?"),
            None => "only a field that the manifest declares can be taken".to_owned(),
        };
        Err(refused(format!("the manifests do not declare `{field}` of `{address}`, so it is not taken")).help(help))
    }

    /// Says of the takes that took nothing why that is so.
    pub(super) fn note_takes(&mut self) {
        let options = self.input.options;
        for take in &options.take {
            let Take { address, field, .. } = take;
            if self.taken.contains(&(address.clone(), field.clone())) {
                continue;
            }
            let of_field = |blocked: &&Blocked| {
                blocked.address == address.to_string() && blocked.path.as_ref().is_some_and(|path| path.top() == field)
            };
            let changed = self.blocked.iter().find(of_field).and_then(|blocked| blocked.revision);
            let given = quoted(&take.to_string());
            let found = match changed {
                Some(changed) if changed != take.revision => {
                    let message = format!("`--take {given}` takes nothing: `{address}` was changed in {changed}");
                    Diagnostic::warning("W_TAKE_STALE", message).help("look at what is live now and decide anew")
                }
                _ => {
                    let message = format!("`--take {given}` takes nothing: nobody else's value stands in the way");
                    Diagnostic::note("N_TAKE_NOTHING", message)
                }
            };
            let declared = self.input.desired.resources.iter().find(|declared| declared.address == *address);
            match declared {
                Some(declared) => self.findings.tell(found, declared, field),
                None => self.findings.list.push(found),
            }
        }
    }
}
