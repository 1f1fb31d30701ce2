//! The grammar of `lobu.toml` and `holdfast.toml`, as shapes.
//!
//! Never here: the grammar of models and connectors (`grammar_yaml.rs`), and what becomes of the values (`agents.rs` and
//! its peers).

use super::shape::{BOOLEAN, Entry, FILLED, ID, NAME, Rule, Shape, TEXT, TEXT_MAP, TEXTS, Table};

/// The whole file.
pub(crate) static MANIFEST: Shape = Shape::Table(&Table {
    keys: &[
        Entry::optional("agents", &AGENTS, "the agents, by id"),
        Entry::optional("kinds", &KINDS, "kinds of your own, by name"),
        Entry::optional("memory", &MEMORY, "the organisation, and where models and connectors lie"),
        Entry::optional("moved", &Shape::List(&MOVED), "resources that got another address"),
        Entry::optional("project", &PROJECT, "the name of the project and how it is applied"),
        Entry::optional("providers", &PROVIDERS, "additions to the catalogue of model providers, by id"),
        Entry::optional("resources", &RESOURCES, "resources of kinds of your own, by kind and name"),
    ],
    open: None,
});

static AGENTS: Shape = Shape::Map { key: ID, value: &AGENT };

/// One agent.
static AGENT: Shape = Shape::Table(&Table {
    keys: &[
        Entry::required("name", &FILLED, "the display name"),
        Entry::optional("description", &TEXT, "what the agent is for"),
        Entry::required(
            "dir",
            &TEXT,
            "the folder with IDENTITY.md, SOUL.md, USER.md and skills, relative to this file",
        ),
        Entry::optional("owner", &FILLED, "the user whose api-key profiles count for the agent"),
        Entry::optional("providers", &Shape::List(&PROVIDER), "model providers; the first one is the primary one"),
        Entry::optional("platforms", &Shape::List(&PLATFORM), "chat surfaces"),
        Entry::optional("skills", &SKILLS, "MCP servers"),
        Entry::optional("network", &NETWORK, "which domains the agent may reach"),
        Entry::optional("egress", &EGRESS, "how judged requests are decided"),
        Entry::optional("tools", &TOOLS, "which tools the agent may use"),
        Entry::optional("guardrails", &TEXTS, "registered guardrails"),
        Entry::optional("guardrails_disabled", &TEXTS, "guardrails that are switched off"),
        Entry::optional("guardrails_inline", &Shape::List(&GUARDRAIL), "guardrails written here"),
        Entry::optional("worker", &WORKER, "packages of the worker"),
        Entry::optional("preview", &PREVIEW, "previews on a platform; accepted, not applied"),
        Entry::optional("watchers", &NO_WATCHERS, "refused here: watchers are declared in a models file"),
        Entry::optional("lifecycle", &LIFECYCLE, "what no plan may do to the agent and its settings"),
    ],
    open: None,
});

/// What any declared resource may ask for.
pub(crate) static LIFECYCLE: Shape = Shape::Table(&Table {
    keys: &[
        Entry::optional("prevent_delete", &BOOLEAN, "a plan that deletes it is blocked"),
        Entry::optional("ignore", &TEXTS, "fields that are declared but not enforced"),
    ],
    open: None,
});

static PROVIDER: Shape = Shape::Table(&Table {
    keys: &[
        Entry::required("id", &Shape::Text(NAME), "the provider's id, such as `z-ai`"),
        Entry::optional("model", &TEXT, "the model to prefer"),
        Entry::optional("key", &Shape::Secret, "the credential: `$NAME`, `env:NAME` or `file:PATH`"),
        Entry::optional("secret_ref", &SECRET_REF, "`$NAME`: a credential that sessions look up by name"),
    ],
    open: None,
});

/// A name that sessions resolve; `agents.rs` refuses a literal and never repeats it.
static SECRET_REF: Shape = Shape::Text(Rule::NonEmpty);

static PLATFORM: Shape = Shape::Table(&Table {
    keys: &[
        Entry::required("type", &FILLED, "the platform, such as `slack`"),
        Entry::optional("name", &Shape::Text(ID), "tells two platforms of one type apart"),
        Entry::required("config", &TEXT_MAP, "its settings; values may be references"),
        Entry::optional("channels", &Shape::List(&Shape::Text(CHANNEL)), "Slack channels, as `team/channel`"),
        Entry::optional("lifecycle", &LIFECYCLE, "what no plan may do to the platform"),
    ],
    open: None,
});

