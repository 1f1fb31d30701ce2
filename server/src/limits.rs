//! Every maximum of the HTTP face, in one place, checked against each other when it is compiled.
//!
//! Never here: anything that does something. What the engine bounds (keys, values, commits) is bounded there.

use std::time::Duration;

const KIB: usize = 1024;
const MIB: usize = 1024 * KIB;

/// The largest body of a plan or an apply: manifests of 40 MiB with the position of every field.
pub const PLAN_BODY_BYTES_MAX: usize = 128 * MIB;
/// The largest body of a raw transaction.
pub const TXN_BODY_BYTES_MAX: usize = 64 * MIB;
/// The largest raw value that is read from a request; the engine's own limit may be lower.
pub const KV_BODY_BYTES_MAX: usize = 16 * MIB;
/// The largest patch of a resource: the engine's largest value.
pub const EDIT_BODY_BYTES_MAX: usize = 8 * MIB;
/// The largest body of every other request.
pub const SMALL_BODY_BYTES_MAX: usize = 256 * KIB;
/// What all bodies that are being read may hold together; a request beyond it is told to come again.
pub const ALL_BODIES_BYTES_MAX: usize = 512 * MIB;
/// The step in which the bytes of all bodies are counted.
pub const BODY_UNIT_BYTES: usize = 64 * KIB;

/// The most conditions of one raw transaction.
pub const TXN_COMPARES_MAX: usize = 10_000;
/// The most operations of one raw transaction.
pub const TXN_OPS_MAX: usize = 100_000;
/// The most parameters in a query.
pub const QUERY_PARAMS_MAX: usize = 32;
/// The longest author, in bytes.
pub const AUTHOR_BYTES_MAX: usize = 256;

/// The most header fields of a request.
pub const HEADERS_MAX: usize = 64;
/// The most bytes of a request's line and headers together.
pub const HEAD_BYTES_MAX: usize = 64 * KIB;
/// The most connections that are served at once; one more is answered 503 and closed.
pub const CONNECTIONS_MAX: usize = 8192;

/// The most of these that come over the network, so that the local socket always has room.
pub const NETWORK_CONNECTIONS_MAX: usize = 4096;
/// How long a TLS handshake may take.
pub const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(10);

/// Of so many plan requests a server remembers the declarations.
pub const KNOWN_REQUESTS_MAX: usize = 16;
/// A request with fewer declarations is as good as read.
pub const KNOWN_REQUEST_ROWS_MIN: usize = 64;
/// The text of all declarations that are remembered may take so much.
pub const KNOWN_TEXT_BYTES_MAX: usize = 64 * MIB;

/// The most reads that run at once.
pub const READS_MAX: usize = 32;
/// The most writes that run at once: enough to fill a group commit.
pub const WRITES_MAX: usize = 64;
/// The most plans and verifications that run at once; each can keep a core busy.
pub const PLANS_MAX: usize = 4;

/// The most looks at tokens that run at once.
pub const ACCESSES_MAX: usize = 32;

/// How large the pieces are in which a backup is sent.
pub const BACKUP_PIECE_BYTES: usize = 256 * KIB;
/// How many pieces of a backup wait for a client at most.
pub const BACKUP_PIECES_WAITING: usize = 4;

/// The most requests that one access token has under way at once.
pub const TOKEN_REQUESTS_MAX: usize = 256;
/// The most watches that one access token has open at once.
pub const TOKEN_WATCHES_MAX: usize = 4096;

/// The most watches at once.
pub const WATCHERS_MAX: usize = 16_384;
/// How often a watch tells where it is, so that a client can resume there and sees that the server lives.
pub const BOOKMARK_EVERY: Duration = Duration::from_secs(15);

/// How long a request waits for its turn before it is told to come again.
pub const TURN_WAIT_MAX: Duration = Duration::from_secs(30);
/// How long a client may take for a request's headers, and how long a connection may lie idle between requests.
pub const HEADER_TIMEOUT: Duration = Duration::from_secs(30);
/// How long the next piece of a body may take.
pub const BODY_PIECE_TIMEOUT: Duration = Duration::from_secs(10);
/// How long a whole body may take.
pub const BODY_TIMEOUT: Duration = Duration::from_secs(120);
/// How long a client may refuse to take any byte of an answer.
pub const WRITE_TIMEOUT: Duration = Duration::from_secs(30);
/// How long `?min_revision=` waits for that revision.
pub const MIN_REVISION_WAIT_MAX: Duration = Duration::from_secs(5);
/// How often a wait for a revision looks at the head.
pub const MIN_REVISION_POLL: Duration = Duration::from_millis(5);
/// How long a shutdown waits for requests that are being answered.
pub const SHUTDOWN_GRACE: Duration = Duration::from_secs(10);
/// How long accepting rests when the process has no descriptor left.
pub const ACCEPT_REST: Duration = Duration::from_millis(100);

