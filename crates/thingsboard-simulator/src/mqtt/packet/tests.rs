use super::*;

const V311_CONNECT: &[u8] = b"\x10\x0e\0\x04MQTT\x04\x82\0\0\0\0\0\0";

fn decoded(bytes: &[u8], level: Level) -> Result<Option<Packet>, DecodeError> {
    decode(&mut BytesMut::from(bytes), &mut Some(level))
}

fn encoded(level: Level, reply: &Reply) -> Vec<u8> {
    let mut out = BytesMut::new();
    encode(level, reply, &mut out);
    out.to_vec()
}

#[test]
fn a_connect_sets_the_level() {
    let mut level = None;
    let packet = decode(&mut BytesMut::from(V311_CONNECT), &mut level);
    assert!(matches!(packet, Ok(Some(Packet::Connect(_)))), "{packet:?}");
    assert_eq!(level, Some(Level::V311));
    for (at, byte) in [(8, 3), (8, 6), (8, 99), (4, b'X')] {
        let mut other = V311_CONNECT.to_vec();
        other[at] = byte;
        let packet = decode(&mut BytesMut::from(&other[..]), &mut None);
        assert_eq!(packet, Err(DecodeError::Level));
    }
}

#[test]
fn a_packet_that_is_not_complete_waits() {
    let whole = b"\x32\x0a\0\x03v2t\0\x07\0{}";
    for length in 0..whole.len() {
        assert_eq!(decoded(&whole[..length], Level::V5), Ok(None), "{length}");
    }
    let publish = decoded(whole, Level::V5);
    let expected = Publish {
        topic: "v2t".to_owned(),
        payload: Bytes::from("{}"),
        qos: 1,
        id: 7,
    };
    assert_eq!(publish, Ok(Some(Packet::Publish(expected))));
}

#[test]
fn malformed_packets_are_refused() {
    for (bytes, what) in [
        (&b"\x30\x81\x80\x04"[..], "a remaining length of 65,537"),
        (
            b"\x30\xff\xff\xff\xff\x01",
            "a remaining length of five bytes",
        ),
        (b"\x32\x09\0\x03v2t\0\x00\0{", "packet id 0"),
        (b"\x32\x09\0\x03v/+\0\x07\0{", "a topic with a wildcard"),
        (b"\x36\x09\0\x03v2t\0\x07\0{", "QoS 3"),
        (b"\x40\x02\0\0", "a PUBACK with id 0"),
        (b"\x82\x03\0\x01\0", "a SUBSCRIBE without a filter"),
        (b"\xd0\0", "a PINGRESP"),
    ] {
        assert_eq!(
            decoded(bytes, Level::V5),
            Err(DecodeError::Malformed),
            "{what}"
        );
    }
    // 65,536 is allowed.
    assert_eq!(decoded(b"\x30\x80\x80\x04", Level::V5), Ok(None));
}

#[test]
fn packets_are_as_short_as_thingsboards() {
    let puback = |code| Reply::PubAck { id: 0x0102, code };
    let publish = |id| {
        Reply::Publish(Downlink {
            topic: "a".to_owned(),
            payload: Bytes::from("x"),
            qos: 1,
            id,
        })
    };
    for (level, reply, bytes) in [
        (Level::V5, puback(0), &b"\x40\x02\x01\x02"[..]),
        (Level::V311, puback(0x90), b"\x40\x02\x01\x02"),
        (Level::V5, Reply::Disconnect(0x86), b"\xe0\x02\x86\0"),
        (Level::V311, Reply::Disconnect(0x8e), b""),
        (Level::V5, publish(3), b"\x32\x07\0\x01a\0\x03\0x"),
        (Level::V5, publish(0), b"\x32\x07\0\x01a\0\x00\0x"),
        (Level::V311, publish(0), b"\x32\x06\0\x01a\0\x00x"),
    ] {
        assert_eq!(encoded(level, &reply), bytes, "{level:?} {reply:?}");
    }
    let rejected = encoded(Level::V5, &puback(0x99));
    assert_eq!(&rejected[2..5], b"\x01\x02\x99");
}

/// Any bytes are a packet, or are refused; the lengths inside of packets are the ones that matter.
#[test]
fn mutated_packets_do_not_panic() {
    let seeds: [&[u8]; 7] = [
        V311_CONNECT,
        b"\x10\x1d\0\x04MQTT\x05\xc6\0\x3c\x05\x11\0\0\0\x0a\0\x01c\0\0\0\0\x01u\0\x01p",
        b"\x32\x0e\0\x03v2t\0\x07\x03\x23\0\x01{}x",
        b"\x82\x0d\0\x01\0\0\x07v2/r/+j\x01",
        b"\xa2\x0a\0\x01\0\0\x05v2/a/",
        b"\x40\x04\0\x01\x10\0",
        b"\xe0\x02\0\0",
    ];
    let mut random = fastrand::Rng::with_seed(17);
    for _ in 0..20_000 {
        let mut bytes = Vec::new();
        for _ in 0..random.usize(1..4) {
            bytes.extend_from_slice(seeds[random.usize(..seeds.len())]);
        }
        for _ in 0..random.usize(..4) {
            let at = random.usize(..bytes.len());
            match random.u8(..3) {
                0 => bytes[at] = random.u8(..),
                1 => bytes.truncate(at + 1),
                _ => bytes.insert(at, random.u8(..)),
            }
        }
        let mut bytes = BytesMut::from(&bytes[..]);
        let mut level = [None, Some(Level::V311), Some(Level::V5)][random.usize(..3)];
        while let Ok(Some(_)) = decode(&mut bytes, &mut level) {}
    }
}
