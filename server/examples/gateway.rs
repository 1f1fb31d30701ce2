//! An agent gateway of your own: it holds the store, answers chats, and `reconcile` changes it while it runs.
//!
//! `gateway .holdfast 8080`, then `curl http://127.0.0.1:8080/chat/hotreload-test`, then in another terminal
//! `reconcile --store .holdfast --yes`: the next chat has it. Nothing here is ever restarted or told to reload.

use std::collections::BTreeMap;
use std::error::Error;
use std::ffi::OsString;
use std::fs::File;
use std::io::{Read, Write, stderr, stdin, stdout};
use std::os::fd::AsFd;
use std::os::unix::fs::FileTypeExt;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::UNIX_EPOCH;

use axum::extract::{Path as Segment, Query, State};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};
use holdfast_engine::{Engine, Options, SledOptions, SledStore, Timestamp};
use holdfast_reconciler::agents::resolver::SystemEnvironment;
use holdfast_reconciler::keyfile::KeySource;
use holdfast_reconciler::plane::Holder;
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
    let options = PlaneOptions { keys, system, clock: Arc::new(now), holder: Some(holder) };
    let plane = Plane::new(engine, options);

    // The one call that lets `reconcile` in: it finds the socket in the store's folder.
    let control = mount(Arc::new(plane.clone()), store, ServeOptions::default()).await?;

    let chats = Router::new().route("/chat/{agent}", get(chat)).with_state(plane.clone());
    let listener = TcpListener::bind(("127.0.0.1", port)).await?;
    writeln!(stdout(), "chats at http://{}/chat/AGENT", listener.local_addr()?)?;
    axum::serve(listener, chats).with_graceful_shutdown(told_to_stop()?).await?;

    control.shutdown().await;
    plane.engine().close();
    Ok(())
}

type Parameters = BTreeMap<String, String>;

/// Answers one chat: what it would run on. A real gateway would talk to the model here.
async fn chat(
    State(plane): State<Plane>,
    Segment(agent): Segment<String>,
    Query(query): Query<Parameters>,
) -> Response {
    let session = match plane.session(&OrgId::default(), &agent, query.get("user").map(String::as_str)) {
        Ok(session) => session,
        Err(problem) => {
            let status = status(problem.kind);
            return (status, Json(ProblemBody::new(problem, status, None))).into_response();
        }
    };
    let context = session.context();
    let credential = context.credentials.iter().find(|credential| credential.provider == context.model.provider);
    Json(json!({
        "agent": context.agent, "provider": context.model.provider, "model": context.model.id,
        "revision": context.revision, "credential": credential.map(|credential| credential.source),
        "pid": std::process::id(),
    }))
    .into_response()
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
