//! A small HTTP/1.1 client over one kept connection: enough to push content and to load a server, and no
//! more. Answers must carry Content-Length, as those of a registry do.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;

use anyhow::{Context, Result, bail, ensure};

/// The longest head of an answer, in bytes.
const HEAD_BYTES_MAX: u64 = 64 * 1024;

/// One connection.
#[derive(Debug)]
pub(super) struct Client {
    stream: BufReader<TcpStream>,
    host: String,
}

/// An answer whose body has been read and dropped.
#[derive(Debug)]
pub(super) struct Response {
    pub(super) status: u16,
    headers: Vec<(String, String)>,
    /// Bytes of the body.
    pub(super) length: u64,
}

impl Response {
    /// Returns a header's value, by its name in lower case.
    pub(super) fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }
}

impl Client {
    /// Connects to the host of `http://HOST:PORT`.
    pub(super) fn connect(url: &str) -> Result<Self> {
        let (host, _) = split_url(url)?;
        let stream = TcpStream::connect(host).with_context(|| format!("connecting to {host}"))?;
        stream.set_nodelay(true)?;
        Ok(Self { stream: BufReader::with_capacity(64 * 1024, stream), host: host.to_owned() })
    }

    /// Sends a request, with one more header line where it needs one, and reads its answer.
    pub(super) fn send(
        &mut self,
        method: &str,
        path: &str,
        header: Option<&str>,
        body: &[u8],
    ) -> Result<Response> {
        self.write(method, path, header, body)?;
        let (mut response, announced) =
            read_head(&mut self.stream, method == "HEAD").with_context(|| format!("{method} {path}"))?;
        drain(&mut self.stream, announced)?;
        response.length = announced;
        Ok(response)
    }

    /// Sends a GET, with one more header line where it needs one, and returns its answer with the body.
    pub(super) fn get(&mut self, path: &str, header: Option<&str>) -> Result<(Response, Vec<u8>)> {
        self.write("GET", path, header, b"")?;
        let (mut response, announced) =
            read_head(&mut self.stream, false).with_context(|| format!("GET {path}"))?;
        let mut body = vec![0; usize::try_from(announced).context("a body larger than memory")?];
        self.stream.read_exact(&mut body).context("reading the body")?;
        response.length = announced;
        Ok((response, body))
    }

    fn write(&mut self, method: &str, path: &str, header: Option<&str>, body: &[u8]) -> Result<()> {
        let mut head = format!("{method} {path} HTTP/1.1\r\nHost: {}\r\n", self.host);
        if let Some(header) = header {
            head.push_str(header);
            head.push_str("\r\n");
        }
        if !matches!(method, "GET" | "HEAD") {
            head.push_str(&format!("Content-Length: {}\r\n", body.len()));
        }
        head.push_str("\r\n");
        let stream = self.stream.get_mut();
        stream.write_all(head.as_bytes()).context("sending the head")?;
        stream.write_all(body).context("sending the body")
    }
}

/// Splits `http://HOST:PORT/PATH` into host with port, and path.
pub(super) fn split_url(url: &str) -> Result<(&str, &str)> {
    let rest = url.strip_prefix("http://").with_context(|| format!("`{url}` is no http url"))?;
    let at = rest.find('/').unwrap_or(rest.len());
    Ok((&rest[..at], if at == rest.len() { "/" } else { &rest[at..] }))
}

/// Reads an answer up to its body, and how many bytes that has.
fn read_head(stream: &mut impl BufRead, is_head: bool) -> Result<(Response, u64)> {
    let mut head = stream.by_ref().take(HEAD_BYTES_MAX);
    let mut line = String::new();
    head.read_line(&mut line).context("reading the status line")?;
    let status = line.split(' ').nth(1).and_then(|code| code.parse().ok());
    let status = status.with_context(|| format!("`{}` is no status line", line.trim_end()))?;
    let mut headers = Vec::new();
    loop {
        line.clear();
        ensure!(head.read_line(&mut line).context("reading a header")? > 0, "the head breaks off");
        let Some((name, value)) = line.trim_end().split_once(':') else { break };
        headers.push((name.to_ascii_lowercase(), value.trim().to_owned()));
    }
    let response = Response { status, headers, length: 0 };
    let bodiless = is_head || matches!(status, 100..=199 | 204 | 304);
    let announced = match response.header("content-length") {
        _ if bodiless => 0,
        Some(length) => length.parse().context("an odd Content-Length")?,
        None => bail!("the answer {status} has no Content-Length"),
    };
    Ok((response, announced))
}

