//! A session's context as text.
//!
//! Never here: credential values; the context has none.

use holdfast_reconciler::agents::context::{CredentialSource, SessionContext};
use holdfast_reconciler::plane::Explanation;

use super::ink::{Role, Text, table};
use super::problem::evidence;
use super::text::short;
use super::value::{Length, inline};

/// Draws why a session gets what it gets, or gets nothing.
pub(crate) fn explanation(explanation: &Explanation) -> Text {
    let Explanation { org, agent, user, revision, commit, model, credential, error, help, evidence: steps } =
        explanation;
    let mut text = Text::new();
    text.add(Role::Strong, format!("Session {agent}"));
    text.plain(format!("   {revision} ({})   org {org}", short(commit)));
    text.plain(user.as_ref().map_or(String::new(), |user| format!("   user {user}"))).end().end();
    for step in steps {
        text.append(evidence(step));
    }
    text.end();
    match (model, error) {
        (Some(model), _) => {
            let credential = credential.map_or("no credential", CredentialSource::as_text);
            text.line(format!("so it runs on {}/{} with the {credential} credential", model.provider, model.id));
        }
        (None, Some(error)) => {
            text.plain("so there is no session: ").add(Role::Error, error).end();
        }
        (None, None) => {}
    }
    if let Some(help) = help {
        text.add(Role::Strong, "  help").plain(format!(": {help}")).end();
    }
    text
}

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
