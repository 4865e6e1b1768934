//! A ThingsBoard server, reached over the device API that the scheme of `upstream.url` chooses.

use super::mqtt::Convert;
use super::{
    Acknowledgement, Answer, Error, Kinds, Mqtt, Place, Request, Settings, SettingsError,
    ThingsBoard, Upstream,
};
use crate::device::Device;
use std::sync::Arc;
use std::time::Instant;
use tokio::sync::mpsc;

/// One of the two device APIs.
pub(crate) enum Server<T> {
    Http(Box<ThingsBoard>),
    Mqtt(Mqtt<T>),
}

impl<T: Send + 'static> Server<T> {
    /// Checks the settings. Opens no connection: ThingsBoard may be down when the gateway starts. What MQTT pushes goes to
    /// `pushed`, in the form that `convert` gives it in the connection's task.
    pub(crate) fn new(
        settings: Settings,
        pushed: mpsc::Sender<T>,
        convert: Convert<T>,
    ) -> Result<Server<T>, SettingsError> {
        Ok(match settings.url.is_mqtt() {
            true => Server::Mqtt(Mqtt::new(&settings.mqtt(), pushed, convert)?),
            false => Server::Http(Box::new(ThingsBoard::new(settings)?)),
        })
    }

    /// Whether ThingsBoard can be reached. For a check, not for each request.
    pub(crate) async fn is_reachable(&self) -> Result<(), Error> {
        match self {
            Server::Http(http) => http.is_reachable().await,
            Server::Mqtt(mqtt) => mqtt.is_reachable().await,
        }
    }
}

impl<T: Send + 'static> Upstream for Server<T> {
    async fn send(&self, request: Request) -> Result<Answer, Error> {
        match self {
            Server::Http(http) => http.send(request).await,
            Server::Mqtt(mqtt) => mqtt.send(request).await,
        }
    }

    fn place(&self, request: &Request) -> Place {
        match self {
            Server::Http(_) => Place::default(),
            Server::Mqtt(mqtt) => mqtt.place(request),
        }
    }

    async fn send_from(&self, place: Place, request: Request) -> Result<Answer, Error> {
        match self {
            Server::Http(http) => http.send(request).await,
            Server::Mqtt(mqtt) => mqtt.send_from(place, request).await,
        }
    }

    fn subscribe(&self, device: &Arc<Device>, kinds: Kinds, number: u64) -> Result<(), Error> {
        match self {
            // What is pushed over HTTP comes by polls, which are requests.
            Server::Http(_) => Ok(()),
            Server::Mqtt(mqtt) => mqtt.subscribe(device, kinds, number),
        }
    }

    fn unsubscribe(&self, device: &Arc<Device>, kinds: Kinds) {
        match self {
            Server::Http(_) => {}
            Server::Mqtt(mqtt) => mqtt.unsubscribe(device, kinds),
        }
    }

    fn acknowledge(&self, acknowledgement: Acknowledgement) {
        match self {
            Server::Http(_) => {}
            Server::Mqtt(mqtt) => mqtt.acknowledge(acknowledgement),
        }
    }

    fn connections(&self) -> (usize, usize) {
        match self {
            Server::Http(_) => (0, 0),
            Server::Mqtt(mqtt) => mqtt.connection_counts(),
        }
    }

    fn close(&self, device: &Arc<Device>) {
        match self {
            Server::Http(_) => {}
            Server::Mqtt(mqtt) => mqtt.close(device),
        }
    }

    fn alive_until(&self, device: &Arc<Device>, until: Instant) {
        match self {
            Server::Http(_) => {}
            Server::Mqtt(mqtt) => mqtt.alive_until(device, until),
        }
    }
}
