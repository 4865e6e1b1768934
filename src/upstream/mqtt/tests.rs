//! The whole of it over loopback, against a small server that behaves as ThingsBoard was seen to.

mod broker;
mod calls;
mod counts;
mod downlink;
mod fleet;
mod posts;
mod simulator;

use super::super::TlsFiles;
use super::super::http::tls::Tls;
use super::*;
use crate::device::AccessToken;
use crate::upstream::Rejection;
use broker::Broker;

pub(super) type Message = (Box<str>, Notice);

pub(super) struct Gateway {
    pub(super) upstream: Arc<Mqtt<Message>>,
    pub(super) notices: mpsc::Receiver<Message>,
}

pub(super) fn settings(broker: &Broker) -> Settings {
    Settings {
        host: "127.0.0.1".to_owned(),
        port: broker.port,
        is_tls: false,
        tls: Tls::new(&TlsFiles::default(), false).unwrap(),
        timeout: Duration::from_secs(4),
        max_in_flight: 1024,
        max_downlink: 1024,
        max_packages: 8,
        max_connections: 10_000,
        connects_per_second: 2000,
        alive_for: Duration::from_secs(60),
    }
}

pub(super) fn gateway(settings: &Settings) -> Gateway {
    let (sender, notices) = mpsc::channel(64);
    let convert: Convert<Message> = |device, notice| (device.name.as_ref().into(), notice);
    let upstream = Arc::new(Mqtt::new(settings, sender, convert).unwrap());
    Gateway { upstream, notices }
}

pub(super) fn device(number: usize) -> Arc<Device> {
    Arc::new(Device {
        name: format!("meter-{number}").as_str().into(),
        token: AccessToken::new(format!("TOKEN-{number}")).unwrap(),
    })
}

impl Gateway {
    pub(super) async fn send(
        &self,
        device: &Arc<Device>,
        operation: Operation,
    ) -> Result<Bytes, Error> {
        let device = device.clone();
        let answer = self.upstream.send(Request::Device { device, operation });
        answer.await.map(|answer| answer.body)
    }

    pub(super) async fn post(&self, device: &Arc<Device>) -> Result<Bytes, Error> {
        self.send(device, Operation::PostTelemetry("{a:1}".into()))
            .await
    }

    pub(super) fn subscribe(&self, device: &Arc<Device>) {
        self.upstream.subscribe(device, BOTH, 1).unwrap();
    }

    pub(super) async fn subscribed(&mut self) {
        let notice = self.notice().await;
        assert!(is_subscribed(&notice), "{notice:?}");
    }

    pub(super) async fn interrupted(&mut self) {
        let notice = self.notice().await;
        assert!(matches!(notice, Notice::Interrupted { .. }), "{notice:?}");
    }

    pub(super) async fn notice(&mut self) -> Notice {
        self.named_notice().await.1
    }

    /// A notice, and the device that it is for.
    pub(super) async fn named_notice(&mut self) -> Message {
        let notice = tokio::time::timeout(Duration::from_secs(10), self.notices.recv());
        notice.await.expect("a notice").unwrap()
    }
}

pub(super) const NUMBERS: Numbers = Numbers {
    attributes: Some(1),
    commands: Some(1),
};
pub(super) const BOTH: Kinds = Kinds {
    attributes: true,
    commands: true,
};

pub(super) fn rejected<T>(rejection: Rejection) -> Result<T, Error> {
    Err(Error::Rejected(rejection))
}

pub(super) fn is_subscribed(notice: &Notice) -> bool {
    matches!(
        notice,
        Notice::Subscribed {
            numbers: NUMBERS,
            ..
        }
    )
}
