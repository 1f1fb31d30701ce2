//! The grammar of models, connectors and the front matter of skills, as shapes.
//!
//! Never here: the grammar of `lobu.toml` (`grammar.rs`), and what becomes of the values.

use super::grammar::{JUDGED, LIFECYCLE};
use super::shape::{ANY, ANY_MAP, Entry, FILLED, ID, NAME, Rule, Shape, TEXT, TEXT_MAP, TEXTS, Table};

/// One document of a models file.
pub(crate) static MODELS: Shape = Shape::Table(&Table {
    keys: &[
        Entry::required("version", &Shape::Integer { min: 2, max: 2 }, "the version of the format, which is 2"),
        Entry::optional("entities", &Shape::List(&ENTITY), "types of things"),
        Entry::optional("relationships", &Shape::List(&RELATIONSHIP), "types of relations between them"),
        Entry::optional("watchers", &Shape::List(&WATCHER), "prompts that run on a schedule"),
    ],
    open: None,
});

static NAME_TEXT: Shape = Shape::Text(NAME);

static ENTITY: Shape = Shape::Table(&Table {
    keys: &[
        Entry::required("slug", &NAME_TEXT, "the type's name in addresses"),
        Entry::required("name", &FILLED, "the display name"),
        Entry::optional("description", &TEXT, "what it is"),
        Entry::optional("metadata_schema", &METADATA_SCHEMA, "the members of its metadata"),
        Entry::optional("metadata", &ANY, "accepted, not used"),
        Entry::optional("icon", &ANY, "accepted, not used"),
        Entry::optional("color", &ANY, "accepted, not used"),
        Entry::optional("lifecycle", &LIFECYCLE, "what no plan may do to it"),
    ],
    open: Some(|key| key.starts_with("x-")),
});

static METADATA_SCHEMA: Shape = Shape::Table(&Table {
    keys: &[
        Entry::optional("required", &TEXTS, "members that must be there"),
        Entry::optional("properties", &ANY_MAP, "the members, as JSON Schema"),
    ],
    open: Some(|_| true),
});

static RELATIONSHIP: Shape = Shape::Table(&Table {
    keys: &[
        Entry::required("slug", &NAME_TEXT, "the type's name in addresses"),
        Entry::required("name", &FILLED, "the display name"),
        Entry::optional("description", &TEXT, "what it is"),
        Entry::optional("rules", &Shape::List(&RULE), "which types it may join"),
        Entry::optional("metadata_schema", &ANY, "accepted, not used"),
        Entry::optional("metadata", &ANY, "accepted, not used"),
        Entry::optional("auto_create_when", &ANY, "accepted, not used"),
        Entry::optional("lifecycle", &LIFECYCLE, "what no plan may do to it"),
    ],
    open: Some(|key| key.starts_with("x-")),
});

static RULE: Shape = Shape::Table(&Table {
    keys: &[
        Entry::required("source", &FILLED, "the entity type it goes from"),
        Entry::required("target", &FILLED, "the entity type it goes to"),
    ],
    open: None,
});

static WATCHER: Shape = Shape::Table(&Table {
    keys: &[
        Entry::required("slug", &NAME_TEXT, "the watcher's name in addresses"),
        Entry::required("agent", &FILLED, "the agent that runs it"),
        Entry::required("name", &FILLED, "the display name"),
        Entry::required("schedule", &FILLED, "a cron expression, at most once a minute"),
        Entry::required("prompt", &FILLED, "what the agent is told"),
        Entry::optional("description", &TEXT, "what it is for"),
        Entry::optional("extraction_schema", &ANY_MAP, "what is extracted, as JSON Schema"),
        Entry::optional("sources", &Shape::List(&SOURCE), "what it reads"),
        Entry::optional("reactions_guidance", &TEXT, "how to react"),
        Entry::optional("reaction_script", &FILLED, "a `.ts` file below this one's folder"),
        Entry::optional("device_worker_id", &Shape::Text(UUID), "the device it runs on"),
        Entry::optional("scheduler_client_id", &TEXT, "the client that schedules it"),
        Entry::optional(
            "notification_channel",
            &Shape::Text(Rule::Choice(&["canvas", "notification", "both"])),
            "where results are shown",
        ),
        Entry::optional("notification_priority", &Shape::Text(Rule::Choice(&["low", "normal", "high"])), "how loudly"),
        Entry::optional("min_cooldown_seconds", &Shape::Number { min: 0.0 }, "the least time between two runs"),
        Entry::optional("tags", &TEXTS, "labels"),
        Entry::optional("agent_kind", &TEXT, "the kind of agent"),
        Entry::optional("json_template", &ANY, "how results are laid out"),
        Entry::optional("keying_config", &ANY_MAP, "how results are keyed"),
        Entry::optional("classifiers", &Shape::List(&ANY), "how results are classified"),
        Entry::optional("condensation_prompt", &TEXT, "how results are condensed"),
        Entry::optional("condensation_window_count", &Shape::Integer { min: 2, max: i64::MAX }, "how many at a time"),
        Entry::optional("lifecycle", &LIFECYCLE, "what no plan may do to it"),
    ],
    open: None,
});

