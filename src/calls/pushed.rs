//! What a device's MQTT connection receives of ThingsBoard's own accord, parsed in the connection's task and not in the
//! loop. Where the task is in the loop's thread, large bodies are parsed in another.

use crate::device::Device;
use crate::downlink::attribute_json::Update;
use crate::downlink::{Acknowledgement, Command, ConnectionId, Kind, Message};
use crate::upstream::{self, Notice, Numbers};
use std::sync::Arc;

/// A message to a device, or a change of its connection.
#[derive(Debug)]
pub(crate) struct Pushed {
    pub(crate) device: Arc<Device>,
    pub(crate) event: PushedEvent,
}

#[derive(Debug)]
pub(crate) enum PushedEvent {
    /// The subscriptions of these numbers work now.
    Subscribed(Numbers, ConnectionId),
    /// The connection is closed; another will be opened.
    Interrupted(ConnectionId),
    Message(Kind, Message, Acknowledgement),
    /// Another client uses the device's access token, and has displaced the connection.
    Displaced,
    /// ThingsBoard has closed the connection over a rate limit, or for a failure that looks like one.
    RateLimited,
    /// ThingsBoard does not know the access token, or not any more.
    TokenRefused,
}

impl Pushed {
    /// Parses what a connection has received. To be called in its task.
    pub(crate) fn parse(device: &Arc<Device>, notice: Notice) -> Pushed {
        let event = match notice {
            Notice::Subscribed {
                numbers,
                connection,
            } => PushedEvent::Subscribed(numbers, ConnectionId(connection)),
            Notice::Interrupted { connection } => {
                PushedEvent::Interrupted(ConnectionId(connection))
            }
            Notice::Attributes {
                body,
                acknowledgement,
            } => PushedEvent::Message(
                Kind::Attributes,
                Message::Attributes(Update::read(&body)),
                of(acknowledgement),
            ),
            Notice::Command {
                body,
                acknowledgement,
                ..
            } => PushedEvent::Message(
                Kind::Commands,
                Message::Command(Command::read(body)),
                of(acknowledgement),
            ),
            Notice::Displaced => PushedEvent::Displaced,
            Notice::RateLimited => PushedEvent::RateLimited,
            Notice::TokenRefused => PushedEvent::TokenRefused,
        };
        let device = device.clone();
        Pushed { device, event }
    }
}

fn of(acknowledgement: upstream::Acknowledgement) -> Acknowledgement {
    Acknowledgement {
        connection: ConnectionId(acknowledgement.connection),
        packet: acknowledgement.packet,
    }
}