const CHANNEL: Rule = Rule::Form {
    test: |text| {
        let part = |part: &str| !part.is_empty() && !part.contains(|char: char| char == '/' || char.is_whitespace());
        text.trim().split_once('/').is_some_and(|(team, channel)| part(team) && part(channel))
    },
    says: "have the form `team/channel`, such as `T0ABCDEF/C0123ABCD`",
    pattern: "^\\s*[^/\\s]+/[^/\\s]+\\s*$",
};

static SKILLS: Shape = Shape::Table(&Table {
    keys: &[Entry::optional("mcp", &Shape::Map { key: NAME, value: &MCP }, "MCP servers, by id")],
    open: None,
});

/// One MCP server.
pub(crate) static MCP: Shape = Shape::Table(&Table {
    keys: &[
        Entry::optional("type", &Shape::Text(Rule::Choice(&["streamable-http", "sse", "stdio"])), "how it is reached"),
        Entry::optional("url", &TEXT, "its address"),
        Entry::optional("command", &TEXT, "the program to start"),
        Entry::optional("args", &TEXTS, "the program's arguments"),
        Entry::optional("env", &TEXT_MAP, "the program's variables; `$NAME` is looked up by sessions"),
        Entry::optional("headers", &TEXT_MAP, "headers of requests; `$NAME` is looked up by sessions"),
        Entry::optional("auth_scope", &Shape::Text(Rule::Choice(&["user", "channel"])), "whose login is used"),
        Entry::optional("oauth", &OAUTH, "how a login is got"),
    ],
    open: None,
});

static OAUTH: Shape = Shape::Table(&Table {
    keys: &[
        Entry::required("auth_url", &FILLED, "where a user logs in"),
        Entry::required("token_url", &FILLED, "where a token is fetched"),
        Entry::optional("client_id", &TEXT, "the client; `$NAME` is looked up by sessions"),
        Entry::optional("client_secret", &TEXT, "the client's secret; `$NAME` is looked up by sessions"),
        Entry::optional("scopes", &TEXTS, "what is asked for"),
        Entry::optional("token_endpoint_auth_method", &TEXT, "how the client shows who it is"),
    ],
    open: None,
});

static NETWORK: Shape = Shape::Table(&Table {
    keys: &[
        Entry::optional("allowed", &TEXTS, "domains that may be reached; `.example.com` covers its subdomains"),
        Entry::optional("denied", &TEXTS, "domains that may not be reached"),
        Entry::optional("judge", &Shape::List(&JUDGED), "domains whose requests a judge decides"),
        Entry::optional("judges", &TEXT_MAP, "the judges' policies, by name"),
    ],
    open: None,
});

/// A domain whose requests are judged.
pub(crate) static JUDGED: Shape = Shape::Either(
    &FILLED,
    &Shape::Table(&Table {
        keys: &[
            Entry::required("domain", &FILLED, "the domain"),
            Entry::optional("judge", &FILLED, "the name of the judge; without it, `default`"),
        ],
        open: None,
    }),
);

static EGRESS: Shape = Shape::Table(&Table {
    keys: &[
        Entry::optional("extra_policy", &TEXT, "added to every judge's policy"),
        Entry::optional("judge_model", &TEXT, "the model that judges"),
    ],
    open: None,
});

static TOOLS: Shape = Shape::Table(&Table {
    keys: &[
        Entry::optional("pre_approved", &Shape::List(&Shape::Text(TOOL)), "tools that need no confirmation"),
        Entry::optional("allowed", &TEXTS, "the only tools that may be used"),
        Entry::optional("denied", &TEXTS, "tools that may not be used"),
        Entry::optional("strict", &BOOLEAN, "whether only allowed tools exist"),
    ],
    open: None,
});

const TOOL: Rule = Rule::Form {
    test: |text| {
        let word = |text: &str| {
            !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'-')
        };
        let parts = text.strip_prefix("/mcp/").and_then(|rest| rest.split_once("/tools/"));
        parts.is_some_and(|(id, tool)| word(id) && (tool == "*" || word(tool)))
    },
    says: "have the form `/mcp/<id>/tools/<tool>` or `/mcp/<id>/tools/*`",
    pattern: "^/mcp/[A-Za-z0-9_-]+/tools/([A-Za-z0-9_-]+|\\*)$",
};

