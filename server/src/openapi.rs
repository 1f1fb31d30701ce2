//! The description of the interface for programs: `GET /openapi.json`, made from one table of operations and the schemas in
//! `openapi/schemas.json`. Tests hold both against the router and against real answers.
//!
//! Never here: what a route does.

use std::sync::LazyLock;

use axum::response::Response;
use serde_json::{Map, Value, json};

use crate::ask::Ask;
use crate::protocol::PROTOCOL;
use crate::refusal::Refusal;
use crate::routes::{encode, json_bytes};

static SCHEMAS: &str = include_str!("openapi/schemas.json");

/// One method of one path.
#[derive(Clone, Copy)]
struct Operation {
    method: &'static str,
    path: &'static str,
    summary: &'static str,
    /// Query parameters beside `org` and `min_revision`; one that must be there ends in `!`.
    query: &'static [&'static str],
    /// The body that it takes.
    takes: Takes,
    /// Its good answer.
    gives: (u16, Gives),
    /// The headers that it heeds, beside those of every route.
    headers: &'static [&'static str],
    /// The statuses of its problems, beside those of every route of its kind.
    refuses: &'static [u16],
    /// What lets a caller in from the network.
    access: Access,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Access {
    Nothing,
    Token,
    /// A worker's token, which also says which organisation is meant.
    Worker,
}

