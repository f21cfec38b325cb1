//! HTTP/1.1 over a bare socket: nothing is retried, pooled or tidied up on the way.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use sha2::{Digest, Sha256};

/// Returns the digest of bytes.
pub(crate) fn digest_of(bytes: &[u8]) -> String {
    hex(&Sha256::digest(bytes))
}

/// Renders a finished hash as a digest.
pub(crate) fn hex(hash: &[u8]) -> String {
    let hex: String = hash.iter().map(|byte| format!("{byte:02x}")).collect();
    format!("sha256:{hex}")
}

/// A connection.
#[derive(Debug)]
pub(crate) struct Connection(BufReader<TcpStream>);

/// A response.
#[derive(Debug, Clone, Default)]
pub(crate) struct Answer {
    pub(crate) version: String,
    pub(crate) status: u16,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: Vec<u8>,
}

impl Answer {
    /// Returns a header, empty when it is absent.
    pub(crate) fn header(&self, name: &str) -> &str {
        let found = self.headers.iter().find(|(known, _)| known.eq_ignore_ascii_case(name));
        found.map_or("", |(_, value)| value)
    }

    /// Returns the code of the first error of the body, empty when there is none.
    pub(crate) fn code(&self) -> String {
        let json: serde_json::Value = serde_json::from_slice(&self.body).unwrap_or_default();
        json["errors"][0]["code"].as_str().unwrap_or_default().to_owned()
    }

    /// Returns how many bytes of an upload the server has, by its `Range`.
    pub(crate) fn offset(&self) -> usize {
        let (_, last) = self.header("range").split_once('-').unwrap_or_else(|| panic!("no range: {self:?}"));
        let last: i64 = last.parse().unwrap_or_else(|_| panic!("no range: {self:?}"));
        usize::try_from(last + 1).expect("an upload is not shorter than nothing")
    }
}

impl Connection {
    /// Connects.
    pub(crate) fn open(address: SocketAddr) -> io::Result<Self> {
        let stream = TcpStream::connect(address)?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(Duration::from_secs(60)))?;
        stream.set_write_timeout(Some(Duration::from_secs(60)))?;
        Ok(Self(BufReader::new(stream)))
    }

    /// Returns the socket.
    pub(crate) fn socket(&mut self) -> &mut TcpStream {
        self.0.get_mut()
    }

    /// Sends bytes as they are.
    pub(crate) fn send(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.0.get_mut().write_all(bytes)
    }

    /// Sends a request's head: the headers given, `Host`, and nothing else.
    pub(crate) fn send_head(&mut self, method: &str, path: &str, headers: &[(&str, &str)]) -> io::Result<()> {
        let mut head = format!("{method} {path} HTTP/1.1\r\nHost: registry\r\n");
        for (name, value) in headers {
            head.push_str(&format!("{name}: {value}\r\n"));
        }
        head.push_str("\r\n");
        self.send(head.as_bytes())
    }

    /// Sends a request with its length, and reads the answer.
    pub(crate) fn call(
        &mut self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: &[u8],
    ) -> io::Result<Answer> {
        let length = body.len().to_string();
        let mut headers = headers.to_vec();
        if !body.is_empty() || !matches!(method, "GET" | "HEAD" | "DELETE") {
            headers.push(("Content-Length", &length));
        }
        self.send_head(method, path, &headers)?;
        // A server that refuses early may have closed its side: its answer comes first.
        let sent = self.send(body);
        self.answer(method).map_err(|error| sent.err().unwrap_or(error))
    }

    /// Sends a request without headers or a body.
    pub(crate) fn get(&mut self, path: &str) -> io::Result<Answer> {
        self.call("GET", path, &[], &[])
    }

    /// Reads a response.
    pub(crate) fn answer(&mut self, method: &str) -> io::Result<Answer> {
        let mut answer = self.head()?;
        while answer.status == 100 {
            answer = self.head()?;
        }
        answer.body = self.body(method, &answer)?;
        Ok(answer)
    }

    /// Reads a response's head, also that of a `100 Continue`.
    pub(crate) fn head(&mut self) -> io::Result<Answer> {
        let first = self.line()?;
        let (version, rest) = first.split_once(' ').unwrap_or((&first, ""));
        let status = rest.get(..3).and_then(|status| status.parse().ok());
        let status = status.ok_or_else(|| io::Error::other(format!("no status line: {first:?}")))?;
        let mut answer = Answer { version: version.to_owned(), status, ..Answer::default() };
        loop {
            let line = self.line()?;
            let Some((name, value)) = line.split_once(':') else { return Ok(answer) };
            answer.headers.push((name.to_owned(), value.trim().to_owned()));
        }
    }

    fn line(&mut self) -> io::Result<String> {
        let mut line = String::new();
        if self.0.read_line(&mut line)? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        line.truncate(line.trim_end().len());
        Ok(line)
    }

    fn body(&mut self, method: &str, head: &Answer) -> io::Result<Vec<u8>> {
        let mut body = Vec::new();
        if method == "HEAD" || matches!(head.status, 204 | 304) {
            return Ok(body);
        }
        if head.header("transfer-encoding").eq_ignore_ascii_case("chunked") {
            loop {
                let len = usize::from_str_radix(&self.line()?, 16).map_err(io::Error::other)?;
                let begin = body.len();
                body.resize(begin + len, 0);
                self.0.read_exact(&mut body[begin..])?;
                self.line()?;
                if len == 0 {
                    return Ok(body);
                }
            }
        }
        match head.header("content-length").parse() {
            Ok(len) => {
                body.resize(len, 0);
                self.0.read_exact(&mut body)?;
            }
            Err(_) => drop(self.0.read_to_end(&mut body)?),
        }
        Ok(body)
    }

    /// Reads what comes, as much as the buffer takes; none at the end.
    pub(crate) fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.0.read(buffer)
    }

    /// Reads until the server closes, and returns what came; a reset counts as closing.
    pub(crate) fn drained(&mut self) -> Vec<u8> {
        let mut rest = Vec::new();
        match self.0.read_to_end(&mut rest) {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => panic!("the server did not close"),
            _ => rest,
        }
    }
}
