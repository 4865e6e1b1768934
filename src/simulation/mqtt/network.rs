//! The network between the gateway and ThingsBoard: streams in simulated time, as TCP's, that can be cut at any write.

use crate::upstream::Dial;
use bytes::Bytes;
use fastrand::Rng;
use std::collections::VecDeque;
use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, Weak};
use std::task::{Context, Poll, Waker};
use std::time::Duration;
use thingsboard_simulator::Control;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Instant, Sleep};

/// How long the gateway waits for a stream to open.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// What becomes of a new stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::simulation) enum Dialing {
    Opens,
    /// As by a host without the server.
    Refused,
    /// As by a host that is gone.
    Hangs,
}

/// When a stream is cut of itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::simulation) struct CutAt {
    /// Writes of either side, on all streams, that pass before.
    pub(in crate::simulation) after_writes: usize,
    /// Whether the bytes of the write at which it is cut arrive. Its writer sees the end in each case.
    pub(in crate::simulation) arrives: bool,
}

/// All streams between gateways and ThingsBoard.
#[derive(Clone)]
pub(in crate::simulation) struct Network(Arc<Mutex<State>>);

struct State {
    random: Rng,
    latency: Duration,
    /// The most that is added at random. Bytes of one stream stay in order.
    jitter: Duration,
    dialing: Dialing,
    cut_at: Option<CutAt>,
    dialed: usize,
    wires: Vec<Weak<Mutex<Wire>>>,
}

impl Network {
    pub(super) fn new(seed: u64) -> Network {
        Network(Arc::new(Mutex::new(State {
            random: Rng::with_seed(seed ^ 0x3b),
            latency: Duration::from_millis(5),
            jitter: Duration::ZERO,
            dialing: Dialing::Opens,
            cut_at: None,
            dialed: 0,
            wires: Vec::new(),
        })))
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap()
    }

    pub(in crate::simulation) fn set_delay(&self, latency: Duration, jitter: Duration) {
        let mut state = self.state();
        (state.latency, state.jitter) = (latency, jitter);
    }

    pub(in crate::simulation) fn set_dialing(&self, dialing: Dialing) {
        self.state().dialing = dialing;
    }

    pub(in crate::simulation) fn cut_at(&self, cut_at: Option<CutAt>) {
        self.state().cut_at = cut_at;
    }

    /// Whether the cut that was asked for has happened.
    pub(in crate::simulation) fn has_cut(&self) -> bool {
        self.state().cut_at.is_none()
    }

    /// Streams that gateways have tried to open.
    pub(in crate::simulation) fn dialed(&self) -> usize {
        self.state().dialed
    }

    /// Streams that are open at both ends.
    pub(in crate::simulation) fn open(&self) -> usize {
        let wires = self.wires();
        let wires = wires.iter().map(|wire| wire.lock().unwrap());
        wires.filter(|wire| wire.ends == 2).count()
    }

    /// Cuts all streams that `is_chosen` chooses. What is under way is lost, and both sides see it.
    pub(in crate::simulation) fn cut(&self, mut is_chosen: impl FnMut() -> bool) {
        for wire in self.wires() {
            if is_chosen() {
                wire.lock().unwrap().cut();
            }
        }
    }

    /// From now on nothing arrives on the streams that are open, and nothing shows it.
    pub(in crate::simulation) fn silence(&self) {
        for wire in self.wires() {
            wire.lock().unwrap().is_silent = true;
        }
    }

    fn wires(&self) -> Vec<Arc<Mutex<Wire>>> {
        let mut state = self.state();
        state.wires.retain(|wire| wire.strong_count() > 0);
        state.wires.iter().filter_map(Weak::upgrade).collect()
    }

    fn stream_pair(&self) -> [Stream; 2] {
        let wire = Arc::new(Mutex::new(Wire {
            ends: 2,
            ..Wire::default()
        }));
        let mut state = self.state();
        if state.wires.len() > 100 {
            state.wires.retain(|wire| wire.strong_count() > 0);
        }
        state.wires.push(Arc::downgrade(&wire));
        [0, 1].map(|side| Stream {
            network: self.clone(),
            wire: wire.clone(),
            side,
            sleep: None,
        })
    }

    /// How long bytes take that are written now, and whether their stream is cut by it, and if so, whether they arrive.
    fn write(&self) -> (Duration, Option<bool>) {
        let mut state = self.state();
        let part = state.random.f64();
        let delay = state.latency + state.jitter.mul_f64(part);
        let cut = match &mut state.cut_at {
            Some(cut_at) if cut_at.after_writes == 0 => Some(cut_at.arrives),
            Some(cut_at) => {
                cut_at.after_writes -= 1;
                None
            }
            None => None,
        };
        if cut.is_some() {
            state.cut_at = None;
        }
        (delay, cut)
    }
}

/// One stream: what is under way in each direction, by the side that writes it.
#[derive(Default)]
struct Wire {
    directions: [Direction; 2],
    is_cut: bool,
    is_silent: bool,
    /// The sides that are not dropped yet.
    ends: usize,
}

