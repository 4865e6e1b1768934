//! One connection with its socket: moves bytes between them, outcomes to the requests' tasks, and messages to the loop.
//!
//! Nothing is allocated while nothing happens: the buffer for reading is on the stack of one poll, and the one for writing
//! is freed when it is empty.

use super::connection::{Connection, Downlink, Event};
use super::counters::{AtomicCounters, Expired, count};
use super::link::{Link, Message, Request, Taken};
use super::notice::{Acknowledgement, Notice, command_body};
use super::opener::Permit;
use super::outcome::End;
use super::waiter::Waiter;
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
    /// ThingsBoard has answered.
    fn reached(&self);
    /// ThingsBoard has accepted the connection.
    fn connected(&self);
    fn counters(&self) -> &AtomicCounters;
    /// Passes a message or a change of state on, or returns it if there is no room now.
    fn try_notify(&self, notice: Notice) -> Result<(), Notice>;
    /// Waits until there is room, in turn with all other connections, and passes the notice on. What would keep others waiting
    /// is parsed in another thread.
    fn notify(&self, notice: Notice) -> impl Future<Output = ()> + Send;
}

/// How a connection has ended.
pub(super) struct Ended {
    pub(super) end: End,
    /// How long it was up. `None`: it was not accepted.
    pub(super) up: Option<Duration>,
    /// What the stream says: TLS may have been refused.
    pub(super) reason: Option<String>,
}

struct Driver<'a, S> {
    stream: S,
    connection: Connection<Waiter>,
    output: BytesMut,
    is_unflushed: bool,
    /// Those that the loop has no room for yet. Outcomes of requests don't wait for these.
    notices: VecDeque<Notice>,
    link: &'a Link,
    /// The connection's number.
    number: u64,
    /// Why the stream has failed.
    reason: Option<String>,
    counters: &'a AtomicCounters,
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
        notices: VecDeque::new(),
        link,
        number,
        reason: None,
        counters: surroundings.counters(),
    };
    driver.apply(now, link.take());
    let mut permit = Some(permit);
    let mut up_since: Option<Instant> = None;
    let mut unsent = Vec::new();
    let mut sleep = pin!(tokio::time::sleep(Duration::ZERO));
    // On the heap while there is one: it keeps its turn while other things happen.
    let mut notification = None;
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
                    surroundings.connected();
                    continue;
                }
                Event::Finished(waiter, outcome) => {
                    if outcome.is_ok() {
                        surroundings.reached();
                    }
                    waiter.finish(outcome);
                    continue;
                }
                Event::Unsent(waiter, outgoing, deadline) => {
                    unsent.push(Request {
                        waiter,
                        message: Message::Checked(outgoing),
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
                Event::Attributes(downlink) => {
                    count(&surroundings.counters().attributes);
                    Notice::Attributes {
                        acknowledgement: driver.acknowledgement(&downlink),
                        body: downlink.payload,
                    }
                }
                Event::Command(id, downlink) => {
                    count(&surroundings.counters().commands);
                    Notice::Command {
                        id,
                        acknowledgement: driver.acknowledgement(&downlink),
                        body: command_body(id, &downlink.payload),
                    }
                }
            };
            driver.notices.push_back(notice);
        }
        while notification.is_none()
            && let Some(notice) = driver.notices.pop_front()
        {
            if let Err(notice) = try_notify(surroundings, notice) {
                notification = Some(Box::pin(surroundings.notify(notice)));
            }
        }
        if driver.notices.is_empty() {
            driver.notices = VecDeque::new();
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
            if let Some(notification) = notification.take() {
                notification.await;
            }
            while let Some(notice) = driver.notices.pop_front() {
                if let Err(notice) = try_notify(surroundings, notice) {
                    surroundings.notify(notice).await;
                }
            }
            driver.write_last_bytes().await;
            let up = up_since.map(|since| super::now().saturating_duration_since(since));
            let reason = driver.reason;
            return Ended { end, up, reason };
        }
        let progress = poll_fn(|context| driver.poll_progress(context, sleep.as_mut()));
        match &mut notification {
            None => progress.await,
            Some(notified) => tokio::select! {
                biased;
                () = progress => {}
                () = notified => notification = None,
            },
        }
    }
}

