//! MCP servers as values of the field `mcpServers`.
//!
//! Their references stay as text: sessions resolve them. Never here: where the servers stand in a manifest.

use serde_json::{Map, Value};

use super::context::Context;
use super::findings::{Finding, W_NOT_A_REFERENCE};
use super::node::Node;
use super::reference::resembles_reference;
use super::source::shown;

const MEMBERS: [(&str, &str); 7] = [
    ("type", "type"),
    ("url", "url"),
    ("command", "command"),
    ("args", "args"),
    ("headers", "headers"),
    ("auth_scope", "authScope"),
    ("env", "env"),
];

const OAUTH_MEMBERS: [(&str, &str); 6] = [
    ("auth_url", "authUrl"),
    ("token_url", "tokenUrl"),
    ("client_id", "clientId"),
    ("client_secret", "clientSecret"),
    ("scopes", "scopes"),
    ("token_endpoint_auth_method", "tokenEndpointAuthMethod"),
];

/// One server as it is kept.
pub(crate) fn server(context: &mut Context<'_>, id: &str, node: &Node<'_>) -> Value {
    let mut server = members(node, &MEMBERS);
    if let Some(oauth) = node.get("oauth") {
        server.insert("oauth".to_owned(), Value::Object(members(oauth, &OAUTH_MEMBERS)));
    }
    for table in ["headers", "env"] {
        for (name, value) in node.get(table).map(Node::entries).unwrap_or_default() {
            if value.text().is_some_and(resembles_reference) {
                let what = format!("`{}` of the MCP server `{}`", shown(&name.text), shown(id));
                literal_reference(context, &what, value);
            }
        }
    }
    Value::Object(server)
}

/// Warns about a text that was probably meant to be a reference.
pub(crate) fn literal_reference(context: &mut Context<'_>, what: &str, value: &Node<'_>) {
    let message = format!("{what} looks like a reference, but is a literal");
    let help = "a reference is `$NAME` with capital letters, digits and `_`, and nothing around it";
    context.files.hide(value.spot);
    context.findings.report(Finding::warning(W_NOT_A_REFERENCE, message).at(value.spot, "").help(help));
}

fn members(node: &Node<'_>, names: &[(&str, &str)]) -> Map<String, Value> {
    names.iter().filter_map(|(key, name)| Some(((*name).to_owned(), node.get(key)?.to_value()))).collect()
}
