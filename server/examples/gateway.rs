//! An agent gateway of your own: it holds the store, answers chats, and `reconcile` changes it while it runs.
//!
//! `gateway .holdfast 8080`, then `curl http://127.0.0.1:8080/chat/hotreload-test`, then in another terminal
//! `reconcile --store .holdfast --yes`: the next chat has it. Nothing here is ever restarted or told to reload. Users bring keys of
//! their own (`curl -T key .../users/maria/keys/z-ai`), and workers get their session by a token (`.../workers/AGENT?user=maria`).

use std::collections::BTreeMap;
use std::error::Error;
use std::ffi::OsString;
use std::fs::File;
use std::io::{Read, Write, stderr, stdin, stdout};
use std::os::fd::AsFd;
use std::os::unix::fs::FileTypeExt;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::{Instant, UNIX_EPOCH};

use axum::extract::{Path as Segment, Query, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, put};
use axum::{Json, Router};
use holdfast_engine::{Engine, Options, SledOptions, SledStore, Timestamp};
use holdfast_reconciler::agents::profile::ProfileType;
use holdfast_reconciler::agents::resolver::SystemEnvironment;
use holdfast_reconciler::desired::SecretText;
use holdfast_reconciler::error::Problem;
use holdfast_reconciler::keyfile::KeySource;
use holdfast_reconciler::plane::{
    ControlPlane, Holder, ProfileChange, ProfileCredential, ProfileWrite, SessionRequest,
};
use holdfast_reconciler::resource::OrgId;
use holdfast_reconciler::{Plane, PlaneOptions};
use holdfast_server::{ProblemBody, ServeOptions, mount, status};
use serde_json::json;
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::oneshot;

#[tokio::main]
async fn main() -> ExitCode {
    tracing_subscriber::fmt().with_writer(stderr).init();
    let mut arguments = std::env::args().skip(1);
    let store = arguments.next().unwrap_or(".holdfast".to_owned());
    let port = arguments.next().and_then(|port| port.parse().ok()).unwrap_or(0);
    if let Err(error) = run(&store, port).await {
        let _ = writeln!(stderr(), "error: {error}");
        return ExitCode::FAILURE;
    }
    ExitCode::SUCCESS
}

async fn run(store: &str, port: u16) -> Result<(), Box<dyn Error>> {
    let engine = Engine::open(Box::new(SledStore::open(store.as_ref(), SledOptions::default())?), Options::new(now))?;
    let holder = Holder { pid: std::process::id(), version: concat!("gateway ", env!("CARGO_PKG_VERSION")).to_owned() };
    let text = |(name, value): (OsString, OsString)| Some((name.into_string().ok()?, value.into_string().ok()?));
    let variables: BTreeMap<_, _> = std::env::vars_os().filter_map(text).collect();
    // `reconcile` sends secrets to this program, which seals them: only it needs the key.
    let keys = KeySource::of(&variables, ".".as_ref());
    let system = SystemEnvironment::Known(variables);
    let begun = Instant::now();
    let elapsed = Arc::new(move || begun.elapsed());
    let options = PlaneOptions { keys, system, clock: Arc::new(now), elapsed, holder: Some(holder) };
    let plane = Plane::new(engine, options);

    // The one call that lets `reconcile` in: it finds the socket in the store's folder.
    let control = mount(Arc::new(plane.clone()), store, ServeOptions::default()).await?;

    let chats = Router::new()
        .route("/chat/{agent}", get(chat))
        .route("/workers/{agent}", get(worker))
        .route("/users/{user}/keys/{provider}", put(own_key))
        .route("/session-context", get(session_context))
        .with_state(plane.clone());
    let listener = TcpListener::bind(("127.0.0.1", port)).await?;
    writeln!(stdout(), "chats at http://{}/chat/AGENT", listener.local_addr()?)?;
    axum::serve(listener, chats).with_graceful_shutdown(told_to_stop()?).await?;

    control.shutdown().await;
    plane.engine().close();
    Ok(())
}

