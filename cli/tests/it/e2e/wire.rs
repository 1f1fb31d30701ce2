//! HTTP by hand over the socket or the network, as a client in any language does it: requests with their headers, whole answers,
//! and the events of a watch. What breaks off is an error of the call and never a panic, because servers are killed here.

use std::collections::BTreeMap;
use std::io::{self, BufRead, BufReader, ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};

use serde_json::Value;

use super::bench::PATIENCE;

/// Where a server is, and what lets a client in.
#[derive(Clone, Debug)]
pub(crate) enum Place {
    /// Its socket, which asks for nothing.
    Socket(PathBuf),
    /// Its address on the network, with the token to show; none shows none.
    Network(SocketAddr, Option<String>),
}

/// Either kind of connection.
trait Stream: Read + Write + Send {}
impl<S: Read + Write + Send> Stream for S {}

/// One connection.
pub(crate) struct Wire {
    stream: BufReader<Box<dyn Stream>>,
    token: Option<String>,
}

/// A whole answer.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    /// Names in lower case.
    pub(crate) headers: BTreeMap<String, String>,
    pub(crate) body: Vec<u8>,
}

impl Answer {
    #[track_caller]
    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }
}

impl Place {
    pub(crate) fn socket(store: &Path) -> Self {
        Self::Socket(store.join("server.sock"))
    }

    pub(crate) fn connect(&self) -> io::Result<Wire> {
        let (stream, token): (Box<dyn Stream>, _) = match self {
            Self::Socket(path) => {
                let stream = UnixStream::connect(path)?;
                stream.set_read_timeout(Some(PATIENCE))?;
                stream.set_write_timeout(Some(PATIENCE))?;
                (Box::new(stream), None)
            }
            Self::Network(address, token) => {
                let stream = TcpStream::connect(address)?;
                stream.set_read_timeout(Some(PATIENCE))?;
                stream.set_write_timeout(Some(PATIENCE))?;
                stream.set_nodelay(true)?;
                (Box::new(stream), token.clone())
            }
        };
        Ok(Wire { stream: BufReader::with_capacity(1 << 10, stream), token })
    }

    /// Asks on a connection of its own.
    pub(crate) fn ask(&self, method: &str, target: &str, headers: &[(&str, &str)], body: &[u8]) -> io::Result<Answer> {
        self.connect()?.ask(method, target, headers, body)
    }

    /// Begins a watch.
    pub(crate) fn watch(&self, target: &str, headers: &[(&str, &str)]) -> io::Result<Events> {
        let mut wire = self.connect()?;
        wire.send("GET", target, headers, b"")?;
        wire.events()
    }
}

impl Wire {
    /// Asks and waits for the whole answer; the connection can be used again.
    pub(crate) fn ask(
        &mut self,
        method: &str,
        target: &str,
        headers: &[(&str, &str)],
        body: &[u8],
    ) -> io::Result<Answer> {
        self.send(method, target, headers, body)?;
        self.answer()
    }

    pub(crate) fn send(&mut self, method: &str, target: &str, headers: &[(&str, &str)], body: &[u8]) -> io::Result<()> {
        let mut request = format!("{method} {target} HTTP/1.1\r\nhost: x\r\ncontent-length: {}\r\n", body.len());
        if let Some(token) = &self.token {
            request += &format!("authorization: Bearer {token}\r\n");
        }
        for (name, value) in headers {
            request += &format!("{name}: {value}\r\n");
        }
        request += "\r\n";
        self.raw(&[request.as_bytes(), body].concat())
    }

    pub(crate) fn raw(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.stream.get_mut().write_all(bytes)
    }

    /// Reads the head of the answer to a watch that was asked for.
    pub(crate) fn events(mut self) -> io::Result<Events> {
        let (status, _) = self.head()?;
        if status != 200 {
            return Err(io::Error::other(format!("a watch was answered {status}")));
        }
        Ok(Events { wire: self, text: String::new() })
    }

    pub(crate) fn answer(&mut self) -> io::Result<Answer> {
        let (status, headers) = self.head()?;
        let mut body = Vec::new();
        if headers.get("transfer-encoding").is_some_and(|coding| coding == "chunked") {
            while self.piece(&mut body)? {}
        } else if let Some(length) = headers.get("content-length") {
            body.resize(length.parse().map_err(io::Error::other)?, 0);
            self.stream.read_exact(&mut body)?;
        }
        Ok(Answer { status, headers, body })
    }

    fn head(&mut self) -> io::Result<(u16, BTreeMap<String, String>)> {
        let line = self.line()?;
        let status = line.split(' ').nth(1).and_then(|status| status.parse().ok());
        let status = status.ok_or_else(|| io::Error::other(format!("no status line: `{line}`")))?;
        let mut headers = BTreeMap::new();
        loop {
            let line = self.line()?;
            let Some((name, value)) = line.split_once(": ") else { return Ok((status, headers)) };
            headers.insert(name.to_ascii_lowercase(), value.to_owned());
        }
    }

    /// A line without its end; what breaks off is none.
    fn line(&mut self) -> io::Result<String> {
        let mut line = String::new();
        self.stream.read_line(&mut line)?;
        match line.strip_suffix("\r\n") {
            Some(line) => Ok(line.to_owned()),
            None => Err(ErrorKind::UnexpectedEof.into()),
        }
    }

    /// Reads a piece of a chunked body; the last one is empty.
    fn piece(&mut self, body: &mut Vec<u8>) -> io::Result<bool> {
        let length = usize::from_str_radix(&self.line()?, 16).map_err(io::Error::other)?;
        let begin = body.len();
        body.resize(begin + length, 0);
        self.stream.read_exact(&mut body[begin..])?;
        self.line()?;
        Ok(length > 0)
    }
}

/// The events of a watch.
pub(crate) struct Events {
    wire: Wire,
    text: String,
}

/// One event: its name, empty for a commit; its id; its data.
#[derive(Debug)]
pub(crate) struct Event {
    pub(crate) name: String,
    pub(crate) id: String,
    pub(crate) data: Value,
}

impl Events {
    /// The next event, or none when the server has ended the watch.
    pub(crate) fn next(&mut self) -> io::Result<Option<Event>> {
        loop {
            if let Some((whole, rest)) = self.text.split_once("\n\n") {
                let field = |name: &str| {
                    let lines = whole.lines().filter_map(|line| line.strip_prefix(name)?.strip_prefix(": "));
                    lines.collect::<Vec<_>>().join("\n")
                };
                let data = serde_json::from_str(&field("data")).map_err(io::Error::other)?;
                let event = Event { name: field("event"), id: field("id"), data };
                self.text = rest.to_owned();
                return Ok(Some(event));
            }
            let mut piece = Vec::new();
            if !self.wire.piece(&mut piece)? {
                return Ok(None);
            }
            self.text += std::str::from_utf8(&piece).map_err(io::Error::other)?;
        }
    }
}
