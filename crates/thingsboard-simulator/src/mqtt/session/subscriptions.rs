//! SUBSCRIBE and UNSUBSCRIBE.

use super::{Context, MAX_ENTRIES, Phase, Session, code};
use crate::downlink::PollKind;
use crate::mqtt::packet::Reply;
use crate::mqtt::topic::{self, Filter, Form};

impl Session {
    /// Grants the filters that ThingsBoard has. A subscription over the limit on messages is granted and dead.
    pub(super) fn handle_subscribe(
        &mut self,
        cx: &mut Context<'_>,
        id: u16,
        filters: Vec<(String, u8)>,
    ) {
        let Phase::Device(device) = &mut self.phase else {
            return;
        };
        let mut codes = Vec::with_capacity(filters.len());
        for (filter, qos) in filters {
            let subscription = topic::filter(&filter);
            if subscription == Filter::Unsupported || self.granted.len() >= MAX_ENTRIES {
                codes.push(code::FILTER);
                continue;
            }
            let subscribed = match subscription {
                Filter::Attributes(form) => {
                    device.attributes = Some(form);
                    Some((PollKind::Attributes, form))
                }
                Filter::Rpc(form) => {
                    device.rpc = Some(form);
                    Some((PollKind::Rpc, form))
                }
                Filter::Answers | Filter::Unsupported => None,
            };
            if let Some((kind, form)) = subscribed
                && cx.state.mqtt.take_message(&device.name, cx.now_ms)
                && !cx.state.mqtt.is_dead_subscription()
                && form != Form::Protobuf
            {
                let (push, now_ms) = (device.push, cx.now_ms);
                cx.state
                    .long_polls
                    .apply(|downlink| downlink.subscribe_push(push, kind, now_ms));
            }
            cx.state.mqtt.counts_mut(&device.name).subscribes += 1;
            let qos = qos.min(1);
            codes.push(qos);
            self.granted.insert(filter, qos);
        }
        cx.state
            .directory
            .record_activity(&device.name, cx.epoch_ms);
        self.send(Reply::SubAck { id, codes });
    }

    pub(super) fn handle_unsubscribe(&mut self, cx: &mut Context<'_>, id: u16, filters: &[String]) {
        let Phase::Device(device) = &mut self.phase else {
            return;
        };
        let mut codes = Vec::with_capacity(filters.len());
        for filter in filters {
            if self.granted.remove(filter).is_none() {
                codes.push(code::NO_SUBSCRIPTION);
                continue;
            }
            codes.push(code::SUCCESS);
            let kind = match topic::filter(filter) {
                Filter::Attributes(_) => PollKind::Attributes,
                Filter::Rpc(_) => PollKind::Rpc,
                Filter::Answers | Filter::Unsupported => continue,
            };
            let push = device.push;
            cx.state
                .long_polls
                .apply(|downlink| downlink.unsubscribe_push(push, kind));
        }
        cx.state
            .directory
            .record_activity(&device.name, cx.epoch_ms);
        self.send(Reply::UnsubAck { id, codes });
    }

    /// The QoS of a PUBLISH to a topic: that of the subscription, or 1 without one.
    pub(super) fn granted_qos(&self, topic: &str) -> u8 {
        let mut filters = self.granted.iter();
        let found = filters.find(|(filter, _)| topic::matches(filter, topic));
        found.map_or(1, |(_, qos)| *qos)
    }
}
