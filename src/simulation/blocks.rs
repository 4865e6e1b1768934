//! A device's block-wise client: one block after the other, each asked for until there is an answer.

use super::{PATIENCE, World};
use bytes::Bytes;
use coap::option::{encode_unsigned, number};
use coap::{Block, Code, Message};

/// How often a device that has given up asks anew.
const TRIES: usize = 20;

/// A block that came: its bytes, whether there are more, and whose they are.
#[derive(Debug)]
pub(super) struct Piece {
    pub(super) bytes: Bytes,
    pub(super) more: bool,
    pub(super) etag: Bytes,
}

impl World {
    /// Has a device ask, again and again if need be, and gives the response. A device that lost its session makes a
    /// new one.
    pub(super) fn request(
        &mut self,
        device: usize,
        code: Code,
        feature: &'static str,
        options: &[(u16, Bytes)],
        payload: &Bytes,
    ) -> Message {
        for _ in 0..TRIES {
            if !self.devices[device].is_on() {
                self.connect(device);
                self.run_until(PATIENCE, |world| world.devices[device].is_connected());
            }
            let (options, payload) = (options.to_vec(), payload.clone());
            let asked = self.devices[device].request(self.now, code, feature, options, payload);
            self.settle();
            self.run_until(PATIENCE * 2, |world| {
                world.devices[device].open_requests() == 0
            });
            if let Some(response) = self.devices[device].response(asked) {
                return response.clone();
            }
        }
        panic!("device {device} has asked for {feature} in vain");
    }

    /// Has a device ask for one block; the response must be one.
    pub(super) fn fetch(&mut self, device: usize, feature: &'static str, wanted: Block) -> Piece {
        let block2 = (number::BLOCK2, encode_unsigned(wanted.encode()));
        let response = self.request(device, Code::GET, feature, &[block2], &Bytes::new());
        assert_eq!(response.code, Code::CONTENT, "{response:?}");
        let value = |wanted| {
            let mut options = response.options.iter();
            let (_, value) = options.find(|(number, _)| *number == wanted).unwrap();
            value.clone()
        };
        let block = value(number::BLOCK2)
            .iter()
            .fold(0, |sum, byte| sum << 8 | u32::from(*byte));
        let block = Block::decode(block).unwrap();
        assert_eq!((block.num(), block.szx()), (wanted.num(), wanted.szx()));
        Piece {
            more: block.more(),
            etag: value(number::ETAG),
            bytes: response.payload,
        }
    }

    /// Has a device download all of it, in blocks of 2^(`szx` + 4) bytes.
    pub(super) fn download(&mut self, device: usize, feature: &'static str, szx: u8) -> Vec<u8> {
        let mut whole = Vec::new();
        let mut etag = None;
        for num in 0.. {
            let wanted = Block::new(num, false, szx).unwrap();
            let piece = self.fetch(device, feature, wanted);
            assert_eq!(*etag.get_or_insert(piece.etag.clone()), piece.etag);
            whole.extend_from_slice(&piece.bytes);
            if !piece.more {
                break;
            }
            assert_eq!(piece.bytes.len(), wanted.size());
        }
        whole
    }
}
