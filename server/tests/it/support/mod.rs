//! What several tests share: a server on the real plane, raw HTTP over its socket, and the project of `testdata/hotreload`.

pub(crate) mod http;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Condvar, Mutex};
use std::time::{Duration, Instant};

use holdfast_engine::{Engine, MemoryStore, Options, Timestamp};
use holdfast_reconciler::agents::resolver::SystemEnvironment;
use holdfast_reconciler::desired::Desired;
use holdfast_reconciler::keyfile::KeySource;
use holdfast_reconciler::manifest::{Environment, MemoryTree, load};
use holdfast_reconciler::plan::{PlanOptions, PlanRequest};
use holdfast_reconciler::plane::{ApplyRequest, ControlPlane, WriteReceipt};
use holdfast_reconciler::resource::OrgId;
use holdfast_reconciler::{Plane, PlaneOptions};
use holdfast_server::{Client, SOCKET_NAME, ServeOptions, ServerHandle, mount};
use tempfile::TempDir;
use tokio::runtime::Runtime;

/// The secret of all tests: it must be in no answer.
pub(crate) const SECRET: &str = "sk-hidden-7f3a";

/// A server on a plane in memory, in a folder of its own.
pub(crate) struct Server {
    pub(crate) plane: Plane,
    pub(crate) folder: TempDir,
    handle: Option<ServerHandle>,
    runtime: Runtime,
}

impl Server {
    pub(crate) fn start() -> Self {
        Self::start_with(ServeOptions::default())
    }

    pub(crate) fn start_with(options: ServeOptions) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let plane = plane(folder.path());
        Self::serve(Arc::new(plane.clone()), plane, folder, options)
    }

    /// Serves another plane over the same store.
    pub(crate) fn serve(served: Arc<dyn ControlPlane>, plane: Plane, folder: TempDir, options: ServeOptions) -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
        let handle = runtime.block_on(mount(served, folder.path(), options)).unwrap();
        Self { plane, folder, handle: Some(handle), runtime }
    }

    pub(crate) fn socket(&self) -> PathBuf {
        self.folder.path().join(SOCKET_NAME)
    }

    /// Where the server listens on the network.
    pub(crate) fn address(&self) -> SocketAddr {
        self.handle.as_ref().unwrap().address().unwrap()
    }

    pub(crate) fn client(&self) -> Client {
        Client::new(self.socket())
    }

    /// Shuts down gracefully and gives the folder.
    pub(crate) fn shut_down(mut self) -> TempDir {
        self.runtime.block_on(self.handle.take().unwrap().shutdown());
        self.folder
    }
}

/// A plane in memory, with its key in the folder.
pub(crate) fn plane(folder: &Path) -> Plane {
    plane_with_clock(folder, || ())
}

/// The same, with something that happens whenever the plane looks at its clock: in each plan and each session.
fn plane_with_clock(folder: &Path, looked_at: impl Fn() + Send + Sync + 'static) -> Plane {
    // Every commit is a second after the one before.
    let seconds = AtomicI64::new(1_700_000_000);
    let commits = move || Timestamp::from_millis(seconds.fetch_add(1, Ordering::Relaxed) * 1000);
    let engine = Engine::open(Box::new(MemoryStore::new()), Options::new(commits)).unwrap();
    let clock = move || {
        looked_at();
        Timestamp::from_millis(1_700_000_000_000)
    };
    let keys = KeySource::File(folder.join("key/master.key"));
    let system = SystemEnvironment::Known(BTreeMap::new());
    Plane::new(
        engine,
        PlaneOptions {
            keys,
            system,
            clock: Arc::new(clock),
            elapsed: Arc::new(|| std::time::Duration::ZERO),
            holder: None,
        },
    )
}

/// A plane whose plans and sessions a test can hold up.
pub(crate) struct Halted {
    pub(crate) plane: Plane,
    pub(crate) halt: Arc<Halt>,
    pub(crate) folder: TempDir,
}

pub(crate) fn halting_plane() -> Halted {
    let halt = Arc::new(Halt::default());
    let passed = Arc::clone(&halt);
    let folder = tempfile::tempdir().unwrap();
    Halted { plane: plane_with_clock(folder.path(), move || passed.pass()), halt, folder }
}

/// A gate that a test opens and closes.
#[derive(Default)]
pub(crate) struct Halt {
    state: Mutex<HaltState>,
    changed: Condvar,
}

#[derive(Default)]
struct HaltState {
    closed: bool,
    panics: bool,
    waiting: usize,
}

impl Halt {
    fn pass(&self) {
        let mut state = self.state.lock().unwrap();
        if std::mem::take(&mut state.panics) {
            drop(state);
            panic!("on purpose");
        }
        state.waiting += 1;
        while state.closed {
            state = self.changed.wait(state).unwrap();
        }
        state.waiting -= 1;
    }

    pub(crate) fn close(&self) {
        self.state.lock().unwrap().closed = true;
    }

    pub(crate) fn open(&self) {
        self.state.lock().unwrap().closed = false;
        self.changed.notify_all();
    }

    pub(crate) fn panic_once(&self) {
        self.state.lock().unwrap().panics = true;
    }

    /// How many calls are held up.
    pub(crate) fn waiting(&self) -> usize {
        self.state.lock().unwrap().waiting
    }
}

/// The project `testdata/hotreload` with a model of the test's choice; the key is set.
pub(crate) fn hotreload(model: &str) -> Desired {
    project(model, Some(SECRET))
}

/// The same, with or without a value of the key.
pub(crate) fn project(model: &str, key: Option<&str>) -> Desired {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../testdata/hotreload");
    let manifest = std::fs::read_to_string(root.join("lobu.toml")).unwrap().replace("glm-4.6", model);
    let identity = "agents/hotreload-test/IDENTITY.md";
    let text = std::fs::read_to_string(root.join(identity)).unwrap_or_else(|_| "An agent.\n".to_owned());
    let tree = MemoryTree::new([("lobu.toml", manifest.as_str()), (identity, text.as_str())]);
    let variables = key.map(|key| ("Z_AI_API_KEY".to_owned(), key.to_owned()));
    let loaded = load(&tree, "hotreload", &Environment::new(variables));
    loaded.desired.unwrap_or_else(|| panic!("{:?}", loaded.diagnostics))
}

pub(crate) fn plan_request(desired: Desired) -> PlanRequest {
    PlanRequest { org: None, fallback_org: None, desired, options: PlanOptions::default() }
}

pub(crate) fn org(name: &str) -> OrgId {
    OrgId::new(name).unwrap()
}

/// Plans and applies what the plan shows.
pub(crate) fn apply(plane: &dyn ControlPlane, plan: PlanRequest) -> WriteReceipt {
    plane.apply(&apply_request(plane, plan)).unwrap()
}

pub(crate) fn apply_request(plane: &dyn ControlPlane, plan: PlanRequest) -> ApplyRequest {
    let plan_id = plane.plan(&plan).unwrap().plan_id;
    ApplyRequest {
        sealed: None,
        plan,
        plan_id,
        confirmed_deletes: 0,
        author: "maria".to_owned(),
        message: "a test".to_owned(),
        request_id: None,
    }
}

/// Waits until a condition holds; fails the test if it does not within half a minute.
pub(crate) fn eventually(what: &str, mut holds: impl FnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(30);
    while !holds() {
        assert!(Instant::now() < deadline, "{what} did not happen");
        std::thread::yield_now();
    }
}
