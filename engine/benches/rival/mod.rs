//! etcd on the same disk in the same run: its own server, asked over gRPC by a client that does nothing else.
//!
//! The client speaks just enough HTTP/2 to send puts: one connection for each writer, one put at a time, as our writers do. It
//! decodes no answer; that all puts were made is seen from etcd's revision afterwards. What it costs beside the server is
//! measured as processor time and said.

use std::io::{self, Read as _, Write as _};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

const CLIENT: &str = "127.0.0.1:23790";
const PEER: &str = "127.0.0.1:23800";

/// What etcd did.
pub(crate) struct Measured {
    pub(crate) times: Vec<Duration>,
    pub(crate) elapsed: Duration,
}

/// A running server in a folder of its own, ended with this value.
pub(crate) struct Server(Child);

impl Server {
    /// Starts it; nothing where it is not installed.
    pub(crate) fn start(folder: &Path) -> Option<Self> {
        let url = |address: &str| format!("http://{address}");
        let child = Command::new("etcd")
            .args(["--name", "rival", "--data-dir"])
            .arg(folder.join("etcd"))
            .args(["--listen-client-urls", &url(CLIENT), "--advertise-client-urls", &url(CLIENT)])
            .args(["--listen-peer-urls", &url(PEER), "--initial-advertise-peer-urls", &url(PEER)])
            .args(["--initial-cluster", &format!("rival={}", url(PEER)), "--log-level", "error"])
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .ok()?;
        let server = Self(child);
        let until = Instant::now() + Duration::from_secs(20);
        while Instant::now() < until {
            if let Ok(mut connection) = Connection::open()
                && connection.put("ready", b"x").is_ok()
            {
                return Some(server);
            }
            std::thread::sleep(Duration::from_millis(100));
        }
        None
    }

    /// Lets `count` writers put 200 bytes each, one after the other, for `time`.
    pub(crate) fn put(&self, count: u64, time: Duration) -> Measured {
        let stop = AtomicBool::new(false);
        let start = Instant::now();
        let before = revision();
        let times = std::thread::scope(|scope| {
            let writers: Vec<_> = (0..count)
                .map(|writer| {
                    let stop = &stop;
                    scope.spawn(move || {
                        let mut writer = Writer::new(writer);
                        let mut times = Vec::new();
                        while !stop.load(Ordering::Relaxed) {
                            times.push(writer.put());
                        }
                        times
                    })
                })
                .collect();
            std::thread::sleep(time);
            stop.store(true, Ordering::Relaxed);
            writers.into_iter().flat_map(|writer| writer.join().unwrap()).collect::<Vec<_>>()
        });
        let elapsed = start.elapsed();
        assert_eq!(revision() - before, times.len() as u64, "every put was made");
        Measured { times, elapsed }
    }
}

/// One writer with a connection of its own.
pub(crate) struct Writer {
    connection: Connection,
    name: u64,
    number: u64,
}

impl Writer {
    pub(crate) fn new(name: u64) -> Self {
        Self { connection: Connection::open().unwrap(), name, number: 0 }
    }