#[derive(Default)]
struct Direction {
    /// Bytes, and when they arrive. Empty ones are the end.
    under_way: VecDeque<(Instant, Bytes)>,
    is_ended: bool,
    reader: Option<Waker>,
}

impl Direction {
    fn push(&mut self, at: Instant, bytes: Bytes) {
        let last = self.under_way.back().map_or(at, |(last, _)| *last);
        self.under_way.push_back((at.max(last), bytes));
        self.wake();
    }

    fn wake(&mut self) {
        if let Some(reader) = self.reader.take() {
            reader.wake();
        }
    }
}

impl Wire {
    fn cut(&mut self) {
        self.is_cut = true;
        for direction in &mut self.directions {
            direction.wake();
        }
    }
}

/// One end of a stream.
pub(in crate::simulation) struct Stream {
    network: Network,
    wire: Arc<Mutex<Wire>>,
    side: usize,
    sleep: Option<Pin<Box<Sleep>>>,
}

#[expect(
    clippy::disallowed_methods,
    reason = "the clock of the simulated runtime"
)]
fn now() -> Instant {
    Instant::now()
}

impl Stream {
    fn end(&self) {
        let (delay, _) = self.network.write();
        let mut wire = self.wire.lock().unwrap();
        let is_silent = wire.is_silent;
        let own = &mut wire.directions[self.side];
        if !std::mem::replace(&mut own.is_ended, true) && !is_silent {
            own.push(now() + delay, Bytes::new());
        }
    }
}

impl AsyncRead for Stream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let Stream {
            wire, side, sleep, ..
        } = &mut *self;
        let mut wire = wire.lock().unwrap();
        if wire.is_cut {
            return Poll::Ready(Err(io::ErrorKind::ConnectionReset.into()));
        }
        let direction = &mut wire.directions[1 - *side];
        direction.reader = Some(context.waker().clone());
        let Some((at, bytes)) = direction.under_way.front_mut() else {
            return Poll::Pending;
        };
        if *at > now() {
            let mut later = Box::pin(tokio::time::sleep_until(*at));
            let polled = later.as_mut().poll(context);
            *sleep = Some(later);
            if polled.is_pending() {
                return Poll::Pending;
            }
        }
        let length = bytes.len().min(buffer.remaining());
        buffer.put_slice(&bytes.split_to(length));
        // The end stays.
        if length > 0 && bytes.is_empty() {
            direction.under_way.pop_front();
        }
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Stream {
    fn poll_write(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let (delay, cut) = self.network.write();
        let mut wire = self.wire.lock().unwrap();
        if wire.is_cut {
            return Poll::Ready(Err(io::ErrorKind::BrokenPipe.into()));
        }
        if wire.is_silent {
            return Poll::Ready(Ok(bytes.len()));
        }
        let at = now() + delay;
        let own = &mut wire.directions[self.side];
        match cut {
            // The other side reads all, and then the end.
            Some(true) => {
                own.push(at, Bytes::copy_from_slice(bytes));
                own.push(at, Bytes::new());
                own.is_ended = true;
                let other = &mut wire.directions[1 - self.side];
                other.under_way.clear();
                other.push(at, Bytes::new());
            }
            Some(false) => wire.cut(),
            None => own.push(at, Bytes::copy_from_slice(bytes)),
        }
        Poll::Ready(Ok(bytes.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.end();
        Poll::Ready(Ok(()))
    }
}

impl Drop for Stream {
    fn drop(&mut self) {
        // Not if the runtime is gone, and with it the clock.
        if tokio::runtime::Handle::try_current().is_ok() {
            self.end();
        }
        self.wire.lock().unwrap().ends -= 1;
    }
}

/// Opens streams to the simulator.
pub(in crate::simulation) struct Dialer {
    pub(super) network: Network,
    pub(super) control: Control,
    /// The gateway's process has ended.
    pub(super) is_gone: Arc<AtomicBool>,
}

impl Dial for Dialer {
    type Stream = Stream;

    async fn dial(&self) -> Result<Stream, Box<dyn std::error::Error + Send + Sync>> {
        let (dialing, latency) = {
            let mut state = self.network.state();
            state.dialed += 1;
            (state.dialing, state.latency)
        };
        // SYN and its answer.
        tokio::time::sleep(2 * latency).await;
        if self.is_gone.load(Ordering::Relaxed) {
            std::future::pending::<()>().await;
        }
        match dialing {
            Dialing::Opens => {}
            Dialing::Refused => return Err("the connection is refused".into()),
            Dialing::Hangs => {
                tokio::time::sleep(CONNECT_TIMEOUT).await;
                return Err("it takes too long".into());
            }
        }
        let [own, other] = self.network.stream_pair();
        let control = self.control.clone();
        tokio::spawn(async move { control.serve_mqtt(other).await });
        Ok(own)
    }
}
