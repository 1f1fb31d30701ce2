//! `reconcile adopt ADDRESS [FIELD]`: writes live values into the manifest, where its comments and order stay.
//!
//! Changes files of the project and nothing in the store. Never here: where a field stands in a manifest; the reconciler
//! knows.

use std::io::Write as _;
use std::path::Path;

use holdfast_reconciler::desired::Desired;
use holdfast_reconciler::error::{Problem, ProblemKind};
use holdfast_reconciler::manifest::{AdoptError, Adoption, FileEdit, Folder, environment};
use holdfast_reconciler::plane::{ControlPlane, ResourceInfo};
use holdfast_reconciler::resource::{Address, OrgId};
use holdfast_reconciler::value::Value;
use serde::Serialize;

use super::Run;
use super::get::address;
use crate::args::AdoptArgs;
use crate::error::{Exit, Failure};
use crate::project::Project;
use crate::render::ink::Text;
use crate::render::row::place;
use crate::render::value::file_change;

/// What was written, as JSON.
#[derive(Serialize)]
struct Adopted<'a> {
    address: String,
    files: Vec<&'a str>,
}

/// Adopts one field, or all that differ.
pub(super) fn run(run: &Run, args: &AdoptArgs) -> Result<Exit, Failure> {
    address(&args.address, None)?;
    let directory = run.setting.project(None);
    let mut desired = Project::read(&run.setting, &directory)?.into_desired()?;
    let (plane, org) = run.ask()?;
    let (org, address) = address(&args.address, org)?;
    let live = live(&*plane, org.as_ref(), &address, &desired)?;
    let fields = match &args.field {
        Some(field) => vec![field.clone()],
        None => differing(&desired, &address, &live),
    };
    let mut edits: Vec<FileEdit> = Vec::new();
    for field in &fields {
        // Each edit is made on what the one before left.
        if let Some(edit) = self::edit(run, &directory, &desired, &address, live.record.fields.get(field), field)? {
            if !args.dry_run {
                write(&directory, &edit)?;
                desired = Project::read(&run.setting, &directory)?.into_desired()?;
            }
            edits.push(edit);
        }
    }
    let told = Adopted { address: address.to_string(), files: edits.iter().map(|edit| &*edit.path).collect() };
    run.output.data(&told, || draw(&args.address, &edits))?;
    if !edits.is_empty() && !args.dry_run {
        run.output.say("the manifest declares what is live; commit it, and `reconcile` takes the field over");
    }
    Ok(Exit::Done)
}

/// The live resource; one that a plan would move is still found under the address that it leaves.
fn live(
    plane: &dyn ControlPlane,
    org: Option<&OrgId>,
    address: &Address,
    desired: &Desired,
) -> Result<ResourceInfo, Problem> {
    plane.resource(org, address, None).or_else(|problem| {
        let former = desired.former_addresses(address).into_iter();
        former.filter_map(|former| plane.resource(org, &former, None).ok()).next().ok_or(problem)
    })
}

/// The declared fields of the resource that are not as they are live.
fn differing(desired: &Desired, address: &Address, live: &ResourceInfo) -> Vec<String> {
    let declared = desired.resources.iter().find(|declared| declared.address == *address);
    let fields = declared.into_iter().flat_map(|declared| &declared.fields);
    let differs = fields
        .filter(|(name, value)| !holdfast_reconciler::value::equal_field(live.record.fields.get(*name), Some(value)));
    differs.map(|(name, _)| name.clone()).collect()
}

fn edit(
    run: &Run,
    directory: &Path,
    desired: &Desired,
    address: &Address,
    live: Option<&Value>,
    field: &str,
) -> Result<Option<FileEdit>, Failure> {
    let folder = Folder::open(directory).map_err(|error| {
        Failure::io("E_PROJECT", format!("cannot open the project `{}`", directory.display()), &error)
    })?;
    let name = folder.path().file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    let (environment, _) = environment(&folder, run.setting.environment.clone());
    let adoption = Adoption { tree: &folder, directory: &name, environment: &environment, desired };
    adoption.edit(address, field, live).map_err(|error| refused(&error))
}

fn refused(error: &AdoptError) -> Failure {
    let help = match error {
        AdoptError::Manifest => "`reconcile check` shows them".to_owned(),
        AdoptError::NotDeclared { .. } => "only a field that the manifest declares can be adopted".to_owned(),
        AdoptError::ByHand { at: Some(at), .. } => format!("write the live value at {}, by hand", place(at)),
        AdoptError::ByHand { at: None, .. } => "write the live value by hand".to_owned(),
    };
    Problem::new(ProblemKind::Failed, "E_ADOPT", error.to_string()).help(help).into()
}

/// Replaces a file as a whole, so that nobody reads half of it.
fn write(directory: &Path, edit: &FileEdit) -> Result<(), Failure> {
    let path = std::fs::canonicalize(directory.join(&edit.path)).unwrap_or_else(|_| directory.join(&edit.path));
    let failed = |error: std::io::Error| {
        Failure::io("E_ADOPT", format!("cannot write the manifest `{}`", path.display()), &error)
    };
    let now = std::fs::read_to_string(&path).ok();
    if now != edit.before {
        return Err(Failure::new("E_ADOPT", format!("`{}` was changed meanwhile", edit.path)).help("try again"));
    }
    let beside = path.with_extension(format!("adopt-{}", std::process::id()));
    let written = (|| {
        let mut file = std::fs::File::create(&beside)?;
        if let Ok(metadata) = std::fs::metadata(&path) {
            file.set_permissions(metadata.permissions())?;
        }
        file.write_all(edit.after.as_bytes())?;
        file.sync_all()?;
        std::fs::rename(&beside, &path)
    })();
    written.map_err(|error| {
        // What was written so far is of no use to anybody.
        let _ = std::fs::remove_file(&beside);
        failed(error)
    })
}

fn draw(address: &str, edits: &[FileEdit]) -> Text {
    let mut text = Text::new();
    if edits.is_empty() {
        text.line(format!("{address} is declared as it is live"));
    }
    for edit in edits {
        file_change(&mut text, &edit.path, edit.before.as_deref().unwrap_or_default(), &edit.after);
    }
    text
}
