//! Platforms: the chat surfaces of an agent.
//!
//! Never here: which keys are allowed (`grammar.rs`).

use serde_json::{Map, Value};

use super::context::Context;
use super::draft::Draft;
use super::findings::{E_INVALID_VALUE, Finding};
use super::mcp::literal_reference;
use super::node::{Key, Node};
use super::reference::{reference, resembles_reference};
use super::source::shown;

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
        }
        plain.insert(name.text.to_string(), Value::from(text));
        draft.place(format!("config.{}", name.text), name.spot);
    }
    draft.field("config", Value::Object(plain), at.spot);
}

/// The id that the platform keeps as long as agent, type and name stay the same. It is unique inside its agent only, and
/// the address names the agent too.
pub(crate) fn stable_id(agent: &str, kind: &str, name: Option<&str>) -> String {
    let parts = [Some(agent), Some(kind), name];
    parts.into_iter().flatten().map(slugify).collect::<Vec<_>>().join("-")
}

/// Lower case; every run of anything but letters and digits becomes one hyphen, none at the ends.
fn slugify(text: &str) -> String {
    let mut slug = String::new();
    for char in text.chars().flat_map(char::to_lowercase) {
        if char.is_ascii_lowercase() || char.is_ascii_digit() {
            slug.push(char);
        } else if !slug.is_empty() && !slug.ends_with('-') {
            slug.push('-');
        }
    }
    slug.trim_end_matches('-').to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stable_id_is_made_of_agent_type_and_name() {
        assert_eq!(stable_id("triage", "telegram", None), "triage-telegram");
        assert_eq!(stable_id("Tri Age", "Slack/Ops", Some("Bot 1")), "tri-age-slack-ops-bot-1");
        assert_eq!(stable_id("-a-", "__x__", None), "a-x");
    }
}