/// The most connections that one client keeps open; more calls at once open more and close them after.
pub const CLIENT_CHANNELS_KEPT_MAX: usize = 8;
/// How long a client keeps an idle connection before it makes a new one, well below the server's `HEADER_TIMEOUT`.
pub const CLIENT_IDLE_MAX: Duration = Duration::from_secs(10);
/// How long a server may take to say who it is.
pub const CLIENT_HELLO_TIMEOUT: Duration = Duration::from_secs(3);
/// How long a client waits for an answer; a plan of a very large project takes seconds.
pub const CLIENT_ANSWER_TIMEOUT: Duration = Duration::from_secs(300);
/// How long a client waits for the next piece of an answer that comes in pieces, such as a backup.
pub const CLIENT_PIECE_TIMEOUT: Duration = Duration::from_secs(60);
/// The largest answer that a client reads.
pub const CLIENT_ANSWER_BYTES_MAX: usize = 512 * MIB;
/// How long a client repeats a request that is safe to repeat after the server went away.
pub const CLIENT_RETRY_MAX: Duration = Duration::from_secs(5);
/// How long a client rests between two attempts.
pub const CLIENT_RETRY_REST: Duration = Duration::from_millis(50);

/// How long a watching client waits for any event before it takes the server for dead.
pub const CLIENT_WATCH_SILENCE_MAX: Duration = Duration::from_secs(60);
/// The largest event that a client reads; a commit of the largest size in base64 and quotes.
pub const CLIENT_EVENT_BYTES_MAX: usize = 512 * MIB;

/// How long a follower waits at most for the head of its server before it gives out a value.
pub const FOLLOWER_CATCH_UP_MAX: Duration = Duration::from_secs(1);
/// How long a write that a follower forwarded waits at most until it is in force there.
pub const FOLLOWER_OWN_WRITE_MAX: Duration = Duration::from_secs(5);
/// How many threads of a follower may wait for the head at once; more go on with what is here.
pub const FOLLOWER_ASKS_MAX: usize = 4096;
/// How often a follower tells where it is, if that does not change.
pub const FOLLOWER_REPORT_EVERY: Duration = Duration::from_secs(5);
/// How long it rests between two reports.
pub const FOLLOWER_REPORT_REST: Duration = Duration::from_millis(20);
/// How often a follower writes its state, if that changed.
pub const FOLLOWER_CHECKPOINT_EVERY: Duration = Duration::from_secs(30);
/// The longest wait before a follower connects again for the first time.
pub const FOLLOWER_BACKOFF_FIRST: Duration = Duration::from_millis(50);
/// The longest wait before it connects again.
pub const FOLLOWER_BACKOFF_MOST: Duration = Duration::from_secs(5);
/// How long a commit is held back whose sealed bytes a later one replaced, until that one comes.
pub const FOLLOWER_HELD_BACK_MAX: Duration = Duration::from_secs(1);
/// How many commits are held back at most.
pub const FOLLOWER_PENDING_MAX: usize = 10_000;

/// The longest path of a Unix socket, in bytes without the final NUL.
#[cfg(target_os = "linux")]
pub const SOCKET_PATH_BYTES_MAX: usize = 107;
/// The longest path of a Unix socket, in bytes without the final NUL.
#[cfg(not(target_os = "linux"))]
pub const SOCKET_PATH_BYTES_MAX: usize = 103;

const _: () = {
    assert!(PLAN_BODY_BYTES_MAX <= ALL_BODIES_BYTES_MAX, "one plan must fit");
    assert!(KV_BODY_BYTES_MAX <= TXN_BODY_BYTES_MAX, "what a put may write a transaction may write");
    assert!(SMALL_BODY_BYTES_MAX <= KV_BODY_BYTES_MAX, "the small limit is the smallest");
    assert!(ALL_BODIES_BYTES_MAX.is_multiple_of(BODY_UNIT_BYTES), "the budget is counted in whole units");
    assert!(ALL_BODIES_BYTES_MAX / BODY_UNIT_BYTES <= u32::MAX as usize, "the budget fits a semaphore");
    assert!(HEAD_BYTES_MAX >= 8 * KIB, "hyper refuses to read heads into less");
    assert!(CLIENT_IDLE_MAX.as_millis() * 2 < HEADER_TIMEOUT.as_millis(), "a kept connection must still be open");
    assert!(NETWORK_CONNECTIONS_MAX < CONNECTIONS_MAX, "the local socket has room left");
    assert!(TOKEN_WATCHES_MAX < WATCHERS_MAX, "one token cannot take every place");
    assert!(WATCHERS_MAX >= CONNECTIONS_MAX, "the connections bound the watches first");
    assert!(
        BOOKMARK_EVERY.as_secs() * 3 < CLIENT_WATCH_SILENCE_MAX.as_secs(),
        "a client hears of a living server in time"
    );
    assert!(BODY_PIECE_TIMEOUT.as_millis() < BODY_TIMEOUT.as_millis(), "pieces are shorter than the whole");
};
