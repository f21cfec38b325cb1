//! A client so simple that nothing is hidden: one request per connection, every byte kept.

use std::{io, net::SocketAddr, time::Duration};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

/// The deadline of everything that must happen; far above what it takes.
pub(crate) const DEADLINE: Duration = Duration::from_secs(20);

/// How a connection ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum End {
    /// FIN.
    Closed,
    /// RST.
    Reset,
}

/// A response with everything that came before the connection ended.
#[derive(Debug)]
pub(crate) struct Raw {
    pub(crate) status: u16,
    pub(crate) head: String,
    pub(crate) body: Vec<u8>,
    pub(crate) end: End,
}

impl Raw {
    /// Returns a header's value.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.head.lines().find_map(|line| {
            let (key, value) = line.split_once(':')?;
            key.eq_ignore_ascii_case(name).then(|| value.trim())
        })
    }

    /// Returns the declared length of the body.
    pub(crate) fn length(&self) -> Option<usize> {
        self.header("content-length")?.parse().ok()
    }

    /// Returns the first error code of an OCI error body.
    pub(crate) fn code(&self) -> String {
        let body: serde_json::Value = serde_json::from_slice(&self.body).unwrap();
        body["errors"][0]["code"].as_str().unwrap().to_owned()
    }
}

/// Opens a connection and sends a request that asks for the connection to be closed afterwards.
pub(crate) async fn open(
    addr: SocketAddr,
    method: &str,
    path: &str,
    headers: &str,
    body: &[u8],
) -> TcpStream {
    let mut stream = TcpStream::connect(addr).await.unwrap();
    let length = if matches!(method, "GET" | "HEAD") {
        String::new()
    } else {
        format!("content-length: {}\r\n", body.len())
    };
    let head =
        format!("{method} {path} HTTP/1.1\r\nhost: {addr}\r\nconnection: close\r\n{length}{headers}\r\n");
    stream.write_all(head.as_bytes()).await.unwrap();
    stream.write_all(body).await.unwrap();
    stream
}

/// Sends a request and reads until the connection ends.
pub(crate) async fn send(addr: SocketAddr, method: &str, path: &str, headers: &str, body: &[u8]) -> Raw {
    let mut stream = open(addr, method, path, headers, body).await;
    let mut bytes = Vec::new();
    let end = match tokio::time::timeout(DEADLINE, stream.read_to_end(&mut bytes)).await {
        Ok(Ok(_)) => End::Closed,
        Ok(Err(error)) if error.kind() == io::ErrorKind::ConnectionReset => End::Reset,
        other => panic!("neither closed nor reset: {other:?}"),
    };
    let split = bytes.windows(4).position(|it| it == b"\r\n\r\n");
    let split = split.unwrap_or_else(|| panic!("no head in {:?}", String::from_utf8_lossy(&bytes)));
    let head = String::from_utf8(bytes[..split].to_vec()).unwrap();
    let status = head.split(' ').nth(1).unwrap().parse().unwrap();
    Raw { status, head, body: bytes[split + 4..].to_vec(), end }
}

/// Gets a path.
pub(crate) async fn get(addr: SocketAddr, path: &str) -> Raw {
    send(addr, "GET", path, "", b"").await
}
