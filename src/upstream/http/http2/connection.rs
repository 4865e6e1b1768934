//! One HTTP/2 connection, and exchanges on it.

use super::super::call::{Call, Method};
use super::super::connect::TokioStream;
use super::super::interim::MAX_INTERIM;
use super::super::reply::{self, Reply};
use super::super::retry_after;
use super::driver::Driver;
use super::pool::OpenError;
use super::traffic::{Counted, Traffic};
use bytes::{Bytes, BytesMut};
use h2::client::{ResponseFuture, SendRequest};
use h2::{Reason, RecvStream};
use hyper::header::CONTENT_LENGTH;
use hyper::{Request, Response};
use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;
use tokio::sync::Notify;

/// The most exchanges on one connection, whatever the server allows; Tomcat allows as many. So a connection that breaks
/// takes no more with it.
pub(in crate::upstream) const MOST_STREAMS: usize = 100;
/// What the server may send before we have read it (RFC 9113 §5.2): of one stream, and of all of a connection together.
const STREAM_WINDOW: u32 = 256 * 1024;
const CONNECTION_WINDOW: u32 = 1024 * 1024;
/// The longest head of a reply, decoded.
const LONGEST_HEAD: u32 = 16 * 1024;
/// Streams that were reset are remembered, so that what was already on its way for them is dropped. Of what comes for one
/// that is forgotten, `h2` allows 1,024 in the life of a connection.
const RESET_STREAMS: usize = 500;
const RESET_STREAMS_FOR: Duration = Duration::from_secs(10);
/// As if the server allowed that many streams, until its SETTINGS have come. None are opened before.
const UNKNOWN: usize = usize::MAX - 1;

/// Why there is no reply.
pub(in crate::upstream::http) enum ExchangeError {
    /// Not one byte of the request was written.
    Unsent(h2::Error),
    /// The server has not acted upon it, and says so.
    Refused(h2::Error),
    /// The server has sent too many interim (1xx) replies.
    TooManyInterim,
    /// It may have been acted upon.
    Broken(h2::Error),
}

/// A connection that exchanges share. When it is dropped, the connection ends with GOAWAY after its last exchange.
pub(super) struct Connection {
    sender: SendRequest<Bytes>,
    traffic: Arc<Traffic>,
    close: Arc<Notify>,
}

impl Connection {
    /// Opens HTTP/2 on a stream that nothing was sent on yet, and waits for the server's SETTINGS. `quiet`: see [`Driver`].
    pub(super) async fn open(
        stream: TokioStream,
        quiet: Duration,
    ) -> Result<(Connection, Driver), OpenError> {
        let traffic = Arc::new(Traffic::default());
        let handshake = h2::client::Builder::new()
            .enable_push(false)
            .initial_window_size(STREAM_WINDOW)
            .initial_connection_window_size(CONNECTION_WINDOW)
            .max_header_list_size(LONGEST_HEAD)
            .max_concurrent_reset_streams(RESET_STREAMS)
            .reset_stream_duration(RESET_STREAMS_FOR)
            .initial_max_send_streams(UNKNOWN)
            .handshake(Counted::new(stream, traffic.clone()))
            .await;
        let (sender, mut socket) = handshake.map_err(OpenError::no_http2)?;
        poll_fn(|context| match Pin::new(&mut socket).poll(context) {
            Poll::Ready(ended) => Poll::Ready(Err(match ended {
                Err(error) => OpenError::no_http2(error),
                Ok(()) => OpenError::closed(),
            })),
            Poll::Pending if sender.current_max_send_streams() == UNKNOWN => Poll::Pending,
            Poll::Pending => Poll::Ready(Ok(())),
        })
        .await?;
        let close = Arc::new(Notify::new());
        let driver = Driver::new(socket, traffic.clone(), close.clone(), quiet);
        let connection = Connection {
            sender,
            traffic,
            close,
        };
        Ok((connection, driver))
    }

    /// How many exchanges there may be at once. The server may change it at any time, and end it with GOAWAY.
    pub(super) fn most_streams(&self) -> usize {
        let mut context = Context::from_waker(Waker::noop());
        // A clone is not waited for, so that only an end is reported.
        if let Poll::Ready(Err(_)) = self.sender.clone().poll_ready(&mut context) {
            return 0;
        }
        self.sender.current_max_send_streams().min(MOST_STREAMS)
    }