type Asked = (State<Plane>, Segment<String>, Query<BTreeMap<String, String>>);

/// Answers one chat: what it would run on. A real gateway would talk to the model here.
async fn chat((State(plane), Segment(agent), Query(query)): Asked) -> Response {
    let session = plane.session(&OrgId::default(), &agent, query.get("user").map(String::as_str));
    answer(session.map(|session| {
        let context = session.context();
        let credential = context.credentials.iter().find(|credential| credential.provider == context.model.provider);
        json!({
            "agent": context.agent, "provider": context.model.provider, "model": context.model.id,
            "revision": context.revision, "credential": credential.map(|credential| credential.source),
            "pid": std::process::id(),
        })
    }))
}

/// Opens a session that stays open and gives its worker's token; a real gateway would start the worker with it.
async fn worker((State(plane), Segment(agent), Query(mut query)): Asked) -> Response {
    let (org, user) = (Some(OrgId::default()), query.remove("user"));
    let request = SessionRequest { org, agent, user, ..SessionRequest::default() };
    let opened = plane.open_session(&request).and_then(|context| {
        let id = context.session.unwrap_or_default();
        Ok(json!({"session": id, "token": plane.worker_token(Some(&context.org), &id, None)?.token}))
    });
    answer(opened)
}

/// What a worker gets for its token: organisation, agent and user are inside it, and no value of a credential comes out.
async fn session_context(State(plane): State<Plane>, headers: HeaderMap) -> Response {
    let shown = headers.get("authorization").and_then(|value| value.to_str().ok()?.strip_prefix("Bearer "));
    answer(plane.session_context(&SecretText::new(shown.unwrap_or_default().to_owned())).map(|context| json!(context)))
}

/// Takes a key of a user's own, for all models of a provider. A real gateway would know who asks.
async fn own_key(State(plane): State<Plane>, Segment(names): Segment<(String, String)>, key: String) -> Response {
    let credential = ProfileCredential::Value(SecretText::new(key.trim_end().to_owned()));
    let change = ProfileChange::Set { kind: ProfileType::ApiKey, credential, expires: None };
    let (org, (user, provider), author) = (Some(OrgId::default()), names, "gateway:users".to_owned());
    let write = ProfileWrite { org, user, provider, model: None, change, author, allow_break: Default::default() };
    // A write waits for the disk, so it has a thread of its own.
    let written = tokio::task::spawn_blocking(move || plane.write_profile(&write)).await;
    written
        .map_or_else(|_| StatusCode::INTERNAL_SERVER_ERROR.into_response(), |done| answer(done.map(|done| json!(done))))
}

fn answer(result: Result<serde_json::Value, Problem>) -> Response {
    let body = result.map_err(|problem| (status(problem.kind), problem));
    body.map_or_else(
        |(code, why)| (code, Json(ProblemBody::new(why, code, None))).into_response(),
        |body| Json(body).into_response(),
    )
}

/// Ends on SIGTERM, on Ctrl-C, and when the program at the other end of a piped standard input is gone.
fn told_to_stop() -> Result<impl Future<Output = ()> + Send + 'static, Box<dyn Error>> {
    let (mut terminate, mut interrupt) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
    let (gone, parent) = oneshot::channel::<()>();
    let piped = File::from(stdin().as_fd().try_clone_to_owned()?).metadata()?.file_type().is_fifo();
    if piped {
        std::thread::spawn(move || (stdin().read_to_end(&mut Vec::new()).ok(), drop(gone)));
    }
    Ok(async move {
        tokio::select!(_ = terminate.recv() => {}, _ = interrupt.recv() => {}, _ = parent, if piped => {});
    })
}

fn now() -> Timestamp {
    Timestamp::from_millis(UNIX_EPOCH.elapsed().map_or(0, |since| since.as_millis() as i64))
}
