//! A device's block-wise client: one block after the other, each requested until there is a response.

use super::{RESPONSE_TIMEOUT, World};
use bytes::Bytes;
use coap::option::{encode_unsigned, number};
use coap::{Block, Code, Message};

/// How often a device sends a request that got no response.
const ATTEMPTS: usize = 20;

/// A block of a response: its payload, the M bit, and the ETag of its body.
#[derive(Debug)]
pub(super) struct ReceivedBlock {
    pub(super) bytes: Bytes,
    pub(super) more: bool,
    pub(super) etag: Bytes,
}

impl World {
    /// A device sends a request until there is a response, which this returns. A device without a session begins one first.
    pub(super) fn request_until_response(
        &mut self,
        device: usize,
        code: Code,
        resource: &'static str,
        options: &[(u16, Bytes)],
        payload: &Bytes,
    ) -> Message {
        for _ in 0..ATTEMPTS {
            if !self.devices[device].is_on() {
                self.connect(device);
                self.run_until(RESPONSE_TIMEOUT, |world| {
                    world.devices[device].is_connected()
                });
            }
            let (options, payload) = (options.to_vec(), payload.clone());
            let number = self.devices[device].request(self.now, code, resource, options, payload);
            self.flush();
            self.run_until(RESPONSE_TIMEOUT * 2, |world| {
                world.devices[device].open_requests() == 0
            });
            if let Some(response) = self.devices[device].response(number) {
                return response.clone();
            }
        }
        panic!("device {device} got no response from {resource} in {ATTEMPTS} attempts");
    }

    /// A device sends GET for one block. Panics unless the response is that block.
    pub(super) fn get_block(
        &mut self,
        device: usize,
        resource: &'static str,
        wanted: Block,
    ) -> ReceivedBlock {
        let block2 = (number::BLOCK2, encode_unsigned(wanted.encode()));
        let response =
            self.request_until_response(device, Code::GET, resource, &[block2], &Bytes::new());
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
        ReceivedBlock {
            more: block.more(),
            etag: value(number::ETAG),
            bytes: response.payload,
        }
    }

    /// A device downloads a resource in blocks of 2^(`szx` + 4) bytes. Returns the body.
    pub(super) fn download(&mut self, device: usize, resource: &'static str, szx: u8) -> Vec<u8> {
        let mut whole = Vec::new();
        let mut etag = None;
        for num in 0.. {
            let wanted = Block::new(num, false, szx).unwrap();
            let received = self.get_block(device, resource, wanted);
            assert_eq!(*etag.get_or_insert(received.etag.clone()), received.etag);
            whole.extend_from_slice(&received.bytes);
            if !received.more {
                break;
            }
            assert_eq!(received.bytes.len(), wanted.size());
        }
        whole
    }
}
