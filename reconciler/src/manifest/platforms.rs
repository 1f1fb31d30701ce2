//! Platforms: the chat surfaces of an agent.
//!
//! Never here: which keys are allowed (`grammar.rs`).

use serde_json::{Map, Value};

use super::context::Context;
use super::draft::Draft;
use super::findings::{E_INVALID_VALUE, Finding, W_LITERAL_SECRET};
use super::mcp::literal_reference;
use super::node::{Key, Node};
use super::reference::{reference, resembles_reference, resembles_secret};
use super::source::shown;
use crate::agents::platform::stable_id;

/// Declares the platforms of an agent.
pub(crate) fn declare(context: &mut Context<'_>, agent: &Key<'_>, node: &Node<'_>) {
    for platform in node.get("platforms").map(Node::items).unwrap_or_default() {
        let Some((at, kind)) = platform.entry("type") else { continue };
        let Some(kind_text) = kind.text() else { continue };
        let id = stable_id(&agent.text, kind_text, platform.text_of("name"));
        let mut draft = Draft::new(&context.kinds.platform, format!("{}/{id}", agent.text), platform.spot);
        draft.field("type", Value::from(kind_text), at.spot);
        draft.on_duplicate("give one of the two platforms another `name`");
        config(context, &mut draft, platform);
        if let Some((key, channels)) = platform.entry("channels") {
            if kind_text != "slack" && !channels.items().is_empty() {
                let message = format!("`channels` is for Slack only, not for `{}`", shown(kind_text));
                context.findings.report(Finding::error(E_INVALID_VALUE, message).at(key.spot, "").at(kind.spot, ""));
            }
            let channels = channels.texts().map(|(text, _)| Value::from(text.trim())).collect();
            draft.field("channels", channels, key.spot);
        }
        draft.lifecycle(platform);
        context.add(draft);
    }
}

/// The values of `config`: a reference is a secret, anything else is plain text.
fn config(context: &mut Context<'_>, draft: &mut Draft, platform: &Node<'_>) {
    let Some((at, config)) = platform.entry("config") else { return };
    let mut plain = Map::new();
    for (name, value) in config.entries() {
        let Some(text) = value.text() else { continue };
        if reference(text).is_some() {
            let input = context.secret(text, name.spot);
            draft.secret(format!("config.{}", name.text), input, name.spot);
            continue;
        }
        if resembles_reference(text) {
            literal_reference(context, &format!("`config.{}`", shown(&name.text)), value);
        } else if resembles_secret(&name.text, text) {
            let message = format!("`config.{}` looks like a secret in clear", shown(&name.text));
            let help =
                "put the value into an environment variable or `.env`, and write `$NAME` here; then it is sealed";
            context.files.hide(value.spot);
            context.findings.report(Finding::warning(W_LITERAL_SECRET, message).at(value.spot, "").help(help));
        }
        plain.insert(name.text.to_string(), Value::from(text));
        draft.place(format!("config.{}", name.text), name.spot);
    }
    draft.field("config", Value::Object(plain), at.spot);
}
