//! Sends what a test has as HTTP/1.1 over HTTP/2.

use bytes::Bytes;
use h2::server::SendResponse;
use h2::{RecvStream, SendStream};
use hyper::{Request, Response};
use std::future::poll_fn;
use std::task::Poll;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinHandle;

type Arrived = (Request<RecvStream>, SendResponse<Bytes>);

/// When it is dropped, the connection ends as with HTTP/1.1: at once in the middle of a reply, else after what was sent.
pub(in super::super) struct Http2 {
    requests: mpsc::Receiver<Arrived>,
    state: State,
    /// What does not make a whole head or chunk yet.
    rest: Vec<u8>,
    graceful: Option<oneshot::Sender<()>>,
    task: Option<JoinHandle<()>>,
}

/// How far the reply to the last request is.
enum State {
    Idle,
    Head(SendResponse<Bytes>),
    Body(SendStream<Bytes>, Length),
}

#[derive(Clone, Copy)]
enum Length {
    Left(usize),
    Chunked,
    UntilClosed,
}

impl Http2 {
    pub(super) async fn new(stream: TcpStream) -> Http2 {
        let (sender, requests) = mpsc::channel(200);
        let (graceful, closed) = oneshot::channel();
        // A second handle, so that the end is a FIN: with unread bytes of the client's, closing would be a reset, which
        // overtakes what was sent.
        let stream = stream.into_std().unwrap();
        let mut end = TcpStream::from_std(stream.try_clone().unwrap()).unwrap();
        let stream = TcpStream::from_std(stream).unwrap();
        let mut connection = h2::server::Builder::new()
            .max_concurrent_streams(100)
            .handshake::<_, Bytes>(stream)
            .await
            .unwrap();
        let task = tokio::spawn(async move {
            let mut closed = Some(closed);
            loop {
                let ended = async {
                    match &mut closed {
                        Some(closed) => closed.await,
                        None => std::future::pending().await,
                    }
                };
                tokio::select! {
                    arrived = connection.accept() => match arrived {
                        Some(Ok(arrived)) => {
                            let _ = sender.send(arrived).await;
                        }
                        _ => return,
                    },
                    is_graceful = ended => match is_graceful {
                        Ok(()) => {
                            closed = None;
                            connection.graceful_shutdown();
                        }
                        Err(_) => {
                            // Writes what there is.
                            poll_fn(|context| {
                                let _ = connection.poll_closed(context);
                                Poll::Ready(())
                            })
                            .await;
                            drop(connection);
                            let _ = end.shutdown().await;
                            let _ = end.read_to_end(&mut Vec::new()).await;
                            return;
                        }
                    },
                }
            }
        });
        Http2 {
            requests,
            state: State::Idle,
            rest: Vec::new(),
            graceful: Some(graceful),
            task: Some(task),
        }
    }

    /// Ends the connection after the last reply, and waits until the client has closed.
    pub(super) async fn close(mut self) {
        let task = self.task.take().unwrap();
        drop(self);
        task.await.unwrap();
    }

    pub(super) async fn request(&mut self) -> Option<String> {
        let state = &mut self.state;
        let reset = poll_fn(|context| match state {
            State::Idle => Poll::Pending,
            State::Head(response) => response.poll_reset(context),
            State::Body(body, _) => body.poll_reset(context),
        });
        let (request, response) = tokio::select! {
            arrived = self.requests.recv() => arrived?,
            _ = reset => {
                self.state = State::Idle;
                return None;
            }
        };
        let (head, mut body) = request.into_parts();
        let mut text = format!(
            "{} {} HTTP/1.1\r\n",
            head.method,
            head.uri.path_and_query()?
        );
        for (name, value) in &head.headers {
            text += &format!("{name}: {}\r\n", value.to_str().unwrap());
        }
        text += "\r\n";
        while let Some(chunk) = body.data().await {
            text += std::str::from_utf8(&chunk.ok()?).unwrap();
        }
        self.state = State::Head(response);
        Some(text)
    }

    /// Sends what is whole of this and what came before. Returns whether the client has not reset the stream.
    pub(super) async fn send(&mut self, bytes: &[u8]) -> bool {
        self.rest.extend_from_slice(bytes);
        // So that the connection's task can write.
        tokio::task::yield_now().await;
        loop {
            if self.requests.is_closed() {
                return false;
            }
            let state = std::mem::replace(&mut self.state, State::Idle);
            match self.advance(state).await {
                Ok(Some(state)) => self.state = state,
                Ok(None) => return true,
                Err(_) => return false,
            }
        }
    }