static SOURCE: Shape = Shape::Table(&Table {
    keys: &[
        Entry::required("name", &FILLED, "the name of the source"),
        Entry::required("query", &FILLED, "what is asked of it"),
    ],
    open: None,
});

const UUID: Rule = Rule::Form {
    test: |text| {
        let mut lengths = [8, 4, 4, 4, 12].into_iter();
        text.split('-')
            .all(|part| lengths.next() == Some(part.len()) && part.bytes().all(|byte| byte.is_ascii_hexdigit()))
            && lengths.next().is_none()
    },
    says: "be a UUID, such as `550e8400-e29b-41d4-a716-446655440000`",
    pattern: "^[0-9a-fA-F]{8}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{12}$",
};

/// The types of a document in the connectors folder.
pub(crate) const CONNECTOR_TYPES: Rule = Rule::Choice(&["connection", "auth_profile", "connector"]);

static TYPE: Shape = Shape::Text(CONNECTOR_TYPES);
static VERSION: Shape = Shape::Integer { min: 1, max: 1 };

/// Any document of the connectors folder, by its type only.
pub(crate) static CONNECTORS: Shape = Shape::Table(&Table {
    keys: &[
        Entry::required("type", &TYPE, "`connection`, `auth_profile` or `connector`"),
        Entry::optional("version", &VERSION, "the version of the format, which is 1"),
    ],
    open: Some(|_| true),
});

/// A document of type `connection`.
pub(crate) static CONNECTION: Shape = Shape::Table(&Table {
    keys: &[
        Entry::required("type", &TYPE, "`connection`"),
        Entry::optional("version", &VERSION, "the version of the format, which is 1"),
        Entry::required("slug", &Shape::Text(ID), "the connection's name in addresses"),
        Entry::required("connector", &FILLED, "the connector it uses"),
        Entry::optional("name", &TEXT, "the display name"),
        Entry::optional("auth", &FILLED, "the auth profile it uses"),
        Entry::optional("app_auth", &FILLED, "the auth profile of the app it uses"),
        Entry::optional("device_worker_id", &Shape::Text(UUID), "the device it runs on"),
        Entry::optional("config", &CONNECTION_CONFIG, "the connector's options"),
        Entry::optional("feeds", &Shape::List(&FEED), "its scheduled streams"),
        Entry::optional("lifecycle", &LIFECYCLE, "what no plan may do to it"),
    ],
    open: None,
});

static CONNECTION_CONFIG: Shape = Shape::Table(&Table {
    keys: &[Entry::optional(
        "action_modes",
        &Shape::Map { key: Rule::NonEmpty, value: &Shape::Text(Rule::Choice(&["disabled", "approval", "auto"])) },
        "what actions need: `disabled`, `approval` or `auto`",
    )],
    open: Some(|_| true),
});

static FEED: Shape = Shape::Table(&Table {
    keys: &[
        Entry::required("feed", &NAME_TEXT, "the feed's key"),
        Entry::optional("name", &TEXT, "the display name"),
        Entry::optional("schedule", &FILLED, "a cron expression, at most once a minute"),
        Entry::optional("config", &ANY_MAP, "the feed's options"),
        Entry::optional("lifecycle", &LIFECYCLE, "what no plan may do to it"),
    ],
    open: None,
});

