//! What an import did as text.
//!
//! Never here: what is imported.

use holdfast_reconciler::agents::kinds;
use holdfast_reconciler::pasted::quoted;
use holdfast_reconciler::plane::{Imported, MissingSecret, WriteOutcome};
use holdfast_reconciler::resource::Address;

use super::ink::{Role, Text, table};
use super::text::counted;

/// Draws what was taken in, or would be, and which secrets are to be set.
pub(crate) fn draw(imported: &Imported) -> Text {
    let Imported { org, created, overwritten, unchanged, secrets, receipt } = imported;
    let mut text = Text::new();
    let headline = match receipt {
        None => "Would import".to_owned(),
        Some(receipt) if receipt.outcome == WriteOutcome::Unchanged => {
            format!("Nothing to import, {} stays", receipt.revision)
        }
        Some(receipt) => format!("Imported as {}", receipt.revision),
    };
    text.add(Role::Strong, headline).plain(format!("   org {org}")).end();
    rows(&mut text, created, '+', Role::Create);
    rows(&mut text, overwritten, '~', Role::Update);
    let (created, overwritten) = (created.len(), overwritten.len());
    text.end().line(format!("Summary: {created} create, {overwritten} overwrite, {unchanged} unchanged"));
    if secrets.is_empty() {
        return text;
    }
    let count = counted(secrets.len() as u64, "secret value");
    text.end().add(Role::Warning, "An export has no secret values").plain(format!("; {count} to set:")).end();
    let rows: Vec<_> = secrets.iter().map(secret).collect();
    text.append(table(&rows, 2));
    text
}

fn rows(text: &mut Text, addresses: &[Address], mark: char, role: Role) {
    for address in addresses {
        text.plain("  ").add(role, format!("{mark} {} {}", address.kind, address.name)).end();
    }
}

fn secret(missing: &MissingSecret) -> Vec<(Role, String)> {
    let MissingSecret { address, path } = missing;
    let way = match address.kind.as_str() == kinds::SECRET {
        true => format!("reconcile secret set {}", quoted(address.name.as_str())),
        false => "apply its project with the variable set".to_owned(),
    };
    vec![(Role::Plain, format!("{address} {path}")), (Role::Help, way)]
}