/// Passes a notice on at once, or returns it if there is no room, or if it takes long to parse.
fn try_notify(surroundings: &impl Surroundings, notice: Notice) -> Result<(), Notice> {
    match notice.is_large() {
        true => Err(notice),
        false => surroundings.try_notify(notice),
    }
}

fn client_id() -> String {
    format!("coaps-gateway-{:016x}", fastrand::u64(..))
}

impl<S: AsyncRead + AsyncWrite + Unpin> Driver<'_, S> {
    /// Ready when there may be events.
    fn poll_progress(&mut self, context: &mut Context<'_>, mut sleep: Pin<&mut Sleep>) -> Poll<()> {
        let now = super::now();
        let is_loop_behind = self.notices.len() >= NOTICES;
        if is_loop_behind {
            self.connection.reading_paused(now);
        }
        if let Some(demand) = self.link.poll_take(context) {
            self.apply(now, demand);
        }
        let mut is_progress = true;
        while is_progress && !self.connection.has_events() {
            is_progress = self.poll_write(context, now);
            // Each message that is read may need a PUBACK: nothing is read while the server does not read these, or the loop
            // is behind.
            if self.output.len() < UNWRITTEN && !is_loop_behind {
                is_progress |= self.poll_read(context, now);
            }
            is_progress |= self.poll_timeout(context, now, sleep.as_mut());
        }
        match is_progress {
            true => Poll::Ready(()),
            false => Poll::Pending,
        }
    }

    /// Does what is due. Returns whether anything was. Most deadlines are passed over, so the timer is moved only if it is too
    /// late: one that is too early costs less than one that is moved with each message.
    fn poll_timeout(
        &mut self,
        context: &mut Context<'_>,
        now: Instant,
        mut sleep: Pin<&mut Sleep>,
    ) -> bool {
        let Some(at) = self.connection.next_timeout() else {
            return false;
        };
        let due = tokio::time::Instant::from_std(at);
        if due < sleep.deadline() {
            sleep.as_mut().reset(due);
        }
        while sleep.as_mut().poll(context).is_ready() {
            if due <= sleep.deadline() {
                self.connection.handle_timeout(now.max(at));
                self.counters.expired(self.connection.take_expired());
                return true;
            }
            sleep.as_mut().reset(due);
        }
        false
    }

    fn apply(&mut self, now: Instant, demand: Taken) {
        if let Some(until) = demand.alive_until {
            self.connection.alive_until(until);
        }
        for request in demand.requests {
            let Request {
                waiter,
                message,
                deadline,
            } = request;
            // It may have waited for this connection too long.
            if waiter.is_closed() {
                let unsent = 1;
                self.counters.expired(Expired {
                    unsent,
                    ..Expired::default()
                });
                continue;
            }
            match message.check() {
                Ok(outgoing) => self.connection.start(waiter, outgoing, deadline),
                Err(error) => {
                    self.counters.refused_body(&error);
                    waiter.finish(Err(error));
                }
            }
        }
        self.connection.set_subscriptions(demand.subscriptions);
        for (number, packet) in demand.acknowledgements {
            if packet == NO_PACKET {
            } else if number == self.number {
                if self.connection.acknowledge(now, packet) {
                    count(&self.counters.acknowledged);
                }
            } else {
                count(&self.counters.acknowledged_too_late);
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
                Poll::Ready(written) => {
                    self.lost(written.err());
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
                self.lost(flushed.err());
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
            Poll::Ready(read) => {
                self.lost(read.err());
                true
            }
            Poll::Pending => false,
        }
    }

    fn lost(&mut self, error: Option<std::io::Error>) {
        self.reason = error.map(|error| error.to_string());
        self.connection.lost();
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