static GUARDRAIL: Shape = Shape::Table(&Table {
    keys: &[
        Entry::required("stage", &Shape::Text(Rule::Choice(&["input", "output", "pre-tool"])), "when it runs"),
        Entry::required("judge", &FILLED, "the policy in words"),
        Entry::optional("tools", &TEXTS, "the tools it is for"),
    ],
    open: None,
});

static WORKER: Shape = Shape::Table(&Table {
    keys: &[Entry::optional("nix_packages", &TEXTS, "packages that the worker has")],
    open: None,
});

static PREVIEW: Shape = Shape::Map { key: Rule::NonEmpty, value: &PREVIEW_PLATFORM };

static PREVIEW_PLATFORM: Shape = Shape::Table(&Table {
    keys: &[
        Entry::optional("enabled", &BOOLEAN, "whether there is a preview"),
        Entry::optional("surfaces", &Shape::List(&Shape::Text(Rule::Choice(&["dm", "channel"]))), "where"),
        Entry::optional("code_ttl_minutes", &Shape::Integer { min: 1, max: 60 }, "how long a code is valid"),
    ],
    open: None,
});

/// An empty list is the only thing that may stand here; `agents.rs` says so.
static NO_WATCHERS: Shape = Shape::Any;

static MEMORY: Shape = Shape::Table(&Table {
    keys: &[
        Entry::optional("enabled", &BOOLEAN, "whether models, connectors and the organisation count; true by default"),
        Entry::optional("org", &Shape::Text(ORG), "the organisation"),
        Entry::optional("organization_id", &TEXT, "accepted, not used"),
        Entry::optional("name", &TEXT, "accepted, not used"),
        Entry::optional("description", &TEXT, "accepted, not used"),
        Entry::optional("visibility", &Shape::Text(Rule::Choice(&["public", "private"])), "accepted, not used"),
        Entry::optional("models", &FILLED, "the folder of models; `./models` by default"),
        Entry::optional("data", &TEXT, "accepted, not used"),
        Entry::optional("connectors", &FILLED, "the folder of connectors; `./connectors` by default"),
    ],
    open: None,
});

const ORG: Rule = Rule::Form {
    test: |text| crate::resource::OrgId::new(text).is_ok(),
    says: "be lower-case letters, digits, `-` and `_`, at most 63, with a letter or digit at both ends",
    pattern: "^[a-z0-9](?:[a-z0-9_-]{0,61}[a-z0-9])?$",
};

static PROJECT: Shape = Shape::Table(&Table {
    keys: &[
        Entry::optional("name", &Shape::Text(ID), "the name of this source of desired state"),
        Entry::optional(
            "on_drift",
            &Shape::Text(Rule::Choice(&["block", "revert", "keep"])),
            "what to do about a managed field that was changed live",
        ),
        Entry::optional("include", &Shape::List(&FILLED), "further manifests, such as `teams/**/*.toml`"),
        Entry::optional("loop", &LOOP, "what `serve --watch` and `serve --git` may apply alone"),
        Entry::optional("protect", &Shape::List(&Shape::Text(PROTECTED)), "addresses that no plan may delete"),
    ],
    open: None,
});

const PROTECTED: Rule = Rule::Form {
    test: |text| {
        text == "*"
            || text
                .split_once('/')
                .is_some_and(|(kind, name)| (kind == "*" || crate::resource::is_id(kind)) && !name.is_empty())
    },
    says: "be an address such as `agent/billing`, or one with `*` at its end",
    pattern: "^(\\*|[a-z0-9*][a-z0-9-]*/.+)$",
};

static LOOP: Shape = Shape::Table(&Table {
    keys: &[
        Entry::optional("apply", &Shape::Text(Rule::Choice(&["auto", "manual"])), "`manual` by default"),
        Entry::optional(
            "deletes",
            &Shape::Either(&Shape::Text(Rule::Choice(&["all"])), &Shape::Integer { min: 0, max: u32::MAX as i64 }),
            "how many resources one commit may delete: a number, or `all`; 0 by default",
        ),
    ],
    open: None,
});

