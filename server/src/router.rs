//! The table of routes, and what surrounds each of them: protocol check, request id, revision header, problem bodies, one log
//! line.
//!
//! Never here: what a route does (`routes/`), and anything about connections (`socket.rs`, `serve.rs`).

use std::sync::Arc;
use std::time::Instant;

use axum::Router;
use axum::extract::{DefaultBodyLimit, MatchedPath, Path, Request, State};
use axum::http::request::Parts;
use axum::http::{HeaderValue, Method, Uri, header};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use axum::routing::{delete, get, post, put};
use holdfast_reconciler::plane::ControlPlane;
use holdfast_reconciler::resource::OrgId;
use tokio::sync::watch;
use tower_http::CompressionLevel;
use tower_http::compression::CompressionLayer;
use uuid::Uuid;

use crate::access::{Granted, Shares, admit};
use crate::body::Bodies;
use crate::declaring::KnownRequests;
use crate::events::{self, Watches};
use crate::gate::Gate;
use crate::metrics::Metrics;
use crate::openapi::openapi;
use crate::problem::shown;
use crate::protocol::{PROTOCOL, PROTOCOL_HEADER, REQUEST_ID_HEADER, REVISION_HEADER, Spoken, revision_value, spoken};
use crate::refusal::{Refusal, write_body};
use crate::routes::{
    commits, compare, followers, health, kv, plans, profiles, resources, secrets, sessions, tokens, upkeep,
};
use crate::serve::ServeOptions;
use crate::wire::Hello;

/// What every route can reach.
#[derive(Clone)]
pub(crate) struct App {
    /// The way to the plane.
    pub(crate) gate: Arc<Gate>,
    /// What each access token takes of the server.
    pub(crate) shares: Arc<Shares>,
    /// What reads bodies.
    pub(crate) bodies: Arc<Bodies>,
    /// What it knows of the plan requests that came last.
    pub(crate) requests: Arc<KnownRequests>,
    /// What the server counts of itself.
    pub(crate) metrics: Arc<Metrics>,
    /// What watches need.
    pub(crate) watches: Arc<Watches>,
    /// Which program this is.
    pub(crate) hello: Arc<Hello>,
}

/// Makes what every route can reach.
pub(crate) fn app(plane: Arc<dyn ControlPlane>, options: &ServeOptions, stopped: watch::Receiver<()>) -> App {
    let hello = Hello {
        status: "ok".to_owned(),
        pid: std::process::id(),
        program: options.program.clone(),
        protocol: PROTOCOL.to_owned(),
    };
    let bodies = Arc::new(Bodies::new(options.body_timeout));
    let watches = Arc::new(Watches::new(options.bookmark_every, stopped));
    App {
        shares: Arc::default(),
        bodies,
        requests: Arc::default(),
        metrics: Arc::default(),
        watches,
        gate: Arc::new(Gate::new(plane, options.revision_wait)),
        hello: Arc::new(hello),
    }
}

/// All routes.
pub(crate) fn router(app: App) -> Router {
    Router::new()
        .route("/healthz", get(health::healthz))
        .route("/readyz", get(health::readyz))
        .route("/metrics", get(health::metrics))
        .route("/openapi.json", get(openapi))
        .route("/v1/head", get(health::head))
        .route("/v1/status", get(health::status))
        .route("/v1/verify", post(health::verify))
        .route("/v1/compact", post(upkeep::compact))
        .route("/v1/backup", get(upkeep::backup))
        .route("/v1/plan", post(plans::plan))
        .route("/v1/seal", post(plans::seal))
        .route("/v1/apply", post(plans::apply))
        .route("/v1/rollback", post(plans::rollback))
        .route("/v1/resume", post(plans::resume))
        .route("/v1/approve", post(plans::approve))
        .route("/v1/poke", post(plans::poke))
        .route("/v1/import", post(plans::import))
        .route("/v1/commits", get(commits::list))
        .route("/v1/commits/{revision}", get(commits::one))
        .route("/v1/diff", get(compare::diff))
        .route("/v1/resources", get(resources::list))
        .route("/v1/resources/{kind}/{*name}", get(resources::one).patch(resources::patch).delete(resources::delete))
        .route("/v1/explain/{kind}/{*name}", get(resources::origins))
        .route("/v1/agents/{agent}/session", get(sessions::look))
        .route("/v1/agents/{agent}/sessions", post(sessions::open))
        .route("/v1/agents/{agent}/explain", get(sessions::explain))
        .route("/v1/session-context", get(sessions::context))
        .route("/v1/sessions/{id}/token", post(sessions::token))
        .route("/v1/sessions/{id}", get(sessions::one).delete(sessions::close))
        .route("/v1/profiles", get(profiles::list))
        .route("/v1/profiles/{user}/{provider}", put(profiles::set).delete(profiles::remove))
        .route("/v1/keys/rotate", post(secrets::rotate))
        .route("/v1/secrets", get(secrets::list))
        .route("/v1/secrets/{*name}", put(secrets::set).delete(secrets::remove))
        .route("/v1/tokens", get(tokens::list).post(tokens::create))
        .route("/v1/tokens/{token}", delete(tokens::revoke))
        .route("/v1/kv/{*key}", get(kv::read).put(kv::put).delete(kv::delete))
        .route("/v1/txn", post(kv::txn))
        .route("/v1/watch", get(events::watch))
        .route("/v1/follow", get(followers::follow))
        .route("/v1/followers/{id}", put(followers::told).delete(followers::left))
        .fallback(async |uri: Uri| Refusal::no_route(uri.path()))
        .method_not_allowed_fallback(async |method: Method| Refusal::no_method(method.as_str()))
        // Bodies are read by `body.rs`, which has a limit for each route.
        .layer(DefaultBodyLimit::disable())
        .layer(from_fn_with_state(app.clone(), around))
        // Outermost, so that problems are compressed too; events never are, because they must not wait for more.
        .layer(CompressionLayer::new().gzip(true).quality(CompressionLevel::Fastest))
        .with_state(app)
}