/// Drops `announced` bytes. From the reader's own buffer: a copy would cost the
/// load generator what the server under test saves.
fn drain(stream: &mut impl BufRead, announced: u64) -> Result<()> {
    let mut left = announced;
    while left > 0 {
        let available = stream.fill_buf().context("reading the body")?.len();
        ensure!(available > 0, "the body breaks off after {} bytes", announced - left);
        let taken = available.min(usize::try_from(left).unwrap_or(usize::MAX));
        stream.consume(taken);
        left -= taken as u64;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::io::{BufRead, BufReader, Cursor, Read, Write};
    use std::net::TcpListener;
    use std::thread;

    use anyhow::Result;

    use super::{Client, Response, drain, read_head, split_url};

    fn read_response(stream: &mut impl BufRead) -> Result<Response> {
        let (mut response, announced) = read_head(stream, false)?;
        drain(stream, announced)?;
        response.length = announced;
        Ok(response)
    }

    #[test]
    fn urls_are_split() {
        assert_eq!(split_url("http://127.0.0.1:5000").unwrap(), ("127.0.0.1:5000", "/"));
        assert_eq!(split_url("http://a:1/v2/x?y=z").unwrap(), ("a:1", "/v2/x?y=z"));
        assert!(split_url("https://a").is_err());
    }

    #[test]
    fn answers_are_read_to_their_end() {
        let text =
            "HTTP/1.1 201 Created\r\nLocation: /x\r\nContent-Length: 3\r\n\r\nabcHTTP/1.1 204 No\r\n\r\n";
        let mut stream = Cursor::new(text.as_bytes());
        let first = read_response(&mut stream).unwrap();
        assert_eq!((first.status, first.header("location"), first.length), (201, Some("/x"), 3));
        assert_eq!(read_response(&mut stream).unwrap().status, 204);
    }

    #[test]
    fn broken_answers_are_errors() {
        fn check(text: &str, expect: &str) {
            let error = format!("{:#}", read_response(&mut Cursor::new(text.as_bytes())).unwrap_err());
            assert!(error.contains(expect), "{text}: {error}");
        }
        check("", "is no status line");
        check("HTTP/1.1 200 OK\r\nContent-Le", "no Content-Length");
        check("HTTP/1.1 200 OK\r\nA: b\r\n", "the head breaks off");
        check("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nabc", "breaks off after 3 bytes");
        check("HTTP/1.1 200 OK\r\n\r\nabc", "no Content-Length");
    }

    #[test]
    fn one_connection_carries_many_requests() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let echo = thread::spawn(move || {
            let mut stream = BufReader::new(listener.accept().unwrap().0);
            let mut seen = Vec::new();
            for _ in 0..2 {
                let mut head = String::new();
                while !head.ends_with("\r\n\r\n") {
                    stream.read_line(&mut head).unwrap();
                }
                let length: usize =
                    head.split("Content-Length: ").nth(1).unwrap().lines().next().unwrap().parse().unwrap();
                let mut body = vec![0; length];
                stream.read_exact(&mut body).unwrap();
                stream.get_mut().write_all(b"HTTP/1.1 202 Accepted\r\nContent-Length: 0\r\n\r\n").unwrap();
                seen.push((head.lines().next().unwrap().to_owned(), body));
            }
            seen
        });
        let mut client = Client::connect(&url).unwrap();
        assert_eq!(client.send("POST", "/a", None, b"").unwrap().status, 202);
        assert_eq!(client.send("PUT", "/b", Some("Content-Type: text/plain"), b"xyz").unwrap().status, 202);
        let seen = echo.join().unwrap();
        assert_eq!(seen[0], ("POST /a HTTP/1.1".to_owned(), Vec::new()));
        assert_eq!(seen[1], ("PUT /b HTTP/1.1".to_owned(), b"xyz".to_vec()));
    }
}
