//! Connections whose malformed requests are answered with problem documents.
//!
//! hyper itself answers requests that it can't parse, with a bare status, and has no hook to change that.
//! So its answers are recognized on their way out: they have no body, and all of ours have one.

use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::task::{Context, Poll};

use axum::serve::Listener;
use http::header::CONTENT_TYPE;
use shared::http::{Code, Problem};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};

/// A listener for such connections.
pub struct Connections(pub TcpListener);

impl Listener for Connections {
    type Io = Connection;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (Connection, SocketAddr) {
        let (stream, address) = Listener::accept(&mut self.0).await;
        let connection = Connection {
            stream,
            unsent: Vec::new(),
        };
        (connection, address)
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        self.0.local_addr()
    }
}

/// A connection.
pub struct Connection {
    stream: TcpStream,
    /// What is left of an answer of ours, sent in place of hyper's.
    unsent: Vec<u8>,
}

/// The problem that an answer of hyper's own is, if it is one.
fn problem(answer: &[u8]) -> Option<Problem> {
    let head = std::str::from_utf8(answer).ok()?;
    let status = head.strip_prefix("HTTP/1.1 ")?.get(..3)?;
    let head = head.to_ascii_lowercase();
    if !head.contains("\r\ncontent-length: 0\r\n") || !head.contains("\r\nconnection: close\r\n") {
        return None;
    }
    let detail = match status {
        "400" => "The request is not valid HTTP. Percent-encode its URL.",
        "414" => "The request's URL is too long.",
        "431" => "The request's headers are too long.",
        _ => return None,
    };
    Some(Problem::new(Code::MalformedRequest, detail))
}

/// A problem as it is sent before a connection is closed.
fn message(problem: Problem) -> Vec<u8> {
    let response = problem.into_response("");
    let body = response.body().to_vec();
    let content_type = response.headers().get(CONTENT_TYPE);
    let content_type = content_type.and_then(|value| value.to_str().ok());
    let head = format!(
        "HTTP/1.1 {}\r\ncontent-type: {}\r\ncontent-length: {}\r\nconnection: close\r\n\r\n",
        response.status(),
        content_type.unwrap_or_default(),
        body.len()
    );
    [head.into_bytes(), body].concat()
}

impl AsyncRead for Connection {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(context, buffer)
    }
}

impl Connection {
    fn poll_send(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        while !self.unsent.is_empty() {
            let sent = Pin::new(&mut self.stream).poll_write(context, &self.unsent);
            match std::task::ready!(sent)? {
                0 => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                sent => drop(self.unsent.drain(..sent)),
            }
        }
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Connection {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        std::task::ready!(self.poll_send(context))?;
        if let Some(problem) = problem(bytes) {
            self.unsent = message(problem);
            return Poll::Ready(Ok(bytes.len()));
        }
        Pin::new(&mut self.stream).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        std::task::ready!(self.poll_send(context))?;
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        std::task::ready!(self.poll_send(context))?;
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}