/// A document of type `auth_profile`.
pub(crate) static AUTH_PROFILE: Shape = Shape::Table(&Table {
    keys: &[
        Entry::required("type", &TYPE, "`auth_profile`"),
        Entry::optional("version", &VERSION, "the version of the format, which is 1"),
        Entry::required("slug", &Shape::Text(PROFILE_SLUG), "the profile's name in addresses"),
        Entry::required("connector", &FILLED, "the connector it is for"),
        Entry::required(
            "kind",
            &Shape::Text(Rule::Choice(&["env", "oauth_app", "oauth_account", "browser_session"])),
            "how it authenticates",
        ),
        Entry::optional("name", &TEXT, "the display name"),
        Entry::optional("credentials", &CREDENTIALS, "the credentials, as references"),
        Entry::optional("lifecycle", &LIFECYCLE, "what no plan may do to it"),
    ],
    open: None,
});

static CREDENTIALS: Shape = Shape::Map { key: Rule::NonEmpty, value: &Shape::Secret };

const PROFILE_SLUG: Rule = Rule::Form {
    test: |text| {
        let (head, tail) = text.split_at_checked(1).unwrap_or(("", ""));
        let tail_is_id = tail.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-');
        crate::resource::is_id(head) && tail_is_id && text.len() <= 80
    },
    says: "be lower-case letters, digits and `-`, at most 80, starting with a letter or digit",
    pattern: "^[a-z0-9][a-z0-9-]{0,79}$",
};

/// A document of type `connector`.
pub(crate) static CONNECTOR: Shape = Shape::Table(&Table {
    keys: &[
        Entry::required("type", &TYPE, "`connector`"),
        Entry::optional("version", &VERSION, "the version of the format, which is 1"),
        Entry::required("key", &NAME_TEXT, "the connector's key"),
        Entry::optional("source_path", &FILLED, "a local `.ts` file"),
        Entry::optional("source_url", &Shape::Text(HTTPS), "where the source is fetched, over https"),
        Entry::optional("lifecycle", &LIFECYCLE, "what no plan may do to it"),
    ],
    open: None,
});

const HTTPS: Rule = Rule::Form {
    test: |text| {
        text.strip_prefix("https://").is_some_and(|rest| !rest.is_empty() && !rest.contains(char::is_whitespace))
    },
    says: "start with `https://`",
    pattern: "^https://\\S+$",
};

/// The front matter of `SKILL.md`.
pub(crate) static SKILL: Shape = Shape::Table(&Table {
    keys: &[
        Entry::optional("name", &NAME_TEXT, "the skill's name; the folder's by default"),
        Entry::optional("description", &TEXT, "when to use it"),
        Entry::optional("nixPackages", &TEXTS, "packages that it needs"),
        Entry::optional("network", &SKILL_NETWORK, "domains that it needs"),
        Entry::optional("judges", &TEXT_MAP, "the policies of its judges"),
        Entry::optional("mcpServers", &Shape::Map { key: NAME, value: &SKILL_MCP }, "MCP servers that it needs"),
        Entry::optional("license", &ANY, "accepted, not used"),
        Entry::optional("compatibility", &ANY, "accepted, not used"),
        Entry::optional("metadata", &ANY, "accepted, not used"),
        Entry::optional("version", &ANY, "accepted, not used"),
        Entry::optional("allowed-tools", &ANY, "accepted, not used"),
    ],
    open: None,
});

static SKILL_NETWORK: Shape = Shape::Table(&Table {
    keys: &[
        Entry::optional("allow", &TEXTS, "domains that may be reached"),
        Entry::optional("deny", &TEXTS, "domains that may not be reached"),
        Entry::optional("judge", &Shape::List(&JUDGED), "domains whose requests a judge decides"),
    ],
    open: None,
});

static SKILL_MCP: Shape = Shape::Table(&Table {
    keys: &[
        Entry::optional("type", &Shape::Text(Rule::Choice(&["streamable-http", "sse", "stdio"])), "how it is reached"),
        Entry::optional("url", &TEXT, "its address"),
        Entry::optional("command", &TEXT, "the program to start"),
        Entry::optional("args", &TEXTS, "the program's arguments"),
        Entry::optional("env", &TEXT_MAP, "the program's variables"),
        Entry::optional("headers", &TEXT_MAP, "headers of requests"),
    ],
    open: None,
});
