//! The packets that a session sends.

use super::Level;
use bytes::{Bytes, BytesMut};
use mqtt_protocol_core::mqtt::packet::{Qos, v3_1_1, v5_0};
use mqtt_protocol_core::mqtt::result_code::{
    ConnectReasonCode, ConnectReturnCode, MqttError, PubackReasonCode, SubackReasonCode,
    SubackReturnCode, UnsubackReasonCode,
};

/// A packet to a client. The codes are MQTT 5's; those of CONNACK and SUBACK in 3.1.1 are its own.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::mqtt) enum Reply {
    ConnAck {
        session_present: bool,
        code: u8,
    },
    PubAck {
        id: u16,
        code: u8,
    },
    SubAck {
        id: u16,
        codes: Vec<u8>,
    },
    UnsubAck {
        id: u16,
        codes: Vec<u8>,
    },
    Publish(Downlink),
    PingResp,
    /// Not sent in 3.1.1: there the connection is closed without a word.
    Disconnect(u8),
}

/// A PUBLISH to a client. A packet id of 0 at QoS 1 is sent as well, as ThingsBoard does.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::mqtt) struct Downlink {
    pub(in crate::mqtt) topic: String,
    pub(in crate::mqtt) payload: Bytes,
    /// 0 or 1.
    pub(in crate::mqtt) qos: u8,
    pub(in crate::mqtt) id: u16,
}

/// Appends the bytes of a packet. One that cannot be built is logged and left out.
pub(in crate::mqtt) fn encode(level: Level, reply: &Reply, out: &mut BytesMut) {
    let built = match (reply, level) {
        (Reply::Publish(publish), _) => encode_publish(level, publish),
        (_, Level::V311) => encode_v311(reply),
        (_, Level::V5) => encode_v5(reply),
    };
    match built {
        Ok(bytes) => out.extend_from_slice(&bytes),
        Err(error) => tracing::warn!(%error, "cannot build an MQTT packet, it is not sent"),
    }
}

fn encode_v5(reply: &Reply) -> Result<Vec<u8>, MqttError> {
    Ok(match reply {
        Reply::ConnAck {
            session_present,
            code,
        } => v5_0::Connack::builder()
            .session_present(*session_present)
            .reason_code(known(ConnectReasonCode::try_from(*code).ok())?)
            .build()?
            .to_continuous_buffer(),
        // As short as ThingsBoard writes it.
        Reply::PubAck { id, code: 0 } => v5_0::Puback::builder()
            .packet_id(*id)
            .build()?
            .to_continuous_buffer(),
        Reply::PubAck { id, code } => v5_0::Puback::builder()
            .packet_id(*id)
            .reason_code(known(PubackReasonCode::try_from(*code).ok())?)
            .build()?
            .to_continuous_buffer(),
        Reply::SubAck { id, codes } => {
            let codes = codes
                .iter()
                .map(|code| SubackReasonCode::try_from(*code).ok());
            let codes: Option<Vec<SubackReasonCode>> = codes.collect();
            let suback = v5_0::Suback::builder().packet_id(*id);
            suback
                .reason_codes(known(codes)?)
                .build()?
                .to_continuous_buffer()
        }
        Reply::UnsubAck { id, codes } => {
            let codes = codes
                .iter()
                .map(|code| UnsubackReasonCode::try_from(*code).ok());
            let codes: Option<Vec<UnsubackReasonCode>> = codes.collect();
            let unsuback = v5_0::Unsuback::builder().packet_id(*id);
            unsuback
                .reason_codes(known(codes)?)
                .build()?
                .to_continuous_buffer()
        }
        Reply::PingResp => vec![0xd0, 0],
        // Not by the library: it refuses 0x85 and 0x86, which ThingsBoard sends.
        Reply::Disconnect(code) => vec![0xe0, 2, *code, 0],
        Reply::Publish(_) => Vec::new(),
    })
}

fn encode_v311(reply: &Reply) -> Result<Vec<u8>, MqttError> {
    Ok(match reply {
        Reply::ConnAck {
            session_present,
            code,
        } => v3_1_1::Connack::builder()
            .session_present(*session_present)
            .return_code(known(ConnectReturnCode::try_from(*code).ok())?)
            .build()?
            .to_continuous_buffer(),
        Reply::PubAck { id, .. } => v3_1_1::Puback::builder()
            .packet_id(*id)
            .build()?
            .to_continuous_buffer(),
        Reply::SubAck { id, codes } => {
            let code = |code: &u8| match code {
                0 => SubackReturnCode::SuccessMaximumQos0,
                1 => SubackReturnCode::SuccessMaximumQos1,
                _ => SubackReturnCode::Failure,
            };
            let codes = codes.iter().map(code).collect();
            let suback = v3_1_1::Suback::builder().packet_id(*id);
            suback.return_codes(codes).build()?.to_continuous_buffer()
        }
        Reply::UnsubAck { id, .. } => v3_1_1::Unsuback::builder()
            .packet_id(*id)
            .build()?
            .to_continuous_buffer(),
        Reply::PingResp => vec![0xd0, 0],
        Reply::Disconnect(_) | Reply::Publish(_) => Vec::new(),
    })
}

fn encode_publish(level: Level, publish: &Downlink) -> Result<Vec<u8>, MqttError> {
    let Downlink {
        topic,
        payload,
        qos,
        id,
    } = publish;
    let qos = if *qos == 0 {
        Qos::AtMostOnce
    } else {
        Qos::AtLeastOnce
    };
    // The library refuses id 0: it is written over another one.
    let built_id = (qos == Qos::AtLeastOnce).then_some((*id).max(1));
    let mut bytes = match level {
        Level::V311 => {
            let publish = v3_1_1::Publish::builder()
                .topic_name(topic.as_str())?
                .qos(qos);
            let publish = publish.packet_id(built_id).payload(payload.to_vec());
            publish.build()?.to_continuous_buffer()
        }
        Level::V5 => {
            let publish = v5_0::Publish::builder()
                .topic_name(topic.as_str())?
                .qos(qos);
            let publish = publish.packet_id(built_id).payload(payload.to_vec());
            publish.build()?.to_continuous_buffer()
        }
    };
    if built_id.is_some() && *id == 0 {
        let length = bytes.iter().skip(1).take_while(|byte| **byte & 0x80 != 0);
        let at = 1 + length.count() + 1 + 2 + topic.len();
        if let Some(id) = bytes.get_mut(at..at + 2) {
            id.fill(0);
        }
    }
    Ok(bytes)
}

fn known<T>(code: Option<T>) -> Result<T, MqttError> {
    code.ok_or(MqttError::ValueOutOfRange)
}
