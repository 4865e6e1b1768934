//! One connection with its socket: moves bytes between them, outcomes to the requests' tasks, and messages to the loop.
//!
//! Nothing is allocated while nothing happens: the buffer for reading is on the stack of one poll, and the one for writing
//! is freed when it is empty.

use super::connection::{Connection, Downlink, Event};
use super::link::{Demand, Link, Request, Waiter};
use super::notice::{Acknowledgement, Notice, command_body};
use super::opener::Permit;
use super::outcome::End;
use bytes::{Buf, BytesMut};
use std::collections::VecDeque;
use std::future::{Future, poll_fn};
use std::mem::MaybeUninit;
use std::pin::{Pin, pin};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt, ReadBuf};
use tokio::time::Sleep;

/// Bytes that are read at once.
const READ: usize = 8 * 1024;
/// No more is taken from the connection while so many bytes wait to be written.
const UNWRITTEN: usize = 16 * 1024;
/// Nothing is read while so many messages wait for the loop.
const NOTICES: usize = 32;
/// Stands for the packet id of a message at QoS 0, which no acknowledgement is sent for.
const NO_PACKET: u16 = 0;
/// How long the last bytes may take.
const LAST_BYTES: Duration = Duration::from_secs(1);

/// What the task needs of its surroundings.
pub(super) trait Surroundings {
    /// ThingsBoard has accepted the connection, or has answered a request.
    fn reached(&self);
    /// Passes a message or a change of state on, or returns it if there is no room now.
    fn try_notify(&self, notice: Notice) -> Result<(), Notice>;
    /// Passes the first one on as soon as there is room. It must take the room that it has waited for: left to
    /// [`try_notify`](Self::try_notify), the room would go to the next connection that waits, and so on in a circle.
    fn notify_first(&self, notices: &mut VecDeque<Notice>) -> impl Future<Output = ()> + Send;
}

/// How a connection has ended.
pub(super) struct Ended {
    pub(super) end: End,
    /// How long it was up. `None`: it was not accepted.
    pub(super) up: Option<Duration>,
}

struct Driver<'a, S> {
    stream: S,
    connection: Connection<Waiter>,
    output: BytesMut,
    is_unflushed: bool,
    link: &'a Link,
    /// The connection's number.
    number: u64,
}

/// Drives a connection until it ends. `number` tells connections apart: packet ids are a connection's own.
pub(super) async fn drive<S: AsyncRead + AsyncWrite + Unpin>(
    stream: S,
    user_name: &str,
    link: &Link,
    number: u64,
    permit: Permit,
    surroundings: &impl Surroundings,
) -> Ended {
    let now = super::now();
    let mut driver = Driver {
        stream,
        connection: Connection::new(now, user_name, &client_id()),
        output: BytesMut::new(),
        is_unflushed: false,
        link,
        number,
    };
    let mut demand = link.take();
    // It was about an earlier connection, if anything is wanted since.
    demand.is_close &= demand.requests.is_empty() && demand.subscriptions.is_empty();
    driver.apply(now, demand);
    let mut permit = Some(permit);
    let mut up_since: Option<Instant> = None;
    let mut unsent = Vec::new();
    // Those that the loop has no room for yet. Outcomes of requests don't wait for these.
    let mut notices: VecDeque<Notice> = VecDeque::new();
    let mut sleep = pin!(tokio::time::sleep(Duration::ZERO));
    loop {
        let mut ended = None;
        while let Some(event) = driver.connection.poll_event() {
            let notice = match event {
                Event::Connected => {
                    up_since = Some(super::now());
                    if let Some(permit) = permit.take() {
                        permit.succeeded();
                    }
                    link.set_up(true);
                    surroundings.reached();
                    continue;
                }
                Event::Finished(waiter, outcome) => {
                    if outcome.is_ok() {
                        surroundings.reached();
                    }
                    // Its receiver may be gone.
                    let _ = waiter.send(outcome);
                    continue;
                }
                Event::Unsent(waiter, outgoing, deadline) => {
                    unsent.push(Request {
                        waiter,
                        outgoing,
                        deadline,
                    });
                    continue;
                }
                Event::RenewalDue => {
                    driver.connection.close(super::now());
                    continue;
                }
                Event::Ended(end) => {
                    ended = Some(end);
                    continue;
                }
                Event::Subscribed(numbers) => Notice::Subscribed {
                    numbers,
                    connection: number,
                },
                Event::Attributes(downlink) => Notice::Attributes {
                    acknowledgement: driver.acknowledgement(&downlink),
                    body: downlink.payload,
                },
                Event::Command(id, downlink) => Notice::Command {
                    id,
                    acknowledgement: driver.acknowledgement(&downlink),
                    body: command_body(id, &downlink.payload),
                },
            };
            notices.push_back(notice);
        }
        while let Some(notice) = notices.pop_front() {
            if let Err(notice) = surroundings.try_notify(notice) {
                notices.push_front(notice);
                break;
            }
        }
        if notices.is_empty() {
            notices = VecDeque::new();
        }
        if let Some(end) = ended {
            if let Some(permit) = permit.take() {
                match end {
                    End::Lost | End::Silent | End::NotServing => permit.failed(),
                    // It has answered.
                    End::TokenRefused
                    | End::Displaced
                    | End::RateLimited
                    | End::Unintelligible(_)
                    | End::Closed => permit.succeeded(),
                }
            }
            link.set_up(false);
            link.give_back(unsent);
            while !notices.is_empty() {
                surroundings.notify_first(&mut notices).await;
            }
            driver.write_last_bytes().await;
            let up = up_since.map(|since| super::now().saturating_duration_since(since));
            return Ended { end, up };
        }
        let is_waiting = !notices.is_empty();
        let is_loop_behind = notices.len() >= NOTICES;
        let progress =
            poll_fn(|context| driver.poll_progress(context, sleep.as_mut(), is_loop_behind));
        tokio::select! {
            biased;
            () = progress => {}
            () = surroundings.notify_first(&mut notices), if is_waiting => {}
        }
    }
}