    /// Sends one head or piece of a body. `None`: nothing that is whole is left.
    async fn advance(&mut self, state: State) -> Result<Option<State>, h2::Error> {
        match state {
            State::Idle => Ok(None),
            State::Head(mut responder) => {
                let Some(end) = find(&self.rest, b"\r\n\r\n") else {
                    self.state = State::Head(responder);
                    return Ok(None);
                };
                let head: Vec<u8> = self.rest.drain(..end + 4).collect();
                let (response, length) = response(std::str::from_utf8(&head).unwrap());
                if response.status().is_informational() {
                    responder.send_informational(response)?;
                    return Ok(Some(State::Head(responder)));
                }
                let is_empty = matches!(length, Length::Left(0));
                let body = responder.send_response(response, is_empty)?;
                Ok(Some(match is_empty {
                    true => State::Idle,
                    false => State::Body(body, length),
                }))
            }
            State::Body(mut body, length) => {
                let (piece, left) = match length {
                    Length::Left(left) => {
                        let piece = self.take(left);
                        let left = left - piece.len();
                        (piece, Length::Left(left))
                    }
                    Length::UntilClosed => (self.take(usize::MAX), length),
                    Length::Chunked => match self.take_chunk() {
                        Some(chunk) if chunk.is_empty() => (chunk, Length::Left(0)),
                        Some(chunk) => (chunk, length),
                        None => (Bytes::new(), length),
                    },
                };
                let is_end = matches!(left, Length::Left(0));
                if piece.is_empty() && !is_end {
                    self.state = State::Body(body, left);
                    return Ok(None);
                }
                send(&mut body, piece, is_end).await?;
                Ok(Some(match is_end {
                    true => State::Idle,
                    false => State::Body(body, left),
                }))
            }
        }
    }

    fn take(&mut self, most: usize) -> Bytes {
        let length = most.min(self.rest.len());
        self.rest.drain(..length).collect::<Vec<u8>>().into()
    }

    fn take_chunk(&mut self) -> Option<Bytes> {
        let line = find(&self.rest, b"\r\n")?;
        let length = std::str::from_utf8(&self.rest[..line]).unwrap();
        let length = usize::from_str_radix(length, 16).unwrap();
        let whole = line + 2 + length + 2;
        let chunk = self.rest.get(line + 2..whole - 2)?.to_vec();
        self.rest.drain(..whole.min(self.rest.len()));
        Some(chunk.into())
    }
}

impl Drop for Http2 {
    fn drop(&mut self) {
        if let (State::Idle, Some(graceful)) = (&self.state, self.graceful.take()) {
            let _ = graceful.send(());
        }
        // Dropped, it would reset its stream.
        std::mem::forget(std::mem::replace(&mut self.state, State::Idle));
    }
}

/// Sends as the client's window allows.
async fn send(
    body: &mut SendStream<Bytes>,
    mut piece: Bytes,
    is_end: bool,
) -> Result<(), h2::Error> {
    while !piece.is_empty() {
        body.reserve_capacity(piece.len());
        let capacity = poll_fn(|context| body.poll_capacity(context)).await;
        let capacity = capacity.ok_or(h2::Error::from(h2::Reason::CANCEL))??;
        let part = piece.split_to(capacity.min(piece.len()));
        body.send_data(part, is_end && piece.is_empty())?;
        if piece.is_empty() {
            return Ok(());
        }
    }
    body.send_data(piece, is_end)
}

fn find(text: &[u8], what: &[u8]) -> Option<usize> {
    text.windows(what.len()).position(|window| window == what)
}

fn response(head: &str) -> (Response<()>, Length) {
    let mut lines = head.trim_end().lines();
    let status = lines.next().unwrap().split(' ').nth(1).unwrap();
    let mut response = Response::builder().status(status);
    let mut length = match status.starts_with('1') || status == "204" {
        true => Length::Left(0),
        false => Length::UntilClosed,
    };
    for line in lines {
        let (name, value) = line.split_once(':').unwrap();
        match name.to_lowercase().as_str() {
            "connection" => {}
            "transfer-encoding" => length = Length::Chunked,
            "content-length" => {
                length = Length::Left(value.trim().parse().unwrap());
                response = response.header(name, value.trim());
            }
            _ => response = response.header(name, value.trim()),
        }
    }
    (response.body(()).unwrap(), length)
}
