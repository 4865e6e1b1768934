mod connect;
mod downlink;
mod limits;
mod packages;
mod payloads;
mod provision;

use super::*;
use crate::control::Control;
use crate::state::Shared;

pub(super) const TOKEN: &str = "A1_TEST_TOKEN";

/// A client of a session, which shows what it gets as text: `PUBACK 7 00`, `PUBLISH v2/a/j {"a":1}`, `DISCONNECT 83`,
/// and `close` at the end.
pub(super) struct Client {
    shared: Arc<Shared>,
    session: Session,
    mailbox: mpsc::Receiver<Push>,
    level: Level,
    now_ms: u64,
}

impl Client {
    /// A client of a new simulator, with the device `meter`. Nothing is delayed.
    fn new(level: Level) -> Client {
        let shared = Arc::new(Shared::new());
        let control = Control(Arc::clone(&shared));
        control.add_device("meter", TOKEN).unwrap();
        control.set_mqtt_settings(crate::MqttSettings {
            connack_delay: std::time::Duration::ZERO,
            subscription_delay: std::time::Duration::ZERO,
            ..crate::MqttSettings::default()
        });
        Client::of(&shared, level, 1_000_000)
    }

    /// A client of this simulator.
    fn of(shared: &Arc<Shared>, level: Level, now_ms: u64) -> Client {
        let (sender, mailbox) = mpsc::channel(100);
        let session = with_context(shared, now_ms, |cx| Session::new(cx, sender));
        Client {
            shared: Arc::clone(shared),
            session,
            mailbox,
            level,
            now_ms,
        }
    }

    /// A client whose CONNECT with the token was accepted.
    fn connected(level: Level) -> Client {
        let mut client = Client::new(level);
        assert_eq!(client.connect(Some(TOKEN), ""), ["CONNACK 00"]);
        client
    }

    /// Another client of the same simulator, connected.
    fn another(&self) -> Client {
        let mut client = Client::of(&self.shared, self.level, self.now_ms);
        assert_eq!(client.connect(Some(TOKEN), ""), ["CONNACK 00"]);
        client
    }

    fn control(&self) -> Control {
        Control(Arc::clone(&self.shared))
    }

    fn settings(&self, change: impl FnOnce(&mut crate::MqttSettings)) {
        let mut settings = self.control().mqtt_settings();
        change(&mut settings);
        self.control().set_mqtt_settings(settings);
    }

    fn connect(&mut self, user_name: Option<&str>, client_id: &str) -> Vec<String> {
        let packet = connect_packet(self.level, user_name, client_id, true);
        self.send(&packet)
    }

    fn publish(&mut self, topic: &str, payload: impl AsRef<[u8]>) -> Vec<String> {
        let packet = publish_packet(self.level, topic, payload.as_ref(), 1, 7);
        self.send(&packet)
    }

    fn subscribe(&mut self, filter: &str) -> Vec<String> {
        let packet = subscribe_packet(self.level, filter, 1);
        self.send(&packet)
    }

    fn pub_ack(&mut self, id: u16) -> Vec<String> {
        let [high, low] = id.to_be_bytes();
        self.send(&[0x40, 2, high, low])
    }

    fn send(&mut self, bytes: &[u8]) -> Vec<String> {
        let (session, now_ms) = (&mut self.session, self.now_ms);
        with_context(&self.shared, now_ms, |cx| session.receive(cx, bytes));
        self.received()
    }

    fn wait(&mut self, ms: u64) -> Vec<String> {
        self.now_ms += ms;
        let (session, now_ms) = (&mut self.session, self.now_ms);
        with_context(&self.shared, now_ms, |cx| session.handle_timeout(cx));
        self.received()
    }

    /// What the session has sent since the last call.
    fn received(&mut self) -> Vec<String> {
        while let Ok(push) = self.mailbox.try_recv() {
            let (session, now_ms) = (&mut self.session, self.now_ms);
            with_context(&self.shared, now_ms, |cx| session.handle_push(cx, push));
        }
        let output = self.session.output().split().to_vec();
        let mut shown = shown(self.level, &output);
        if self.session.is_closed() {
            shown.push("close".to_owned());
        }
        shown
    }

