//! A session's context as text.
//!
//! Never here: credential values; the context has none.

use holdfast_reconciler::agents::context::SessionContext;

use super::ink::{Role, Text, table};
use super::problem::evidence;
use super::text::short;
use super::value::{Length, inline};

/// Draws what a session is given.
pub(crate) fn draw(context: &SessionContext, length: Length) -> Text {
    let SessionContext { session, org, agent, user, revision, commit, model, credentials, settings, evidence: steps } =
        context;
    let mut text = Text::new();
    text.add(Role::Strong, format!("Session {agent}"));
    text.plain(format!("   {revision} ({})   org {org}", short(commit))).end().end();
    let mut facts = vec![
        ("provider", format!("{} (registry {})", model.provider, model.registry)),
        ("model", model.id.clone()),
        ("reference", model.reference.clone()),
    ];
    facts.extend(user.iter().map(|user| ("user", user.clone())));
    facts.extend(session.iter().map(|session| ("session", session.clone())));
    let facts: Vec<_> =
        facts.into_iter().map(|(name, value)| vec![(Role::Quiet, name.to_owned()), (Role::Plain, value)]).collect();
    text.append(table(&facts, 2));

    text.end().add(Role::Strong, "Credentials:").end();
    if credentials.is_empty() {
        text.add(Role::Quiet, "  none").end();
    }
    let credentials: Vec<_> = credentials
        .iter()
        .map(|credential| {
            vec![
                (Role::Plain, credential.provider.clone()),
                (Role::Plain, credential.source.as_text().to_owned()),
                (Role::Plain, format!("{}={}", credential.env, credential.placeholder)),
            ]
        })
        .collect();
    text.append(table(&credentials, 2));

    if !settings.fields().is_empty() {
        text.end().add(Role::Strong, "Settings:").end();
    }
    for (name, value) in settings.fields() {
        text.plain("  ").add(Role::Quiet, name).add(Role::Quiet, ": ").plain(inline(value, length)).end();
    }
    if !steps.is_empty() {
        text.end().add(Role::Strong, "Evidence:").end();
    }
    for step in steps {
        text.append(evidence(step));
    }
    text
}
