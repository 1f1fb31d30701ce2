//! Where the control socket is, who gets it, and how it goes away.

use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::sync::Arc;

use holdfast_reconciler::plane::{ControlPlane, SessionRequest};
use holdfast_server::{Client, Discovery, MountError, SOCKET_NAME, ServeOptions, discover, mount};

use crate::support::{Halted, Server, apply, eventually, halting_plane, hotreload, plan_request, plane};

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap()
}

#[test]
fn two_servers_on_one_folder_are_refused_and_the_first_is_named() {
    let server = Server::start();
    let second =
        runtime().block_on(mount(Arc::new(server.plane.clone()), server.folder.path(), ServeOptions::default()));
    let error = second.err().unwrap();
    assert!(matches!(error, MountError::Served { pid: Some(pid), .. } if pid == std::process::id()), "{error}");
    assert!(error.to_string().contains(&std::process::id().to_string()), "{error}");
    assert!(matches!(discover(server.folder.path()).unwrap(), Discovery::Server(_)));
}

#[test]
fn the_socket_is_for_its_user_alone() {
    let server = Server::start();
    let mode = std::fs::metadata(server.socket()).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
}

#[test]
fn a_path_that_no_socket_address_can_hold_works() {
    let root = tempfile::tempdir().unwrap();
    let folder: PathBuf =
        std::iter::repeat_n("a-folder-with-a-long-name", 12).fold(root.path().to_owned(), |path, part| path.join(part));
    std::fs::create_dir_all(&folder).unwrap();
    assert!(folder.as_os_str().len() > 300);
    let runtime = runtime();
    let plane = plane(root.path());
    let handle = runtime.block_on(mount(Arc::new(plane.clone()), &folder, ServeOptions::default())).unwrap();
    let Discovery::Server(client) = discover(&folder).unwrap() else { panic!("no server") };
    assert_eq!(client.head(), plane.head());
    runtime.block_on(handle.shutdown());
    assert!(matches!(discover(&folder).unwrap(), Discovery::None));
}

#[test]
fn a_socket_that_is_left_behind_is_replaced() {
    let folder = tempfile::tempdir().unwrap();
    drop(std::os::unix::net::UnixListener::bind(folder.path().join(SOCKET_NAME)).unwrap());
    assert!(matches!(discover(folder.path()).unwrap(), Discovery::Stale));
    let plane = plane(folder.path());
    let server = Server::serve(Arc::new(plane.clone()), plane, folder, ServeOptions::default());
    assert!(matches!(discover(server.folder.path()).unwrap(), Discovery::Server(_)));
}

#[test]
fn a_dropped_handle_takes_the_socket_away() {
    let folder = tempfile::tempdir().unwrap();
    let runtime = runtime();
    let plane: Arc<dyn ControlPlane> = Arc::new(plane(folder.path()));
    for _ in 0..2 {
        let handle = runtime.block_on(mount(Arc::clone(&plane), folder.path(), ServeOptions::default())).unwrap();
        let _served = Client::new(handle.socket().to_owned()).head().unwrap();
        drop(handle);
        assert!(!folder.path().join(SOCKET_NAME).exists());
    }
}

#[test]
fn p3_a_shutdown_lets_requests_under_way_finish() {
    let Halted { plane, halt, folder } = halting_plane();
    apply(&plane, plan_request(hotreload("glm-4.6")));
    let server = Server::serve(Arc::new(plane.clone()), plane, folder, ServeOptions::default());
    let client = server.client();
    halt.close();
    let request = SessionRequest { agent: "hotreload-test".to_owned(), ..SessionRequest::default() };
    std::thread::scope(|threads| {
        let asked = threads.spawn(|| client.look(&request));
        eventually("the request", || halt.waiting() == 1);
        let folder = server.folder.path().to_owned();
        let down = threads.spawn(|| server.shut_down());
        eventually("the end of accepting", || matches!(discover(&folder), Ok(Discovery::Stale)));
        halt.open();
        assert_eq!(asked.join().unwrap().unwrap().model.id, "glm-4.6");
        let folder = down.join().unwrap();
        assert!(matches!(discover(folder.path()).unwrap(), Discovery::None));
    });
}