    /// What the list of arrivals has: the topics with the codes.
    fn arrivals(&self) -> Vec<(String, Option<u16>)> {
        let arrivals = self.control().arrivals().into_iter();
        arrivals
            .map(|arrival| (arrival.path, arrival.status))
            .collect()
    }
}

fn with_context<T>(shared: &Shared, now_ms: u64, work: impl FnOnce(&mut Context<'_>) -> T) -> T {
    let mut state = shared.lock();
    work(&mut Context {
        clock: shared.clock,
        state: &mut state,
        now_ms,
        epoch_ms: 1_700_000_000_000 + now_ms,
    })
}

pub(super) fn packet(first: u8, body: &[u8]) -> Vec<u8> {
    let mut packet = vec![first];
    let mut length = body.len();
    loop {
        let byte = u8::try_from(length & 0x7f).unwrap();
        length >>= 7;
        if length == 0 {
            packet.push(byte);
            break;
        }
        packet.push(byte | 0x80);
    }
    packet.extend_from_slice(body);
    packet
}

fn text(text: &str) -> Vec<u8> {
    let length = u16::try_from(text.len()).unwrap().to_be_bytes();
    [&length[..], text.as_bytes()].concat()
}

/// The empty properties of MQTT 5.
fn properties(level: Level) -> &'static [u8] {
    match level {
        Level::V311 => &[],
        Level::V5 => &[0],
    }
}

fn connect_packet(level: Level, user: Option<&str>, client_id: &str, clean: bool) -> Vec<u8> {
    let version = if level == Level::V5 { 5 } else { 4 };
    let flags = if user.is_some() { 0x80 } else { 0 } | if clean { 2 } else { 0 };
    let user = user.map(text).unwrap_or_default();
    let head = [text("MQTT"), vec![version, flags, 0, 60]].concat();
    packet(
        0x10,
        &[&head[..], properties(level), &text(client_id), &user].concat(),
    )
}

fn publish_packet(level: Level, topic: &str, payload: &[u8], qos: u8, id: u16) -> Vec<u8> {
    let id = if qos > 0 {
        id.to_be_bytes().to_vec()
    } else {
        Vec::new()
    };
    let body = [&text(topic)[..], &id, properties(level), payload].concat();
    packet(0x30 | qos << 1, &body)
}

fn subscribe_packet(level: Level, filter: &str, qos: u8) -> Vec<u8> {
    let body = [&[0, 9][..], properties(level), &text(filter), &[qos]].concat();
    packet(0x82, &body)
}

/// Reads the packets of a server.
fn shown(level: Level, mut bytes: &[u8]) -> Vec<String> {
    let mut shown = Vec::new();
    while let [first, rest @ ..] = bytes {
        let mut length = 0;
        let mut at = 0;
        loop {
            length |= usize::from(rest[at] & 0x7f) << (7 * at);
            at += 1;
            if rest[at - 1] & 0x80 == 0 {
                break;
            }
        }
        let body = &rest[at..at + length];
        bytes = &rest[at + length..];
        let id = || u16::from_be_bytes([body[0], body[1]]);
        let hex = |bytes: &[u8]| {
            let codes: Vec<String> = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
            codes.join(" ")
        };
        let skipped = properties(level).len();
        shown.push(match first >> 4 {
            2 if body[0] == 1 => format!("CONNACK {:02x} present", body[1]),
            2 => format!("CONNACK {:02x}", body[1]),
            3 => {
                let end = 2 + usize::from(id());
                let topic = std::str::from_utf8(&body[2..end]).unwrap();
                let qos = first >> 1 & 3;
                let (id, start) = match qos {
                    0 => (String::new(), end),
                    _ => {
                        let id = u16::from_be_bytes([body[end], body[end + 1]]);
                        (format!("#{id} "), end + 2)
                    }
                };
                let payload = String::from_utf8_lossy(&body[start + skipped..]);
                format!("PUBLISH {id}{topic} {payload}")
            }
            4 => format!("PUBACK {} {:02x}", id(), body.get(2).unwrap_or(&0)),
            9 => format!("SUBACK {}", hex(&body[2 + skipped..])),
            11 => format!(
                "UNSUBACK {}",
                hex(body.get(2 + skipped..).unwrap_or_default())
            ),
            13 => "PINGRESP".to_owned(),
            14 => format!("DISCONNECT {:02x}", body[0]),
            other => panic!("packet type {other}"),
        });
    }
    shown
}
