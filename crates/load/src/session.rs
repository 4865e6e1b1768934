//! One session of the run: it is established, does its work until the end, and is established again when it is lost.
//!
//! ```text
//!  connecting ──▶ first request ──▶ waiting for the others ──▶ working ──▶ closed, at the end
//!      ▲          (if it makes one)                               │
//!      └────────────────── a second later ◀── lost, or failed ◀───┘
//! ```

use super::args::Work;
use super::conversation::{Conversation, Outcome};
use super::dtls::{Connector, Resumable, Session};
use super::now;
use super::plan::Slot;
use super::tally::{self, ErrorKind, Tally};
use coap_client::Request;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};
use tokio::sync::{Semaphore, mpsc, watch};

/// The pause before a session is tried again, so that a server that refuses is not flooded.
const BETWEEN_ATTEMPTS: Duration = Duration::from_secs(1);

/// Where the run is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Phase {
    Connecting,
    Measuring(Instant),
    Ended,
}

pub(crate) type Phases = watch::Receiver<Phase>;

/// What all sessions share.
pub(crate) struct Shared {
    pub(crate) connector: Connector,
    pub(crate) request: Request,
    pub(crate) work: Work,
    /// Whether the handshakes of a loop resume the session.
    pub(crate) resumes: bool,
    /// Whether each session makes a request before the measurement.
    pub(crate) makes_first_request: bool,
    /// How many are wanted.
    pub(crate) sessions: u32,
    pub(crate) response_timeout: Duration,
    /// A permit for each handshake that may be in progress.
    pub(crate) handshakes: Semaphore,
    pub(crate) tally: Mutex<Tally>,
}

impl Shared {
    pub(super) fn count(&self, change: impl FnOnce(&mut Tally)) {
        change(&mut tally::lock(&self.tally));
    }
}

/// Waits for the run's end.
pub(super) async fn ended(phases: &mut Phases) {
    // A dropped sender is an end, too.
    let _ = phases.wait_for(|phase| *phase == Phase::Ended).await;
}

/// Runs one session until the end. It drops `tried` when its first attempt to connect is over.
pub(crate) async fn run(
    slot: Slot,
    shared: Arc<Shared>,
    mut phases: Phases,
    tried: mpsc::Sender<()>,
) {
    let mut tried = Some(tried);
    if shared.work == Work::Handshakes {
        return handshakes(&slot, &shared, &mut phases, tried.take()).await;
    }
    let (mut turn, mut end) = (0, phases.clone());
    loop {
        let attempt = tokio::select! {
            biased;
            () = ended(&mut end) => return,
            attempt = connect(&slot, &shared, &phases, None) => attempt,
        };
        if let Some(session) = attempt {
            let mut conversation = Conversation::new(session, Arc::clone(&shared), phases.clone());
            let (mut outcome, is_served) = match shared.makes_first_request {
                true => conversation.first_request().await,
                false => (Outcome::Done, true),
            };
            drop(tried.take());
            if outcome == Outcome::Done && is_served {
                shared.count(|tally| {
                    tally.established += 1;
                    if tally.established == shared.sessions {
                        tally.complete.get_or_insert_with(now);
                    }
                });
                outcome = conversation.work(&slot, &mut turn).await;
                shared.count(|tally| tally.established -= 1);
            }
            match outcome {
                Outcome::Ended => return conversation.close().await,
                Outcome::Lost => shared.count(|tally| tally.count_error(ErrorKind::Closed)),
                Outcome::Done => {}
            }
        }
        drop(tried.take());
        tokio::select! {
            () = ended(&mut end) => return,
            () = tokio::time::sleep(BETWEEN_ATTEMPTS) => {}
        }
    }
}

async fn connect(
    slot: &Slot,
    shared: &Shared,
    phases: &Phases,
    resumable: Option<Resumable>,
) -> Option<Session> {
    let _permit = shared.handshakes.acquire().await.ok()?;
    let began = now();
    let attempt = shared
        .connector
        .connect(slot.source, &slot.identity, resumable);
    let mut attempt = attempt.await;
    let took = now() - began;
    let measured = *phases.borrow() != Phase::Connecting;
    shared.count(|tally| match &mut attempt {
        // It is not what the loop measures.
        Ok(_) if shared.resumes && !measured => {}
        Ok(session) => {
            tally.handshakes.record(took);
            tally.handshakes_measured += u64::from(measured);
            tally.resumed += u64::from(session.is_resumed());
        }
        Err(failure) => tally.failure(failure),
    });
    attempt.ok()
}

/// Establishes and closes one session after the other. It drops `tried` when it has a session that the others resume.
async fn handshakes(
    slot: &Slot,
    shared: &Shared,
    phases: &mut Phases,
    tried: Option<mpsc::Sender<()>>,
) {
    let mut resumable = None;
    if shared.resumes
        && let Some(mut session) = connect(slot, shared, phases, None).await
    {
        resumable = session.take_resumable();
        session.close().await;
    }
    drop(tried);
    let Some(start) = started(phases).await else {
        return;
    };
    for turn in 0.. {
        let one = async {
            if slot.pace.due(start, turn).is_some() {
                slot.turns.take().await;
            }
            match connect(slot, shared, phases, resumable.clone()).await {
                Some(mut session) => {
                    if shared.resumes {
                        resumable = session.take_resumable();
                    }
                    session.close().await;
                }
                None => tokio::time::sleep(BETWEEN_ATTEMPTS).await,
            }
        };
        let mut end = phases.clone();
        tokio::select! {
            biased;
            () = ended(&mut end) => return,
            () = one => {}
        }
    }
}

/// When the measurement began; `None` if the run ends without one.
pub(super) async fn started(phases: &mut Phases) -> Option<Instant> {
    let phase = phases.wait_for(|phase| *phase != Phase::Connecting).await;
    match *phase.ok()? {
        Phase::Measuring(start) => Some(start),
        Phase::Connecting | Phase::Ended => None,
    }
}