#[derive(Clone, Copy)]
enum Takes {
    Nothing,
    Json(&'static str),
    /// A JSON body that may be left out.
    MaybeJson(&'static str),
    Bytes,
}

#[derive(Clone, Copy)]
enum Gives {
    Nothing,
    Json(&'static str),
    Bytes,
    Text,
    /// Of this schema.
    Events(&'static str),
}

const fn read(
    path: &'static str,
    summary: &'static str,
    query: &'static [&'static str],
    gives: &'static str,
) -> Operation {
    Operation {
        method: "get",
        path,
        summary,
        query,
        takes: Takes::Nothing,
        gives: (200, Gives::Json(gives)),
        headers: &[],
        refuses: &[],
        access: Access::Token,
    }
}

const fn post(
    path: &'static str,
    summary: &'static str,
    takes: Takes,
    status: u16,
    gives: &'static str,
    refuses: &'static [u16],
) -> Operation {
    let gives = (status, Gives::Json(gives));
    let access = Access::Token;
    Operation { method: "post", path, summary, query: &[], takes, gives, headers: &[], refuses, access }
}

const fn write(
    method: &'static str,
    path: &'static str,
    summary: &'static str,
    takes: Takes,
    gives: Gives,
    refuses: &'static [u16],
) -> Operation {
    let gives = (if matches!(gives, Gives::Nothing) { 204 } else { 200 }, gives);
    let access = Access::Token;
    Operation { method, path, summary, query: &[], takes, gives, headers: &[], refuses, access }
}

/// What answers anybody, also from the network.
const fn open(path: &'static str, summary: &'static str, gives: &'static str) -> Operation {
    Operation { access: Access::Nothing, ..read(path, summary, &[], gives) }
}

/// What an edit may say beside its body.
const EDIT_QUERY: &[&str] = &["allow_break", "allow_delete", "message"];

const OPERATIONS: &[Operation] = &[
    open("/healthz", "The process answers", "Hello"),
    open("/readyz", "The store can be read and written", "Ready"),
    Operation { gives: (200, Gives::Text), ..read("/metrics", "Counts for Prometheus", &[], "") },
    open("/openapi.json", "This description", "Fields"),
    Operation {
        headers: &["If-None-Match"],
        ..read("/v1/head", "The head of the store, also as it was", &["at"], "Head")
    },
    read("/v1/status", "The state of the store and of what runs on it", &[], "Status"),
    post("/v1/verify", "Checks every commit and entry", Takes::Nothing, 200, "Verification", &[]),
    post(
        "/v1/compact",
        "Gives up the commits before what is kept",
        Takes::Json("CompactRequest"),
        200,
        "Compacted",
        &[410],
    ),
    Operation { gives: (200, Gives::Bytes), ..read("/v1/backup", "A backup of the whole store", &[], "") },
    post("/v1/plan", "Works out what an apply would do", Takes::Json("PlanRequest"), 200, "Plan", &[410, 422]),
    post("/v1/seal", "A plan with the state it depends on", Takes::Json("PlanRequest"), 200, "Sealed", &[410, 422]),
    Operation {
        headers: &["Idempotency-Key"],
        ..post("/v1/apply", "Applies what a plan showed", Takes::Json("ApplyRequest"), 200, "Receipt", &[409, 410, 422])
    },
    post(
        "/v1/rollback",
        "Puts an earlier revision back",
        Takes::Json("RollbackRequest"),
        200,
        "Receipt",
        &[409, 410, 422],
    ),
    post("/v1/resume", "Lets a held source go on", Takes::MaybeJson("ResumeRequest"), 200, "Receipt", &[409, 422]),
    post(
        "/v1/approve",
        "Applies a plan that a loop left to somebody",
        Takes::Json("ApproveRequest"),
        200,
        "Receipt",
        &[409, 410, 422],
    ),
    post("/v1/poke", "Makes the loops look at their sources now", Takes::Nothing, 200, "Poked", &[]),
    post("/v1/import", "Takes exported resources in", Takes::Json("ImportRequest"), 200, "Imported", &[409, 422]),
    read("/v1/commits", "Commits, newest first", &["address", "key", "prefix", "before", "limit"], "Commits"),
    read("/v1/commits/{revision}", "One commit", &[], "Commit"),
    read(
        "/v1/diff",
        "What differs between two revisions",
        &["from!", "to", "address", "key", "prefix", "limit", "after"],
        "Differences",
    ),
    read("/v1/resources", "Live resources", &["kind", "prefix", "at", "limit", "after", "kinds"], "Resources"),
    Operation {
        headers: &["If-None-Match"],
        ..read("/v1/resources/{kind}/{name}", "One live resource; the name may contain `/`", &["at"], "Resource")
    },
    Operation {
        query: EDIT_QUERY,
        headers: &["If-Match"],
        ..write(
            "patch",
            "/v1/resources/{kind}/{name}",
            "Edits a resource",
            Takes::Json("Fields"),
            Gives::Json("Receipt"),
            &[409, 412, 422],
        )
    },
    Operation {
        query: EDIT_QUERY,
        headers: &["If-Match"],
        ..write(
            "delete",
            "/v1/resources/{kind}/{name}",
            "Deletes a resource",
            Takes::Nothing,
            Gives::Json("Receipt"),
            &[409, 412, 422],
        )
    },
    read(
        "/v1/explain/{kind}/{name}",
        "Where the values of a live resource come from; the name may contain `/`",
        &["field", "at", "limit"],
        "Origins",
    ),
    Operation {
        refuses: &[422],
        ..read("/v1/agents/{agent}/session", "What a session would get", &["user", "at", "allow_missing"], "Session")
    },
    post("/v1/agents/{agent}/sessions", "Opens a session", Takes::MaybeJson("SessionRequest"), 201, "Session", &[422]),
    read(
        "/v1/agents/{agent}/explain",
        "Why a session gets what it gets, or gets nothing",
        &["user", "at"],
        "Explanation",
    ),
    Operation {
        access: Access::Worker,
        ..read("/v1/session-context", "The session that a worker's token names", &[], "Session")
    },
    post(
        "/v1/sessions/{id}/token",
        "A token for the worker of a session",
        Takes::MaybeJson("TokenRequest"),
        201,
        "WorkerToken",
        &[422],
    ),
    read("/v1/sessions/{id}", "An open session", &[], "Session"),
    write("delete", "/v1/sessions/{id}", "Closes a session", Takes::Nothing, Gives::Nothing, &[]),
    read("/v1/profiles", "Profiles of users without their values", &["user"], "Profiles"),
    Operation {
        query: &["model"],
        ..write(
            "put",
            "/v1/profiles/{user}/{provider}",
            "Sets a profile of a user for the models of a provider",
            Takes::Json("ProfileRequest"),
            Gives::Json("Receipt"),
            &[409, 422],
        )
    },
    Operation {
        query: &["model", "allow_break"],
        ..write(
            "delete",
            "/v1/profiles/{user}/{provider}",
            "Removes one profile of a user, or all for a provider",
            Takes::Nothing,
            Gives::Json("Receipt"),
            &[409, 422],
        )
    },
    read("/v1/tokens", "Access tokens without themselves", &[], "Tokens"),
    post(
        "/v1/tokens",
        "Makes an access token, which is in this answer only",
        Takes::Json("TokenCreation"),
        201,
        "NewToken",
        &[412],
    ),
    write("delete", "/v1/tokens/{token}", "Revokes an access token", Takes::Nothing, Gives::Json("Receipt"), &[]),
    post("/v1/keys/rotate", "Seals everything anew under a new master key", Takes::Nothing, 200, "Rotation", &[422]),
    read("/v1/secrets", "Secrets without their values", &[], "Secrets"),
    write(
        "put",
        "/v1/secrets/{name}",
        "Sets a secret",
        Takes::Json("SecretRequest"),
        Gives::Json("Receipt"),
        &[409, 422],
    ),
    Operation {
        query: &["allow_break"],
        ..write("delete", "/v1/secrets/{name}", "Removes a secret", Takes::Nothing, Gives::Json("Receipt"), &[409, 422])
    },
    Operation {
        gives: (200, Gives::Bytes),
        headers: &["If-None-Match"],
        ..read("/v1/kv/{key}", "A raw value; the key may contain `/`", &["at"], "")
    },
    Operation {
        headers: &["If-Match", "Idempotency-Key"],
        ..write("put", "/v1/kv/{key}", "Writes a raw value", Takes::Bytes, Gives::Json("Written"), &[412])
    },
    Operation {
        headers: &["If-Match", "Idempotency-Key"],
        ..write("delete", "/v1/kv/{key}", "Removes a raw value", Takes::Nothing, Gives::Json("Written"), &[412])
    },
    Operation {
        headers: &["Idempotency-Key"],
        ..post(
            "/v1/txn",
            "Compares, then puts and deletes, all or nothing",
            Takes::Json("TxnRequest"),
            200,
            "TxnResult",
            &[412],
        )
    },
    Operation {
        gives: (200, Gives::Events("WatchEvent")),
        headers: &["Last-Event-ID"],
        ..read("/v1/watch", "Follows an organisation", &["prefix", "from"], "")
    },
    Operation {
        gives: (200, Gives::Events("FollowEvent")),
        ..read("/v1/follow", "Feeds a follower: the state, then every commit", &["token", "commit", "sealed"], "")
    },
    write(
        "put",
        "/v1/followers/{id}",
        "A follower tells where it is",
        Takes::Json("FollowerReport"),
        Gives::Nothing,
        &[],
    ),
    write("delete", "/v1/followers/{id}", "A follower goes, or is taken off", Takes::Nothing, Gives::Nothing, &[]),
];

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
        statuses.extend([408, 413]);
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
        "Idempotency-Key" => json!({"type": "string", "pattern": "^[!-~]{1,128}$"}),
        "Last-Event-ID" => json!({"type": "string", "pattern": "^[0-9]{0,15}$"}),
        "org" => json!({"type": "string", "pattern": "^[a-z0-9]([a-z0-9_-]{0,61}[a-z0-9])?$"}),
        _ => json!({"type": "string"}),
    };
    let (name, marked) = name.strip_suffix('!').map_or((name, false), |name| (name, true));
    json!({"in": place, "name": name, "required": marked || place == "path", "schema": schema})
}
