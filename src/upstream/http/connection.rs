//! One HTTP/1.1 connection, and one exchange on it at a time.
//!
//! `hyper` splits a connection into a sender and a future that drives the socket, which is commonly spawned as a task. Here
//! the exchange polls both. Nothing passes between tasks, and dropping an exchange closes its connection. Between exchanges
//! the socket is not polled: whether the server has closed it is checked before the next use
//! ([`is_open`](Connection::is_open)).

use super::connect::Stream;
use super::interim::{CountedStream, InterimCount};
use super::reply::{self, Reply};
use super::retry_after;
use bytes::{Bytes, BytesMut};
use http_body_util::{BodyExt, Full};
use hyper::body::{Body, Incoming};
use hyper::client::conn::http1::{self, SendRequest};
use hyper::{Request, Response};
use std::future::{Future, poll_fn};
use std::pin::{Pin, pin};
use std::task::{Context, Poll};

pub(super) struct Connection {
    sender: SendRequest<Full<Bytes>>,
    /// `None` once it has ended.
    socket: Option<http1::Connection<CountedStream, Full<Bytes>>>,
    interim: InterimCount,
}

/// Why there is no reply.
pub(super) enum ExchangeError {
    /// Not one byte of the request was written. The request can be sent on another connection.
    Unsent(Box<Request<Full<Bytes>>>, hyper::Error),
    /// It may have been acted upon.
    Broken(hyper::Error),
}

impl Connection {
    /// On a stream that nothing was sent on yet.
    pub(super) async fn new(stream: Stream) -> hyper::Result<Connection> {
        let interim = InterimCount::default();
        let counted = CountedStream::new(stream, interim.clone());
        let (sender, socket) = http1::handshake(counted).await?;
        let socket = Some(socket);
        Ok(Connection {
            sender,
            socket,
            interim,
        })
    }

    /// Whether another exchange can be made on it. Polls the socket once; waits for nothing.
    pub(super) async fn is_open(&mut self) -> bool {
        poll_fn(|context| {
            self.drive(context);
            Poll::Ready(self.socket.is_some() && self.sender.is_ready())
        })
        .await
    }

    /// Sends one request and reads its reply, of whose body at most `largest_reply` bytes.
    pub(super) async fn exchange(
        &mut self,
        mut request: Request<Full<Bytes>>,
        largest_reply: usize,
    ) -> Result<Reply, ExchangeError> {
        self.interim.reset(&mut request);
        let sent = self.sender.try_send_request(request);
        let mut exchange = pin!(async move {
            let response = sent
                .await
                .map_err(|mut failed| match failed.take_message() {
                    Some(request) => ExchangeError::Unsent(Box::new(request), failed.into_error()),
                    None => ExchangeError::Broken(failed.into_error()),
                })?;
            whole(response, largest_reply)
                .await
                .map_err(ExchangeError::Broken)
        });
        poll_fn(|context| {
            // The sender first, so that the socket has something to write; and again for what the socket has read.
            if let Poll::Ready(reply) = exchange.as_mut().poll(context) {
                return Poll::Ready(reply);
            }
            self.drive(context);
            exchange.as_mut().poll(context)
        })
        .await
    }

    fn drive(&mut self, context: &mut Context<'_>) {
        if let Some(socket) = &mut self.socket
            && Pin::new(socket).poll(context).is_ready()
        {
            // The exchange gets the error.
            self.socket = None;
        }
    }
}

async fn whole(mut response: Response<Incoming>, largest: usize) -> hyper::Result<Reply> {
    let status = response.status().as_u16();
    let retry_after = retry_after::seconds(response.headers());
    let body = match read(response.body_mut(), largest).await {
        Ok(body) => body,
        // The status of a refusal counts, even if its body breaks off.
        Err(_) if (400..=599).contains(&status) => Some(Bytes::new()),
        Err(error) => return Err(error),
    };
    Ok(Reply {
        status,
        body,
        retry_after,
    })
}

/// Reads a body of at most `largest` bytes; `None` if there is more.
async fn read(body: &mut Incoming, largest: usize) -> hyper::Result<Option<Bytes>> {
    if reply::is_too_large(body.size_hint().exact(), largest) {
        return Ok(None);
    }
    let Some(first) = chunk(body).await? else {
        return Ok(Some(Bytes::new()));
    };
    let mut whole = BytesMut::from(first);
    while whole.len() <= largest {
        match chunk(body).await? {
            Some(chunk) => whole.extend_from_slice(&chunk),
            None => return Ok(Some(whole.freeze())),
        }
    }
    Ok(None)
}

/// The next data of a body; trailers are skipped.
async fn chunk(body: &mut Incoming) -> hyper::Result<Option<Bytes>> {
    while let Some(frame) = body.frame().await {
        if let Ok(bytes) = frame?.into_data() {
            return Ok(Some(bytes));
        }
    }
    Ok(None)
}