fn client_id() -> String {
    format!("coaps-gateway-{:016x}", fastrand::u64(..))
}

impl<S: AsyncRead + AsyncWrite + Unpin> Driver<'_, S> {
    /// Ready when there may be events.
    fn poll_progress(
        &mut self,
        context: &mut Context<'_>,
        mut sleep: Pin<&mut Sleep>,
        is_loop_behind: bool,
    ) -> Poll<()> {
        let now = super::now();
        let mut is_progress = false;
        if is_loop_behind {
            self.connection.reading_paused(now);
        }
        if let Poll::Ready(demand) = self.link.poll_take(context) {
            self.apply(now, demand);
            is_progress = true;
        }
        if let Some(at) = self.connection.next_timeout() {
            let at = tokio::time::Instant::from_std(at);
            if sleep.deadline() != at {
                sleep.as_mut().reset(at);
            }
            if sleep.poll(context).is_ready() {
                self.connection.handle_timeout(now.max(at.into_std()));
                is_progress = true;
            }
        }
        is_progress |= self.poll_write(context, now);
        // Each message that is read may need a PUBACK: nothing is read while the server does not read these, or the loop is
        // behind.
        if self.output.len() < UNWRITTEN && !is_loop_behind {
            is_progress |= self.poll_read(context, now);
        }
        // The connection may have something to write, or another timeout.
        match is_progress {
            true => Poll::Ready(()),
            false => Poll::Pending,
        }
    }

    fn apply(&mut self, now: Instant, demand: Demand) {
        if let Some(until) = demand.alive_until {
            self.connection.alive_until(until);
        }
        for request in demand.requests {
            let Request {
                waiter,
                outgoing,
                deadline,
            } = request;
            // It may have waited for this connection too long.
            if !waiter.is_closed() {
                self.connection.start(waiter, outgoing, deadline);
            }
        }
        self.connection.set_subscriptions(demand.subscriptions);
        for (number, packet) in demand.acknowledgements {
            if number == self.number && packet != NO_PACKET {
                self.connection.acknowledge(now, packet);
            }
        }
        if demand.is_close {
            self.connection.close(now);
        }
    }

    /// Writes what can be written. Returns whether the connection has ended by it.
    fn poll_write(&mut self, context: &mut Context<'_>, now: Instant) -> bool {
        loop {
            if self.output.len() < UNWRITTEN {
                self.connection.poll_write(now, &mut self.output);
            }
            if self.output.is_empty() {
                self.output = BytesMut::new();
                break;
            }
            match Pin::new(&mut self.stream).poll_write(context, &self.output) {
                Poll::Ready(Ok(written)) if written > 0 => {
                    self.output.advance(written);
                    self.is_unflushed = true;
                }
                Poll::Ready(_) => {
                    self.connection.lost();
                    return true;
                }
                Poll::Pending => break,
            }
        }
        if self.is_unflushed
            && let Poll::Ready(flushed) = Pin::new(&mut self.stream).poll_flush(context)
        {
            self.is_unflushed = false;
            if flushed.is_err() {
                self.connection.lost();
                return true;
            }
        }
        false
    }

    /// Reads once. Returns whether anything was read, or the connection has ended.
    fn poll_read(&mut self, context: &mut Context<'_>, now: Instant) -> bool {
        let mut room = [const { MaybeUninit::uninit() }; READ];
        let mut buffer = ReadBuf::uninit(&mut room);
        match Pin::new(&mut self.stream).poll_read(context, &mut buffer) {
            Poll::Ready(Ok(())) if !buffer.filled().is_empty() => {
                self.connection.receive(now, buffer.filled());
                true
            }
            Poll::Ready(_) => {
                self.connection.lost();
                true
            }
            Poll::Pending => false,
        }
    }

    fn acknowledgement(&self, downlink: &Downlink) -> Acknowledgement {
        Acknowledgement {
            connection: self.number,
            packet: downlink.packet.unwrap_or(NO_PACKET),
        }
    }

    /// Writes what the connection has left, a DISCONNECT perhaps, and closes the stream.
    async fn write_last_bytes(&mut self) {
        self.connection.poll_write(super::now(), &mut self.output);
        let stream = &mut self.stream;
        let output = &self.output;
        let write = async {
            if !output.is_empty() {
                stream.write_all(output).await?;
            }
            stream.shutdown().await
        };
        // The connection has ended, whether they arrive or not.
        let _ = tokio::time::timeout(LAST_BYTES, write).await;
    }
}