static MOVED: Shape = Shape::Table(&Table {
    keys: &[
        Entry::required("from", &Shape::Text(ADDRESS), "the address that it had"),
        Entry::required("to", &Shape::Text(ADDRESS), "the address that it has now"),
    ],
    open: None,
});

const ADDRESS: Rule = Rule::Form {
    test: |text| text.parse::<crate::resource::Address>().is_ok(),
    says: "be an address such as `agent/triage`",
    pattern: "^[a-z0-9][a-z0-9-]{0,62}/.+$",
};

static PROVIDERS: Shape = Shape::Map { key: NAME, value: &PROVIDER_ROW };

static PROVIDER_ROW: Shape = Shape::Table(&Table {
    keys: &[
        Entry::optional("slug", &FILLED, "another name for the provider"),
        Entry::optional("env", &Shape::Text(VARIABLE), "the environment variable of its credential"),
        Entry::optional("default_model", &FILLED, "the model to use when none is asked for"),
        Entry::optional("registry", &FILLED, "what the model library calls it"),
        Entry::optional("base_url_env", &Shape::Text(VARIABLE), "the environment variable of its base URL"),
        Entry::optional("lifecycle", &LIFECYCLE, "what no plan may do to it"),
    ],
    open: None,
});

const VARIABLE: Rule = Rule::Form {
    test: super::reference::is_shell_name,
    says: "be the name of an environment variable",
    pattern: "^[A-Za-z_][A-Za-z0-9_]*$",
};

static KINDS: Shape = Shape::Map { key: ID, value: &KIND };

static KIND: Shape = Shape::Table(&Table {
    keys: &[
        Entry::optional("fields", &OWN_FIELDS, "the fields, by name"),
        Entry::optional("immutable", &TEXTS, "fields that cannot change"),
        Entry::optional("sensitive", &TEXTS, "fields whose value is a secret"),
        Entry::optional(
            "list_keys",
            &TEXT_MAP,
            "for fields that are lists of tables: the member that identifies an item",
        ),
        Entry::optional(
            "effect",
            &Shape::Text(Rule::Choice(&["next-session", "immediate", "restart", "none"])),
            "when a change takes effect; `next-session` by default",
        ),
    ],
    open: None,
});

static OWN_FIELDS: Shape = Shape::Map { key: FIELD_NAME, value: &Shape::Named("field", &OWN_FIELD) };

const FIELD_NAME: Rule = Rule::Form {
    test: |text| text != "lifecycle" && text.len() <= 63 && super::reference::is_shell_name(&text.replace('-', "_")),
    says: "be letters, digits, `_` and `-`, at most 63, starting with a letter or `_`, and not `lifecycle`",
    pattern: "^(?!lifecycle$)[A-Za-z_-][A-Za-z0-9_-]{0,62}$",
};

static OWN_FIELD: Shape = Shape::Table(&Table {
    keys: &[
        Entry::required("type", &Shape::Text(Rule::Choice(crate::own_kind::OwnType::NAMES)), "the type of its value"),
        Entry::optional("description", &TEXT, "what it is for"),
        Entry::optional("required", &BOOLEAN, "whether every resource declares it"),
        Entry::optional("sensitive", &BOOLEAN, "whether its value is a secret"),
        Entry::optional("immutable", &BOOLEAN, "whether it cannot change"),
        Entry::optional("min", &ANY_NUMBER, "the least number, or the least length"),
        Entry::optional("max", &ANY_NUMBER, "the greatest number, or the greatest length"),
        Entry::optional("enum", &Shape::List(&Shape::Any), "the only values that are allowed"),
        Entry::optional("items", &Shape::Named("field", &OWN_FIELD), "for a list: what its items may be"),
        Entry::optional("fields", &OWN_FIELDS, "for a table: its members"),
        Entry::optional("key", &FILLED, "for a list of tables: the member that identifies an item"),
    ],
    open: None,
});

static ANY_NUMBER: Shape = Shape::Number { min: f64::NEG_INFINITY };

/// Checked against the kinds that the project declares (`own_resources.rs`).
static RESOURCES: Shape =
    Shape::Map { key: Rule::NonEmpty, value: &Shape::Map { key: Rule::NonEmpty, value: &Shape::Any } };