    /// Closes the connection at once; its other exchanges break.
    pub(super) fn close(&self) {
        self.close.notify_one();
    }

    /// Sends one request and reads its reply. Dropping this resets the stream.
    pub(super) async fn exchange(
        &self,
        request: Request<()>,
        call: &Call,
    ) -> Result<Reply, ExchangeError> {
        let _guard = self.traffic.exchange();
        let before = self.traffic.written();
        let response = match self.response(request, call).await {
            Ok(response) => response,
            Err(ExchangeError::Broken(error)) if self.traffic.written() == before => {
                return Err(ExchangeError::Unsent(error));
            }
            Err(error) => return Err(error),
        };
        let (head, mut body) = response.into_parts();
        let status = head.status.as_u16();
        let announced = head
            .headers
            .get(CONTENT_LENGTH)
            .and_then(|length| length.to_str().ok()?.parse().ok());
        let body = match reply::is_too_large(announced, call.largest_reply) {
            true => None,
            false => match read(&mut body, call.largest_reply).await {
                Ok(body) => body,
                // The status of a refusal counts, even if its body breaks off.
                Err(_) if (400..=599).contains(&status) => Some(Bytes::new()),
                Err(error) => return Err(ExchangeError::Broken(error)),
            },
        };
        Ok(Reply {
            status,
            body,
            retry_after: retry_after::seconds(&head.headers),
        })
    }

    async fn response(
        &self,
        request: Request<()>,
        call: &Call,
    ) -> Result<Response<RecvStream>, ExchangeError> {
        let is_get = matches!(call.method, Method::Get);
        // A clone, since its own is not waited for: there is a place for this stream.
        let (response, mut upload) = self
            .sender
            .clone()
            .send_request(request, is_get)
            .map_err(ExchangeError::Unsent)?;
        if !is_get {
            upload
                .send_data(call.body.clone(), true)
                .map_err(ExchangeError::Broken)?;
        }
        head(response).await
    }
}

/// The head of the reply that ends the exchange.
async fn head(mut response: ResponseFuture) -> Result<Response<RecvStream>, ExchangeError> {
    let mut interim = 0;
    poll_fn(|context| {
        loop {
            match response.poll_informational(context) {
                Poll::Ready(Some(Ok(_))) if interim < MAX_INTERIM => interim += 1,
                Poll::Ready(Some(Ok(_))) => return Poll::Ready(Err(ExchangeError::TooManyInterim)),
                Poll::Ready(Some(Err(error))) => return Poll::Ready(Err(no_head(error))),
                Poll::Ready(None) => {
                    return Pin::new(&mut response).poll(context).map_err(no_head);
                }
                Poll::Pending => return Poll::Pending,
            }
        }
    })
    .await
}

/// What it means that a stream ends before the head of its reply.
fn no_head(error: h2::Error) -> ExchangeError {
    let is_refused = error.is_remote()
        // Of a GOAWAY, a stream sees only one whose last stream is an earlier one.
        && (error.is_go_away() || error.reason() == Some(Reason::REFUSED_STREAM));
    match is_refused {
        true => ExchangeError::Refused(error),
        false => ExchangeError::Broken(error),
    }
}

/// Reads a body of at most `largest` bytes; `None` if there is more.
async fn read(body: &mut RecvStream, largest: usize) -> Result<Option<Bytes>, h2::Error> {
    let Some(first) = chunk(body).await? else {
        return Ok(Some(Bytes::new()));
    };
    if body.is_end_stream() {
        return Ok((first.len() <= largest).then_some(first));
    }
    let mut whole = BytesMut::from(first);
    while whole.len() <= largest {
        match chunk(body).await? {
            Some(chunk) => whole.extend_from_slice(&chunk),
            None => return Ok(Some(whole.freeze())),
        }
    }
    Ok(None)
}

/// The next data of a body, and room for as much more.
async fn chunk(body: &mut RecvStream) -> Result<Option<Bytes>, h2::Error> {
    let Some(chunk) = body.data().await.transpose()? else {
        return Ok(None);
    };
    body.flow_control().release_capacity(chunk.len())?;
    Ok(Some(chunk))
}
