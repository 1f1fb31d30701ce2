//! The description of the interface for programs: `GET /openapi.json`, made from the table of operations
//! (`openapi/operations.rs`) and the schemas in `openapi/schemas.json`. Tests hold both against the router and against real answers.
//!
//! Never here: what a route does.

use std::sync::LazyLock;

use axum::response::Response;
use serde_json::{Map, Value, json};

use crate::ask::Ask;
use crate::protocol::PROTOCOL;
use crate::refusal::Refusal;
use crate::routes::{encode, json_bytes};

mod operations;

use operations::{Access, Gives, OPERATIONS, Operation, Takes};

static SCHEMAS: &str = include_str!("openapi/schemas.json");

/// `GET /openapi.json`: as it holds for who asks, because only the network asks for tokens.
pub(crate) async fn openapi(ask: Ask) -> Result<Response, Refusal> {
    static TRUSTED: LazyLock<Vec<u8>> = LazyLock::new(|| encode(&document(true)).unwrap_or_default());
    static NETWORK: LazyLock<Vec<u8>> = LazyLock::new(|| encode(&document(false)).unwrap_or_default());
    ask.finish()?;
    Ok(json_bytes(if ask.is_trusted() { TRUSTED.clone() } else { NETWORK.clone() }))
}

/// The whole description.
fn document(trusted: bool) -> Value {
    let mut paths = Map::new();
    for operation in OPERATIONS {
        let path = paths.entry(operation.path).or_insert_with(|| Value::Object(Map::new()));
        path[operation.method] = describe(operation, trusted);
    }
    let schemas: Value = serde_json::from_str(SCHEMAS).expect("the schemas are JSON, a test reads them");
    json!({
        "openapi": "3.1.0",
        "info": {
            "title": "Holdfast", "version": PROTOCOL, "license": {"name": "Apache-2.0 OR MIT"},
            "description": "A declarative state engine: plan, apply, sessions. `docs/http.md` tells it in words.",
        },
        "paths": paths,
        "components": {
            "schemas": schemas,
            "securitySchemes": {
                "workerToken": {"type": "http", "scheme": "bearer"},
                "accessToken": {"type": "http", "scheme": "bearer", "description": "On the network; the Unix socket needs none"},
            },
        },
    })
}

fn describe(operation: &Operation, trusted: bool) -> Value {
    let Operation { method, path, summary, query, takes, gives: _, headers, refuses: _, access } = *operation;
    let named = path.split(['{', '}']).skip(1).step_by(2).map(|name| parameter("path", name));
    let all: &[&str] = if access == Access::Worker { &["min_revision"] } else { &["org", "min_revision"] };
    let asked = all.iter().chain(query).map(|name| parameter("query", name));
    let parameters: Vec<Value> =
        named.chain(asked).chain(headers.iter().map(|name| parameter("header", name))).collect();
    let words: String = path.chars().map(|char| if char.is_ascii_alphanumeric() { char } else { '_' }).collect();
    let security = match access {
        Access::Worker => json!([{"workerToken": []}]),
        Access::Token if !trusted => json!([{"accessToken": []}]),
        Access::Token | Access::Nothing => json!([]),
    };
    let mut described = json!({
        "operationId": format!("{method}{words}"), "summary": summary, "parameters": parameters,
        "responses": answers(operation), "security": security,
    });
    let body = match takes {
        Takes::Nothing => None,
        Takes::Json(name) => Some((content("application/json", &schema(name), "The body"), true)),
        Takes::MaybeJson(name) => Some((content("application/json", &schema(name), "The body"), false)),
        Takes::Bytes => {
            Some((content("application/octet-stream", &json!({}), "The value; none is an empty one"), false))
        }
    };
    if let Some((mut body, required)) = body {
        body["required"] = required.into();
        described["requestBody"] = body;
    }
    described
}

/// Every status that it answers with, and what comes with it.
fn answers(operation: &Operation) -> Map<String, Value> {
    let Operation { path, query, takes, gives: (status, gives), headers, refuses, access, .. } = *operation;
    let mut statuses = vec![400, 404, 500, 503];
    if access != Access::Nothing {
        statuses.extend([401, 403, 429]);
    }
    if !matches!(takes, Takes::Nothing) {
        statuses.extend([408, 413, 415]);
    }
    if query.contains(&"at") || query.contains(&"to") || path.contains("{revision}") {
        // What is meant may be compacted.
        statuses.push(410);
    }
    statuses.extend(refuses);
    let problem = content("application/problem+json", &schema("Problem"), "A problem");
    let mut answers: Map<String, Value> = statuses.iter().map(|status| (status.to_string(), problem.clone())).collect();
    if path == "/v1/txn" {
        // Either a failed comparison, or a problem.
        answers["412"]["content"]["application/json"] = json!({"schema": schema("TxnResult")});
    }
    answers.insert(status.to_string(), answer(gives));
    if headers.contains(&"If-None-Match") {
        answers.insert("304".to_owned(), json!({"description": "The client has it"}));
    }
    for answer in answers.values_mut() {
        answer["headers"] = json!({
            "Holdfast-Protocol": {"required": true, "schema": {"type": "string", "const": PROTOCOL}},
            "Holdfast-Revision": {"required": true, "schema": {"type": "string", "pattern": "^[0-9]+$"}},
        });
    }
    answers
}