    /// Puts 200 bytes under a new key; says how long that took.
    pub(crate) fn put(&mut self) -> Duration {
        let key = format!("key/{:03}{:09}", self.name, self.number);
        let value = self.number.to_le_bytes().repeat(25);
        self.number += 1;
        let start = Instant::now();
        self.connection.put(&key, &value).unwrap();
        start.elapsed()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// The revision of the server, from its own client.
fn revision() -> u64 {
    let output = Command::new("etcdctl")
        .env("ETCDCTL_API", "3")
        .args(["--endpoints", CLIENT, "get", "ready", "-w", "json"])
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let after = text.split("\"revision\":").nth(1).unwrap();
    after.split(|c: char| !c.is_ascii_digit()).next().unwrap().parse().unwrap()
}

/// One HTTP/2 connection with one request at a time.
struct Connection {
    stream: TcpStream,
    next: u32,
    /// Bytes that the other side still takes.
    window: i64,
    taken: u32,
}

const DATA: u8 = 0;
const HEADERS: u8 = 1;
const SETTINGS: u8 = 4;
const PING: u8 = 6;
const WINDOW_UPDATE: u8 = 8;
const END_STREAM: u8 = 1;
const END_HEADERS: u8 = 4;
const ACK: u8 = 1;

impl Connection {
    fn open() -> io::Result<Self> {
        let mut stream = TcpStream::connect(CLIENT)?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(Duration::from_secs(10)))?;
        stream.write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n")?;
        stream.write_all(&frame(SETTINGS, 0, 0, &[]))?;
        Ok(Self { stream, next: 1, window: 65_535, taken: 0 })
    }

    fn put(&mut self, key: &str, value: &[u8]) -> io::Result<()> {
        let mut message = Vec::new();
        for (tag, bytes) in [(0x0a, key.as_bytes()), (0x12, value)] {
            message.push(tag);
            // Lengths below 16,384 take two bytes at the most.
            if bytes.len() > 127 {
                message.push((bytes.len() & 0x7f) as u8 | 0x80);
                message.push((bytes.len() >> 7) as u8);
            } else {
                message.push(bytes.len() as u8);
            }
            message.extend_from_slice(bytes);
        }
        let mut body = vec![0];
        body.extend_from_slice(&(message.len() as u32).to_be_bytes());
        body.extend_from_slice(&message);
        let stream = self.next;
        self.next += 2;
        while self.window < body.len() as i64 {
            self.read_frame()?;
        }
        self.window -= body.len() as i64;
        let mut request = frame(HEADERS, END_HEADERS, stream, &request_headers());
        request.extend(frame(DATA, END_STREAM, stream, &body));
        self.stream.write_all(&request)?;
        let mut answered = false;
        loop {
            let (kind, flags, on) = self.read_frame()?;
            answered |= on == stream && kind == DATA;
            if on == stream && matches!(kind, HEADERS | DATA) && flags & END_STREAM != 0 {
                // What ends without a message is an error.
                return if answered { Ok(()) } else { Err(io::Error::other("etcd refused a put")) };
            }
        }
    }

    /// Reads a frame and does what HTTP/2 wants at once; gives its kind, flags and stream.
    fn read_frame(&mut self) -> io::Result<(u8, u8, u32)> {
        let mut head = [0; 9];
        self.stream.read_exact(&mut head)?;
        let length = u32::from_be_bytes([0, head[0], head[1], head[2]]);
        let (kind, flags) = (head[3], head[4]);
        let on = u32::from_be_bytes([head[5], head[6], head[7], head[8]]) & 0x7fff_ffff;
        let mut body = vec![0; length as usize];
        self.stream.read_exact(&mut body)?;
        match kind {
            DATA => {
                self.taken += length;
                if self.taken > 16_000 {
                    let update = frame(WINDOW_UPDATE, 0, 0, &self.taken.to_be_bytes());
                    self.stream.write_all(&update)?;
                    self.taken = 0;
                }
            }
            SETTINGS if flags & ACK == 0 => self.stream.write_all(&frame(SETTINGS, ACK, 0, &[]))?,
            PING if flags & ACK == 0 => self.stream.write_all(&frame(PING, ACK, 0, &body))?,
            WINDOW_UPDATE if on == 0 => self.window += i64::from(u32::from_be_bytes(body[..4].try_into().unwrap())),
            _ => {}
        }
        Ok((kind, flags, on))
    }
}

fn frame(kind: u8, flags: u8, stream: u32, body: &[u8]) -> Vec<u8> {
    let mut frame = (body.len() as u32).to_be_bytes()[1..].to_vec();
    frame.extend([kind, flags]);
    frame.extend(stream.to_be_bytes());
    frame.extend_from_slice(body);
    frame
}

/// The headers of a put, without compression: `:method` and `:scheme` by their number, the others spelled out.
fn request_headers() -> Vec<u8> {
    let mut headers = vec![0x83, 0x86];
    for (name, value) in [
        (":path", "/etcdserverpb.KV/Put"),
        (":authority", CLIENT),
        ("content-type", "application/grpc"),
        ("te", "trailers"),
    ] {
        headers.push(0);
        for text in [name, value] {
            headers.push(text.len() as u8);
            headers.extend_from_slice(text.as_bytes());
        }
    }
    headers
}
