//! A client of bytes: it sends what it is told to, well-formed or not, and reads answers as they stand on the wire.

use std::{
    collections::HashMap,
    io::{self, BufRead, BufReader, Read, Write},
    net::{SocketAddr, TcpListener, TcpStream},
    process,
    sync::atomic::{AtomicU32, Ordering::Relaxed},
    time::Duration,
};

/// Longest wait for anything that is bound to come.
pub const PATIENCE: Duration = Duration::from_secs(20);

/// One connection.
pub struct Client(pub BufReader<TcpStream>);

/// What was answered.
#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    /// As it came.
    pub head: String,
    /// By lower-case name.
    pub headers: HashMap<String, String>,
    pub body: Vec<u8>,
}

impl Answer {
    pub fn text(&self) -> &str {
        std::str::from_utf8(&self.body).unwrap()
    }

    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(String::as_str)
    }
}

impl Client {
    pub fn connect(address: SocketAddr) -> Client {
        Client::try_connect(address).unwrap()
    }

    pub fn try_connect(address: SocketAddr) -> io::Result<Client> {
        Client::on(TcpStream::connect_timeout(&address, Duration::from_secs(2))?)
    }

    /// Over a connection that is there.
    pub fn on(stream: TcpStream) -> io::Result<Client> {
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.set_nodelay(true)?;
        Ok(Client(BufReader::new(stream)))
    }

    pub fn send(&mut self, bytes: impl AsRef<[u8]>) {
        self.try_send(bytes).unwrap();
    }

    pub fn try_send(&mut self, bytes: impl AsRef<[u8]>) -> io::Result<()> {
        self.0.get_mut().write_all(bytes.as_ref())
    }

    /// Everything up to the empty line.
    pub fn head(&mut self) -> String {
        self.try_head().unwrap()
    }

    pub fn try_head(&mut self) -> io::Result<String> {
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            if self.0.read_until(b'\n', &mut head)? == 0 {
                return Err(io::Error::new(
                    io::ErrorKind::UnexpectedEof,
                    format!("closed after {:?}", head.escape_ascii()),
                ));
            }
        }
        Ok(String::from_utf8_lossy(&head).into_owned())
    }

    /// The next answer; one `to_head` has no body.
    pub fn answer(&mut self, to_head: bool) -> Answer {
        self.try_answer(to_head).unwrap()
    }

    pub fn try_answer(&mut self, to_head: bool) -> io::Result<Answer> {
        let head = self.try_head()?;
        let status = head.split(' ').nth(1).and_then(|status| status.parse().ok()).ok_or_else(|| nonsense(&head))?;
        let headers = headers(&head);
        let body = if to_head || status == 204 || status == 304 || status < 200 {
            Vec::new()
        } else {
            match self.body(&headers)? {
                Some(body) => body,
                None => {
                    let mut body = Vec::new();
                    self.0.read_to_end(&mut body)?;
                    body
                }
            }
        };
        Ok(Answer { status, head, headers, body })
    }

    /// The body that these headers announce, if they do.
    pub fn body(&mut self, headers: &HashMap<String, String>) -> io::Result<Option<Vec<u8>>> {
        if let Some(length) = headers.get("content-length") {
            let mut body = vec![0; length.parse().map_err(|_| nonsense(length))?];
            self.0.read_exact(&mut body)?;
            return Ok(Some(body));
        }
        if !headers.contains_key("transfer-encoding") {
            return Ok(None);
        }
        let mut body = Vec::new();
        loop {
            let chunk = self.try_chunk()?;
            if chunk.is_empty() {
                return Ok(Some(body));
            }
            body.extend(chunk);
        }
    }

    /// The next chunk; the last one is empty.
    pub fn chunk(&mut self) -> Vec<u8> {
        self.try_chunk().unwrap()
    }

    pub fn try_chunk(&mut self) -> io::Result<Vec<u8>> {
        let mut line = String::new();
        self.0.read_line(&mut line)?;
        let mut chunk = vec![0; usize::from_str_radix(line.trim(), 16).map_err(|_| nonsense(&line))? + 2];
        self.0.read_exact(&mut chunk)?;
        chunk.truncate(chunk.len() - 2);
        Ok(chunk)
    }

    /// Whether the other side closes, without another byte.
    pub fn is_closed(&mut self) -> bool {
        match self.0.read(&mut [0]) {
            Ok(0) => true,
            Ok(_) => false,
            Err(error) => error.kind() == io::ErrorKind::ConnectionReset,
        }
    }
}

/// The headers of a request or an answer, by lower-case name; of several lines with one name, the last.
pub fn headers(head: &str) -> HashMap<String, String> {
    let lines = head.lines().skip(1).filter_map(|line| line.split_once(':'));
    lines.map(|(name, value)| (name.to_ascii_lowercase(), value.trim().to_owned())).collect()
}

/// A GET on a connection of its own.
pub fn get(address: SocketAddr, path: &str) -> io::Result<Answer> {
    request(address, "GET", path, &[], b"")
}

/// A POST of JSON on a connection of its own.
pub fn post(address: SocketAddr, path: &str, body: &str) -> io::Result<Answer> {
    request(address, "POST", path, &[("Content-Type", "application/json")], body.as_bytes())
}

/// A request on a connection of its own.
pub fn request(
    address: SocketAddr,
    method: &str,
    path: &str,
    headers: &[(&str, &str)],
    body: &[u8],
) -> io::Result<Answer> {
    let mut head = format!("{method} {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n");
    for (name, value) in headers {
        head.push_str(&format!("{name}: {value}\r\n"));
    }
    if method != "GET" {
        head.push_str(&format!("Content-Length: {}\r\n", body.len()));
    }
    head.push_str("\r\n");
    let mut client = Client::try_connect(address)?;
    client.try_send([head.as_bytes(), body].concat())?;
    client.try_answer(method == "HEAD")
}

/// An address nobody listens on, each given once. The system gives it to nobody either: its own ports, of which tests
/// that run beside this one take hundreds, begin above (`net.ipv4.ip_local_port_range`). A process that is slow to
/// start, or down for a while, still finds it free.
pub fn free_port() -> SocketAddr {
    static GIVEN: AtomicU32 = AtomicU32::new(0);
    loop {
        // Two test processes at the same time seldom begin at the same place.
        let turn = process::id().wrapping_mul(100).wrapping_add(GIVEN.fetch_add(1, Relaxed));
        let addr = SocketAddr::from(([127, 0, 0, 1], 10_000 + (turn % 22_000) as u16));
        if TcpListener::bind(addr).is_ok() {
            return addr;
        }
    }
}

fn nonsense(text: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, format!("makes no sense: {text:?}"))
}
