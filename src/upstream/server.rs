//! A ThingsBoard server, reached over the device API that the scheme of `upstream.url` chooses.
//!
//! Beside MQTT there may be `upstream.http_url`. What does not fit a packet of MQTT is sent there, under the same access token:
//! posts of telemetry and attributes, replies to commands, client-side RPC, claims and provisioning above 64 KiB. Nothing else
//! is, and never a poll. Packages go in parts, and what ThingsBoard sends has no such limit. (Of RPC ThingsBoard's HTTP takes
//! 64 KiB by default, hardly more than its MQTT.)

use super::http::tls::Tls;
use super::mqtt::{self, Convert};
use super::{
    Acknowledgement, Answer, ConnectionStatus, Error, Kinds, Mqtt, MqttCounters, Operation, Report,
    Request, Settings, SettingsError, ThingsBoard, TlsFiles, Upstream,
};
use crate::device::Device;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::mpsc;

pub(crate) struct Server<T> {
    api: Api<T>,
    tls: Tls,
}

/// One of the two device APIs.
enum Api<T> {
    Http(Box<ThingsBoard>),
    Mqtt {
        mqtt: Mqtt<T>,
        /// For what does not fit MQTT.
        http: Option<Box<ThingsBoard>>,
    },
}

impl<T: Send + 'static> Server<T> {
    /// Checks the settings. Opens no connection: ThingsBoard may be down when the gateway starts. What MQTT pushes goes to
    /// `pushed`, in the form that `convert` gives it in the connection's task.
    pub(crate) fn new(
        settings: &Settings,
        pushed: mpsc::Sender<T>,
        convert: Convert<T>,
    ) -> Result<Server<T>, SettingsError> {
        settings.check()?;
        let tls = Tls::new(&settings.tls, settings.is_tls())?;
        let over_http = |settings: &Settings| ThingsBoard::with_tls(settings, &tls).map(Box::new);
        let api = match settings.url.is_mqtt() {
            false => Api::Http(over_http(settings)?),
            true => Api::Mqtt {
                http: settings.http().as_ref().map(over_http).transpose()?,
                mqtt: Mqtt::new(&settings.mqtt(&tls), pushed, convert)?,
            },
        };
        Ok(Server { api, tls })
    }

    /// Whether messages come by subscriptions, not by polls.
    pub(crate) fn is_mqtt(&self) -> bool {
        matches!(self.api, Api::Mqtt { .. })
    }

    /// Uses other files for connections that are opened from now on.
    pub(crate) fn replace_tls(&self, files: &TlsFiles) -> Result<(), SettingsError> {
        self.tls.replace(files)
    }

    /// Whether ThingsBoard can be reached: over MQTT, if it is used. For a check, not for each request.
    pub(crate) async fn is_reachable(&self) -> Result<(), Error> {
        match &self.api {
            Api::Http(http) => http.is_reachable().await,
            Api::Mqtt { mqtt, .. } => mqtt.is_reachable().await,
        }
    }

    fn mqtt(&self) -> Option<&Mqtt<T>> {
        match &self.api {
            Api::Http(_) => None,
            Api::Mqtt { mqtt, .. } => Some(mqtt),
        }
    }
}

impl<T: Send + 'static> Upstream for Server<T> {
    async fn send(&self, request: Request) -> Result<Answer, Error> {
        match &self.api {
            Api::Http(http) => http.send(request).await,
            Api::Mqtt {
                http: Some(http), ..
            } if mqtt::is_too_large(&request) => http.send(request).await,
            Api::Mqtt { mqtt, .. } => mqtt.send(request).await,
        }
    }

    fn try_post(
        &self,
        request: Request,
        accept: impl FnOnce(&Operation) -> Option<Report>,
    ) -> Result<(), Request> {
        match self.mqtt() {
            Some(mqtt) => mqtt.try_post(request, accept),
            None => Err(request),
        }
    }

    fn subscribe(&self, device: &Arc<Device>, kinds: Kinds, number: u64) -> Result<(), Error> {
        match self.mqtt() {
            Some(mqtt) => mqtt.subscribe(device, kinds, number),
            // What is pushed over HTTP comes by polls, which are requests.
            None => Ok(()),
        }
    }

    fn unsubscribe(&self, device: &Arc<Device>, kinds: Kinds) {
        if let Some(mqtt) = self.mqtt() {
            mqtt.unsubscribe(device, kinds);
        }
    }

    fn acknowledge(&self, acknowledgement: Acknowledgement) {
        if let Some(mqtt) = self.mqtt() {
            mqtt.acknowledge(acknowledgement);
        }
    }

    fn counters(&self) -> Option<MqttCounters> {
        self.mqtt().map(Mqtt::counters)
    }

    fn connection_status(&self, device: &Arc<Device>) -> Option<ConnectionStatus> {
        self.mqtt().and_then(|mqtt| mqtt.status(device))
    }

    fn close(&self, device: &Arc<Device>) {
        if let Some(mqtt) = self.mqtt() {
            mqtt.close(device);
        }
    }

    fn alive_until(&self, device: &Arc<Device>, until: Instant) {
        if let Some(mqtt) = self.mqtt() {
            mqtt.alive_until(device, until);
        }
    }

    async fn close_all(&self, at_most: Duration) {
        if let Some(mqtt) = self.mqtt() {
            mqtt.close_all(at_most).await;
        }
    }
}
