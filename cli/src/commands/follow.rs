//! `reconcile serve --follow SERVER`: follows a server from a folder of its own and answers through a socket there, and on the network
//! if asked to, until it is told to stop.
//!
//! Never here: following itself (the server crate does), and holding a store (`serve.rs`).

use std::path::{Path, PathBuf};
use std::sync::Arc;

use holdfast_reconciler::agents::resolver::SystemEnvironment;
use holdfast_reconciler::error::{Problem, ProblemKind};
use holdfast_reconciler::plane::Holder;
use holdfast_server::{Client, Discovery, Follower, FollowerOptions, SOCKET_NAME, ServeOptions, discover, mount};

use super::Run;
use super::certificate::Certificate;
use super::serve::{Signals, end_at_second, listen, ready};
use crate::args::ServeArgs;
use crate::clock;
use crate::closed::DATA;
use crate::descriptors;
use crate::error::{Exit, Failure};
use crate::remote;

/// Follows until SIGTERM or SIGINT.
pub(super) fn run(run: &Run, args: &ServeArgs, server: &str, folder: &Path) -> Result<Exit, Failure> {
    let (listen, certificate) = listen(run, args)?;
    // A folder with a store is refused as such.
    let own = folder.join(SOCKET_NAME);
    if !server.contains("://") && is_same(&socket_of(run, server), &own) && !folder.join(DATA).exists() {
        let message = format!("`{}` would follow itself", folder.display());
        return Err(Failure::new("E_FOLLOW_FOLDER", message)
            .help("`--follow` names the server, and `--store` a folder of the follower's own"));
    }
    let server = client(run, server)?;
    if folder.exists() && !folder.is_dir() {
        let message = format!("`{}` is no folder", folder.display());
        return Err(Failure::new("E_FOLLOW_FOLDER", message).help("name a folder of the follower's own with `--store`"));
    }
    if let Discovery::Server(_) = discover(folder)? {
        let message = format!("the folder `{}` is served by another process already", folder.display());
        return Err(Failure::new("E_SERVED", message).help("name another folder for the follower with `--store`"));
    }
    run.output.log(args.log_format);
    descriptors::raise();
    let pid = std::process::id();
    let place = server.place();
    let follower = Follower::start(FollowerOptions {
        server,
        folder: folder.to_owned(),
        name: args.name.clone(),
        keys: run.setting.keys(),
        system: SystemEnvironment::Known(run.setting.environment.clone()),
        clock: clock::system(),
        holder: Some(Holder { pid, version: env!("CARGO_PKG_VERSION").to_owned() }),
    })?;
    let failed = |error: &std::io::Error| Failure::io("E_SERVE", "cannot start to serve", error);
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().map_err(|error| failed(&error))?;
    let mounted = follower.clone();
    runtime.block_on(async {
        // Signals are taken before anybody can see that the follower is ready.
        let mut signals = Signals::take().map_err(|error| failed(&error))?;
        certificate.map_or(Ok(()), Certificate::keep).map_err(|error| failed(&error))?;
        let program = concat!("reconcile/", env!("CARGO_PKG_VERSION")).to_owned();
        let options = ServeOptions { program, listen, ..ServeOptions::default() };
        let handle = mount(Arc::new(mounted), folder, options)
            .await
            .map_err(|error| Problem::from_error(ProblemKind::Failed, "E_SERVE", &error).help(error.help()))?;
        let shown = std::fs::canonicalize(folder).unwrap_or_else(|_| folder.to_owned());
        ready(run, args, &format!("following {place}, serving {}", shown.display()), &shown, &handle);
        let why = signals.stop().await;
        tracing::info!(signal = why, "stopping; a second signal ends at once");
        end_at_second(signals);
        handle.shutdown().await;
        Ok::<(), Failure>(())
    })?;
    follower.shutdown();
    Ok(Exit::Done)
}

/// The server that is followed: at an address, or by the socket in the folder of its store.
fn client(run: &Run, server: &str) -> Result<Client, Failure> {
    if server.contains("://") {
        return remote::client(&run.setting, server);
    }
    Ok(Client::new(socket_of(run, server)))
}

/// The socket of a server that is named by its store's folder, or by the socket itself.
fn socket_of(run: &Run, server: &str) -> PathBuf {
    let path = run.setting.path(Path::new(server));
    let is_socket = path.file_name().is_some_and(|name| name == SOCKET_NAME);
    if is_socket { path } else { path.join(SOCKET_NAME) }
}

/// Whether two sockets, which need not be there, are in one folder.
fn is_same(one: &Path, other: &Path) -> bool {
    let folder = |socket: &Path| {
        let folder = socket.parent().unwrap_or(socket);
        std::fs::canonicalize(folder).or_else(|_| std::path::absolute(folder)).unwrap_or_else(|_| folder.to_owned())
    };
    folder(one) == folder(other)
}
