//! The operations of the interface: each method of each path, with what it takes, gives and refuses.
//!
//! Never here: how they are written down (`openapi.rs`), and the schemas that they name (`openapi/schemas.json`).

/// One method of one path.
#[derive(Clone, Copy)]
pub(super) struct Operation {
    pub(super) method: &'static str,
    pub(super) path: &'static str,
    pub(super) summary: &'static str,
    /// Query parameters beside `org` and `min_revision`; one that must be there ends in `!`.
    pub(super) query: &'static [&'static str],
    /// The body that it takes.
    pub(super) takes: Takes,
    /// Its good answer.
    pub(super) gives: (u16, Gives),
    /// The headers that it heeds, beside those of every route; one that takes nothing but `*` ends in `=*`.
    pub(super) headers: &'static [&'static str],
    /// The statuses of its problems, beside those of every route of its kind.
    pub(super) refuses: &'static [u16],
    /// What lets a caller in from the network.
    pub(super) access: Access,
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Access {
    Nothing,
    Token,
    /// A worker's token, which also says which organisation is meant.
    Worker,
}

#[derive(Clone, Copy)]
pub(super) enum Takes {
    Nothing,
    Json(&'static str),
    /// A JSON body that may be left out.
    MaybeJson(&'static str),
    Bytes,
}

#[derive(Clone, Copy)]
pub(super) enum Gives {
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

pub(super) const OPERATIONS: &[Operation] = &[
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
    Operation {
        headers: &["Idempotency-Key"],
        ..post(
            "/v1/rollback",
            "Puts an earlier revision back",
            Takes::Json("RollbackRequest"),
            200,
            "Receipt",
            &[409, 410, 422],
        )
    },
    Operation {
        headers: &["Idempotency-Key"],
        ..post("/v1/resume", "Lets a held source go on", Takes::MaybeJson("ResumeRequest"), 200, "Receipt", &[409, 422])
    },
    Operation {
        headers: &["Idempotency-Key"],
        ..post(
            "/v1/approve",
            "Applies a plan that a loop left to somebody",
            Takes::Json("ApproveRequest"),
            200,
            "Receipt",
            &[409, 410, 422],
        )
    },
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
        headers: &["If-Match", "If-None-Match=*", "Idempotency-Key"],
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
        headers: &["If-Match", "Idempotency-Key"],
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
        headers: &["If-Match", "If-None-Match=*", "Idempotency-Key"],
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