/// What surrounds every request.
async fn around(State(app): State<App>, mut request: Request, next: Next) -> Response {
    let begun = Instant::now();
    let id = request_id(&request);
    let method = request.method().clone();
    let matched = request.extensions().get::<MatchedPath>().map(|path| path.as_str().to_owned());
    let org = org_of(request.uri());
    let mut by = "-".to_owned();
    let mut response = match spoken(request.headers()) {
        Spoken::Ours | Spoken::Unsaid => {
            match admit(&app.gate, &app.shares, matched.as_deref(), org.as_ref(), &mut request).await {
                Ok(turn) => {
                    if let Some(granted) = request.extensions().get::<Granted>() {
                        by = granted.author(None);
                    }
                    let response = next.run(request).await;
                    drop(turn);
                    response
                }
                Err(refusal) => refusal.into_response(),
            }
        }
        Spoken::Other(version) => Refusal::protocol(&version).into_response(),
    };
    let (route, org) = (matched.unwrap_or("-".to_owned()), org.map_or("-".to_owned(), String::from));
    if !response.headers().contains_key(&REVISION_HEADER) {
        let revision = match app.gate.head().await {
            Ok(head) => head.revision,
            Err(_) => app.gate.newest(),
        };
        response.headers_mut().insert(REVISION_HEADER, revision_value(revision));
    }
    response.headers_mut().insert(PROTOCOL_HEADER, HeaderValue::from_static(PROTOCOL));
    response.headers_mut().entry(header::CACHE_CONTROL).or_insert(HeaderValue::from_static("no-store"));
    write_body(&mut response, &id);
    let status = response.status().as_u16();
    app.metrics.answered(&method, &route, status, begun.elapsed());
    let micros = u64::try_from(begun.elapsed().as_micros()).unwrap_or(u64::MAX);
    tracing::info!(%method, route, status, org, by, request_id = id, micros, "request");
    response
}

/// The id under which the request stands in the log: the client's, if it sent a printable one.
fn request_id(request: &Request) -> String {
    let sent = request.headers().get(&REQUEST_ID_HEADER).and_then(|id| id.to_str().ok());
    sent.map_or_else(|| Uuid::new_v4().to_string(), shown)
}

/// The organisation of the query, for the log and for the first look at a token; the route itself parses and checks it again.
fn org_of(uri: &Uri) -> Option<OrgId> {
    let (_, org) = form_urlencoded::parse(uri.query()?.as_bytes()).find(|(name, _)| name == "org")?;
    OrgId::new(org).ok()
}

/// The parts of a path, decoded.
pub(crate) struct At<T>(pub(crate) T);

impl<T> axum::extract::FromRequestParts<App> for At<T>
where
    T: serde::de::DeserializeOwned + Send,
{
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self, Refusal> {
        match Path::<T>::from_request_parts(parts, app).await {
            Ok(Path(path)) => Ok(Self(path)),
            Err(_) => {
                Err(Refusal::invalid("E_PATH", "the path is not percent-encoded UTF-8", "encode each part of the path"))
            }
        }
    }
}