fn answer(gives: Gives) -> Value {
    match gives {
        Gives::Nothing => json!({"description": "Done"}),
        Gives::Json(name) => content("application/json", &schema(name), "The answer"),
        Gives::Bytes => content("application/octet-stream", &json!({}), "The value"),
        Gives::Text => content("text/plain", &json!({"type": "string"}), "Text"),
        Gives::Events(name) => {
            content("text/event-stream", &schema(name), "Events, each of which is as the schema says")
        }
    }
}

fn schema(name: &str) -> Value {
    json!({"$ref": format!("#/components/schemas/{name}")})
}

fn content(kind: &str, schema: &Value, description: &str) -> Value {
    json!({"description": description, "content": {kind: {"schema": schema}}})
}

fn parameter(place: &str, name: &str) -> Value {
    let moment = json!({"anyOf": [
        {"type": "string", "pattern": "^r?[0-9]{1,15}$"}, {"type": "string", "format": "date-time"}]});
    let schema = match name {
        "allow_missing" | "sealed" | "kinds" => json!({"type": "boolean"}),
        "id" if place == "path" => json!({"type": "string", "pattern": "^[a-z0-9][a-z0-9-]{0,62}$"}),
        "commit" => json!({"type": "string", "pattern": "^[0-9a-f]{64}$"}),
        "token" if place == "query" => {
            json!({"type": "string", "pattern": "^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}:[0-9]{1,9}:[0-9]{1,15}$"})
        }
        "limit" => json!({"type": "integer", "minimum": 1, "maximum": u64::MAX}),
        "allow_delete" => json!({"type": "integer", "minimum": 0, "maximum": u64::MAX}),
        "revision" => json!({"type": "string", "pattern": "^r?[1-9][0-9]{0,15}$"}),
        "key" | "name" => json!({"type": "string", "minLength": 1, "pattern": "^[^\\u0000-\\u001f\\u007f-\\u009f]+$"}),
        "kind" if place == "path" => json!({"type": "string", "pattern": "^[a-z0-9][a-z0-9-]{0,62}$"}),
        "address" => {
            json!({"type": "string", "pattern": "^[a-z0-9][a-z0-9-]{0,62}/[^\\u0000-\\u001f\\u007f-\\u009f]+$"})
        }
        "user" if place == "query" => json!({"type": "string", "minLength": 1}),
        "user" if place == "path" => {
            json!({"type": "string", "minLength": 1, "pattern": "^[^\\u0000-\\u001f\\u007f-\\u009f]+$"})
        }
        "provider" => json!({"type": "string", "pattern": "^[a-z0-9][a-z0-9-]{0,62}$"}),
        "before" | "min_revision" => json!({"type": "string", "pattern": "^r?[0-9]{1,15}$"}),
        // A revision, or a time of RFC 3339; `from` of a watch may also be a token.
        "at" | "to" => moment,
        "from!" => moment,
        "from" => {
            json!({"anyOf": [{"type": "string", "pattern": "^r?[0-9]{1,15}$"}, {"type": "string", "pattern": "^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}:[0-9]{1,9}:[0-9]{1,15}$"}]})
        }
        "field" => json!({"type": "string", "minLength": 1}),
        "model" => json!({"type": "string", "pattern": "^[!-~]{1,200}$"}),
        "If-Match" => json!({"type": "string", "pattern": "^\"[0-9]{1,15}\"$"}),
        "If-None-Match=*" => json!({"type": "string", "const": "*"}),
        "Idempotency-Key" => json!({"type": "string", "pattern": "^[!-~]{1,128}$"}),
        "Last-Event-ID" => json!({"type": "string", "pattern": "^[0-9]{0,15}$"}),
        "org" => json!({"type": "string", "pattern": "^[a-z0-9]([a-z0-9_-]{0,61}[a-z0-9])?$"}),
        _ => json!({"type": "string"}),
    };
    let (name, marked) = name.strip_suffix('!').map_or((name, false), |name| (name, true));
    let name = name.strip_suffix("=*").unwrap_or(name);
    json!({"in": place, "name": name, "required": marked || place == "path", "schema": schema})
}
