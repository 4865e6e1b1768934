//! One device's relay under a clock of the test's own: events in, effects out.

mod attributes;
mod commands;
mod liveness;

use super::Mode;
use super::command_queue::Command;
use super::*;
use crate::device::AccessToken;
use crate::relay::shared_attributes::Update;
use crate::upstream::Status;
use coap::ObservationId;

const SECOND: Duration = Duration::from_secs(1);
const MS: Duration = Duration::from_millis(1);

/// What a notification carries on its way to the endpoint.
type Told = (u64, String);

struct World {
    now: Instant,
    settings: Settings,
    pace: Pace,
    relay: DeviceRelay,
    counters: Counters,
    /// When the device was heard last.
    heard: Instant,
    largest_payload: usize,
    room: usize,
    effects: Vec<Effect>,
}

const FIRST: Observation = Observation {
    session: SessionId(1),
    id: ObservationId(1),
};
const SECOND_ONE: Observation = Observation {
    session: SessionId(2),
    id: ObservationId(1),
};

impl World {
    fn new() -> World {
        World::with(Settings::default())
    }

    fn on_uplink() -> World {
        World::with(Settings {
            attributes: Mode::OnUplink,
            rpc: Mode::OnUplink,
            ..Settings::default()
        })
    }

    fn with(settings: Settings) -> World {
        #[expect(clippy::disallowed_methods, reason = "a test owns its clock")]
        let now = Instant::now();
        let device = Arc::new(Device {
            name: "meter".into(),
            token: AccessToken::new("TOKEN").unwrap(),
        });
        World {
            now,
            settings,
            pace: Pace::new(settings.poll_timeout),
            relay: DeviceRelay::new(device),
            counters: Counters::default(),
            heard: now,
            largest_payload: 1000,
            room: usize::MAX,
            effects: Vec::new(),
        }
    }

    /// Something happens; gives what the relay wants done.
    fn event(
        &mut self,
        event: impl FnOnce(&mut DeviceRelay, Instant, &mut Context<'_>),
    ) -> Vec<Effect> {
        let heard = self.heard;
        let mut context = Context {
            settings: &self.settings,
            largest_payload: self.largest_payload,
            room: self.room,
            pace: &mut self.pace,
            random: &mut || 0.5,
            heard: &|_| Some(heard),
            counters: &mut self.counters,
            effects: &mut self.effects,
        };
        event(&mut self.relay, self.now, &mut context);
        self.relay.advance(self.now, &mut context);
        std::mem::take(&mut self.effects)
    }

    fn register_attributes(&mut self, observation: Observation, state: &str) -> Vec<Effect> {
        let values =
            shared_attributes::read_answer(format!(r#"{{"shared":{state}}}"#).as_bytes()).unwrap();
        self.event(|relay, now, context| {
            let values = relay.believed(values);
            relay.attributes_registered(now, observation, values, context);
        })
    }

    fn register_commands(&mut self, observation: Observation) -> Vec<Effect> {
        self.event(|relay, now, context| relay.commands_registered(now, observation, context))
    }

    fn poll_brings(&mut self, kind: Kind, number: u64, body: &str) -> Vec<Effect> {
        let body = Bytes::copy_from_slice(body.as_bytes());
        let brought = match kind {
            Kind::Attributes => Brought::Update(Update::read(&body)),
            Kind::Commands => Brought::Command(Command::read(body)),
        };
        self.poll_ends(kind, number, Ok(brought))
    }

    fn poll_ends(
        &mut self,
        kind: Kind,
        number: u64,
        result: Result<Brought, Error>,
    ) -> Vec<Effect> {
        self.event(|relay, now, context| relay.poll_ended(now, kind, number, result, context))
    }

    fn read_brings(&mut self, number: u64, body: &str) -> Vec<Effect> {
        let read = shared_attributes::read_answer(body.as_bytes());
        self.event(|relay, now, context| relay.read_ended(now, number, Ok(read), context))
    }

    fn delivered(&mut self, observation: Observation, number: u64) -> Vec<Effect> {
        self.event(|relay, now, context| relay.delivered(now, observation, number, context))
    }

    /// Time passes to the relay's own next timeout, at most so far; what it wants done then.
    fn wait(&mut self, at_most: Duration) -> Vec<Effect> {
        let end = self.now + at_most;
        while let Some(at) = self
            .relay
            .next_timeout(&self.settings)
            .filter(|at| *at <= end)
        {
            self.now = self.now.max(at);
            let effects = self.event(|_, _, _| {});
            if !effects.is_empty() {
                return effects;
            }
        }
        self.now = end;
        Vec::new()
    }
}

fn polls(effects: &[Effect]) -> Vec<(Kind, u64)> {
    let polls = effects.iter().filter_map(|effect| match effect {
        Effect::Poll(kind, number, _) => Some((*kind, *number)),
        _ => None,
    });
    polls.collect()
}

fn poll(effects: &[Effect]) -> u64 {
    let [(_, number)] = polls(effects)[..] else {
        panic!("not one poll: {effects:?}");
    };
    number
}

fn reads(effects: &[Effect]) -> Vec<u64> {
    let reads = effects.iter().filter_map(|effect| match effect {
        Effect::Read(number) => Some(*number),
        _ => None,
    });
    reads.collect()
}

fn read(effects: &[Effect]) -> u64 {
    let [number] = reads(effects)[..] else {
        panic!("not one read: {effects:?}");
    };
    number
}

fn told(effects: &[Effect]) -> Vec<Told> {
    let told = effects.iter().filter_map(|effect| match effect {
        Effect::Notify {
            number, payload, ..
        } => Some((*number, String::from_utf8(payload.to_vec()).unwrap())),
        _ => None,
    });
    told.collect()
}

fn refusal(code: u16) -> Error {
    let has_text = false;
    Error::Rejected(Status { code, has_text })
}
