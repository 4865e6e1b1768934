//! The device's requests.

use coap::Code;
use coap_client::{Endpoint, Request};
use std::time::Instant;

/// One of the two resources that the device observes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Observed {
    Attributes,
    Commands,
}

/// A request by its purpose.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Purpose {
    /// Telemetry, with its body.
    Telemetry(String),
    Observe(Observed),
    /// The reply to a command, with its body.
    Reply(String),
}

impl Purpose {
    /// The request for people.
    pub(super) fn describe(&self) -> String {
        match self {
            Purpose::Telemetry(body) => format!("POST api/v1/telemetry {body}"),
            Purpose::Reply(body) => format!("POST api/v1/rpc/… {body}"),
            Purpose::Observe(Observed::Attributes) => "GET api/v1/attributes, Observe".to_owned(),
            Purpose::Observe(Observed::Commands) => "GET api/v1/rpc, Observe".to_owned(),
        }
    }
}

/// Posts telemetry in place of any that is still queued: only the newest is worth sending.
pub(super) fn post_telemetry(endpoint: &mut Endpoint<Purpose>, now: Instant, body: String) {
    endpoint.retain_queued(|purpose| !matches!(purpose, Purpose::Telemetry(_)));
    let request = Request::new(Code::POST)
        .path("api/v1/telemetry")
        .json(body.clone());
    endpoint.request(now, Purpose::Telemetry(body), &request);
}

/// Replies to a command.
pub(super) fn reply(endpoint: &mut Endpoint<Purpose>, now: Instant, id: i64, body: String) {
    let request = Request::new(Code::POST)
        .path(&format!("api/v1/rpc/{id}"))
        .json(body.clone());
    endpoint.request(now, Purpose::Reply(body), &request);
}

/// Registers an observation.
pub(super) fn observe(endpoint: &mut Endpoint<Purpose>, now: Instant, observed: Observed) {
    let path = match observed {
        Observed::Attributes => "api/v1/attributes",
        Observed::Commands => "api/v1/rpc",
    };
    let request = Request::new(Code::GET).path(path).observe();
    endpoint.request(now, Purpose::Observe(observed), &request);
}

#[cfg(test)]
mod tests {
    use super::*;
    use coap::{Message, Type};
    use coap_client::Parameters;

    #[test]
    fn of_queued_telemetry_only_the_newest_is_sent() {
        #[expect(clippy::disallowed_methods, reason = "a test begins at some time")]
        let now = Instant::now();
        let random = fastrand::Rng::with_seed(1);
        let mut endpoint = Endpoint::new(Parameters::default(), random);
        observe(&mut endpoint, now, Observed::Commands);
        post_telemetry(&mut endpoint, now, "1".to_owned());
        post_telemetry(&mut endpoint, now, "2".to_owned());
        let registration = endpoint.poll_transmit().unwrap();
        assert_eq!(endpoint.poll_transmit(), None);
        let registration = Message::decode(&registration).unwrap();
        let response = Message {
            kind: Type::Acknowledgement,
            code: Code::CONTENT,
            ..registration
        };
        endpoint
            .receive(now, &response.encode(1152).unwrap())
            .unwrap();
        let telemetry = endpoint.poll_transmit().unwrap();
        let telemetry = Message::decode(&telemetry).unwrap();
        assert_eq!(&telemetry.payload[..], b"2");
        assert_eq!(endpoint.poll_transmit(), None);
    }
}
