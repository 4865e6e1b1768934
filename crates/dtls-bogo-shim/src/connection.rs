//! One connection, from its first datagram to its last.

use crate::credentials;
use crate::failure::Failure;
use crate::link::{Frame, Link};
use crate::options::Options;
use crate::server::{Connected, Event, Server};
use std::collections::VecDeque;
use std::time::{Duration, Instant};

struct Connection<'a> {
    options: &'a Options,
    server: Server<'a>,
    link: &'a mut Link,
    now: Instant,
    is_resumption: bool,
    is_connected: bool,
    /// The server has sent close_notify.
    is_closed: bool,
    /// The client has.
    is_closed_by_client: bool,
}

/// Serves the runner until it closes the connection, or the session has ended in order.
pub(crate) fn run(
    options: &Options,
    server: Server<'_>,
    link: &mut Link,
    now: Instant,
    is_resumption: bool,
) -> Result<(), Failure> {
    let mut connection = Connection {
        options,
        server,
        link,
        now,
        is_resumption,
        is_connected: false,
        is_closed: false,
        is_closed_by_client: false,
    };
    while !connection.is_over() {
        let Some(frame) = connection.link.read()? else {
            return connection.end();
        };
        connection.receive(frame)?;
    }
    Ok(())
}

impl Connection<'_> {
    fn is_over(&self) -> bool {
        self.is_closed && (self.is_closed_by_client || !self.options.check_close_notify)
    }

    /// The runner has closed the connection.
    fn end(&self) -> Result<(), Failure> {
        if !self.is_connected {
            return Err(match self.server.alert() {
                Some(alert) => Failure::failed(format!(
                    "the client has sent {} in plaintext",
                    alert.description
                )),
                None => Failure::failed("the client sends no more"),
            });
        }
        if self.options.check_close_notify && !self.is_closed_by_client {
            return Err(Failure::failed("the client has sent no close_notify"));
        }
        Ok(())
    }

    fn receive(&mut self, frame: Frame) -> Result<(), Failure> {
        match frame {
            Frame::Packet(datagram) => {
                let events = self.server.receive(self.now, &datagram);
                self.handle(events)
            }
            Frame::AdvanceClock(by) => {
                self.link.acknowledge_clock()?;
                self.now += by;
                let events = self.server.handle_timeout(self.now);
                self.handle(events)
            }
            Frame::ExpectTimeout(expected) => self.compare_timeout(expected),
            Frame::Mtu(mtu) => Err(Failure::unimplemented(format!(
                "an MTU of {mtu} from now on"
            ))),
            Frame::FirstTimeout(timeout) => Err(Failure::unimplemented(format!(
                "a first timeout of {timeout:?} from now on"
            ))),
        }
    }

    fn compare_timeout(&self, expected: Option<Duration>) -> Result<(), Failure> {
        let next = self.server.next_timeout();
        let actual = next.map(|next| next.saturating_duration_since(self.now));
        match actual == expected {
            true => Ok(()),
            false => Err(Failure::failed(format!(
                "the next timeout is {actual:?}, and {expected:?} is expected"
            ))),
        }
    }

    fn handle(&mut self, events: Vec<Event>) -> Result<(), Failure> {
        let mut pending = VecDeque::from(events);
        while let Some(event) = pending.pop_front() {
            match event {
                Event::Transmit(datagram) => self.link.send(&datagram)?,
                Event::Connected(connected) => {
                    self.is_connected = true;
                    self.check(connected)?;
                    pending.extend(self.begin());
                }
                Event::ApplicationData(data) => {
                    // The runner compares the answer.
                    let answer: Vec<u8> = data.iter().map(|byte| byte ^ 0xff).collect();
                    pending.extend(self.server.send(&answer));
                }
                Event::CloseNotify => {
                    self.is_closed_by_client = true;
                    pending.extend(self.close());
                }
                Event::Failed(failure) => return Err(failure),
            }
        }
        Ok(())
    }

    /// Compares what was negotiated with what the test expects.
    fn check(&self, connected: Connected) -> Result<(), Failure> {
        let options = self.options;
        if options.expected_suite.unwrap_or(connected.suite.number()) != connected.suite.number() {
            return Err(Failure::failed(":WRONG_CIPHER:"));
        }
        if options.expect_extended_master_secret && !connected.has_extended_master_secret {
            return Err(Failure::failed(":NO_EXTENDED_MASTER_SECRET:"));
        }
        if options.expect_session_id && !connected.has_session {
            return Err(Failure::failed(":NO_SESSION:"));
        }
        let is_resumed = self.is_resumption && !options.expect_session_miss;
        if connected.is_resumed != is_resumed {
            return Err(Failure::failed(format!(
                ":SESSION: resumed: {}",
                connected.is_resumed
            )));
        }
        if let Some(path) = &options.expected_certificate
            && !is_resumed
            && credentials::certificates(path)?.first() != self.server.client_chain().first()
        {
            return Err(Failure::failed(":WRONG_PEER_CERTIFICATE:"));
        }
        Ok(())
    }

    /// What the test has the server do once the handshake is complete.
    fn begin(&mut self) -> Vec<Event> {
        let mut events = Vec::new();
        if self.options.write_first {
            for _ in 0..self.options.first_data_count {
                events.extend(self.server.send(self.options.first_data.as_bytes()));
            }
        }
        if self.options.close_first {
            events.extend(self.close());
        }
        events
    }

    fn close(&mut self) -> Vec<Event> {
        match std::mem::replace(&mut self.is_closed, true) {
            true => Vec::new(),
            false => self.server.close(),
        }
    }
}
