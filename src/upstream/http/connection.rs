//! One HTTP/1.1 connection, and one exchange on it at a time.
//!
//! `hyper` splits a connection in two: who sends, and who reads and writes the socket, commonly a task of its own. Here
//! both stand in one place, and whoever makes an exchange drives the socket meanwhile. Nothing is handed from task to
//! task, and to drop an exchange is to close its connection. Between exchanges nobody looks at the socket: whether the
//! server has closed it is seen when it is wanted again ([`is_open`](Connection::is_open)), before anything is written.

use super::connect::Stream;
use super::interim::{Counted, Interim};
use super::retry_after;
use bytes::{Bytes, BytesMut};
use http_body_util::{BodyExt, Full};
use hyper::body::{Body, Incoming};
use hyper::client::conn::http1::{self, SendRequest};
use hyper::{Request, Response};
use std::future::{Future, poll_fn};
use std::pin::{Pin, pin};
use std::task::{Context, Poll};

/// A connection that was opened.
pub(super) struct Connection {
    sender: SendRequest<Full<Bytes>>,
    /// `None` once it has come to its end.
    socket: Option<http1::Connection<Counted, Full<Bytes>>>,
    interim: Interim,
}

/// What came back, not yet judged.
pub(in crate::upstream) struct Reply {
    pub(in crate::upstream) status: u16,
    /// Its body, unless that is larger than the call allows.
    pub(in crate::upstream) body: Option<Bytes>,
    /// The seconds that its Retry-After names.
    pub(in crate::upstream) retry_after: Option<u32>,
}

/// Why there is no reply.
pub(super) enum Lost {
    /// Not one byte of the request was written: here it is again.
    Unsent(Box<Request<Full<Bytes>>>, hyper::Error),
    /// It may have been acted upon.
    Broken(hyper::Error),
}

impl Connection {
    /// Over a stream on which nothing was said yet.
    pub(super) async fn over(stream: Stream) -> hyper::Result<Connection> {
        let interim = Interim::default();
        let counted = Counted::new(stream, interim.clone());
        let (sender, socket) = http1::handshake(counted).await?;
        let socket = Some(socket);
        Ok(Connection {
            sender,
            socket,
            interim,
        })
    }

    /// Whether another exchange can be made on it, as far as is known here. Waits for nothing.
    pub(super) async fn is_open(&mut self) -> bool {
        poll_fn(|context| {
            self.drive(context);
            Poll::Ready(self.socket.is_some() && self.sender.is_ready())
        })
        .await
    }

    /// One request and its reply, of whose body at most so many bytes are read.
    pub(super) async fn exchange(
        &mut self,
        mut request: Request<Full<Bytes>>,
        most: usize,
    ) -> Result<Reply, Lost> {
        self.interim.begin(&mut request);
        let sent = self.sender.try_send_request(request);
        let mut exchange = pin!(async move {
            let response = sent
                .await
                .map_err(|mut failed| match failed.take_message() {
                    Some(request) => Lost::Unsent(Box::new(request), failed.into_error()),
                    None => Lost::Broken(failed.into_error()),
                })?;
            reply(response, most).await.map_err(Lost::Broken)
        });
        poll_fn(|context| {
            // First who sends, so that the socket finds what to write; then who reads what the socket brought.
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
            // How it ended is told to whoever waits for a reply.
            self.socket = None;
        }
    }
}

async fn reply(mut response: Response<Incoming>, most: usize) -> hyper::Result<Reply> {
    let status = response.status().as_u16();
    let retry_after = retry_after::seconds(response.headers());
    let body = match read(response.body_mut(), most).await {
        Ok(body) => body,
        // A refusal stays one when its explanation breaks off.
        Err(_) if (400..=599).contains(&status) => Some(Bytes::new()),
        Err(error) => return Err(error),
    };
    Ok(Reply {
        status,
        body,
        retry_after,
    })
}

/// Reads a body up to the bound; `None` if there is more.
async fn read(body: &mut Incoming, most: usize) -> hyper::Result<Option<Bytes>> {
    // An announced length is only good for refusing early.
    let announced = body.size_hint().exact();
    if announced.is_some_and(|length| usize::try_from(length).is_ok_and(|length| length > most)) {
        return Ok(None);
    }
    let Some(first) = chunk(body).await? else {
        return Ok(Some(Bytes::new()));
    };
    let mut whole = BytesMut::from(first);
    while whole.len() <= most {
        match chunk(body).await? {
            Some(chunk) => whole.extend_from_slice(&chunk),
            None => return Ok(Some(whole.freeze())),
        }
    }
    Ok(None)
}

/// What comes next of a body; trailers are passed over.
async fn chunk(body: &mut Incoming) -> hyper::Result<Option<Bytes>> {
    while let Some(frame) = body.frame().await {
        if let Ok(bytes) = frame?.into_data() {
            return Ok(Some(bytes));
        }
    }
    Ok(None)
}
