//! A naive model of uploads: the expected answer to each block.

use super::client::value;
use super::*;

/// The uploads that the endpoint should hold.
#[derive(Default)]
pub(super) struct Model {
    uploads: Vec<Upload>,
    seen: HashSet<u16>,
}

struct Upload {
    key: Vec<u8>,
    body: Vec<u8>,
    touched: Instant,
}

/// The expected outcome of a block.
#[derive(Debug, PartialEq)]
pub(super) enum Expected {
    Request(Vec<u8>),
    Code(Code),
}

impl Model {
    /// `None` for duplicates and for what is no block of a body.
    pub(super) fn receive(&mut self, now: Instant, message: &Message) -> Option<Expected> {
        let block = value(message, BLOCK1).and_then(Block::decode);
        let block = block.filter(|_| self.seen.insert(message.message_id))?;
        self.uploads.retain(|one| now < one.touched + LIFETIME);
        let key = key(message);
        let too_large = Some(Expected::Code(Code::REQUEST_ENTITY_TOO_LARGE));
        if block.num() == 0 {
            self.forget(&key);
            let announced = value(message, SIZE1).is_some_and(|size| size > 1000);
            if announced || message.payload.len() > LARGEST {
                return too_large;
            }
            if !block.more() {
                return Some(Expected::Request(message.payload.to_vec()));
            }
            if self.uploads.len() == 4 {
                self.uploads.sort_by_key(|one| one.touched);
                self.uploads.remove(0);
            }
            self.uploads.push(Upload {
                key: key.clone(),
                body: Vec::new(),
                touched: now,
            });
        }
        let incomplete = Some(Expected::Code(Code::REQUEST_ENTITY_INCOMPLETE));
        let Some(upload) = self.uploads.iter_mut().find(|one| one.key == key) else {
            return incomplete;
        };
        if block.offset() == upload.body.len() {
            upload.body.extend_from_slice(&message.payload);
            if upload.body.len() > LARGEST {
                self.forget(&key);
                return too_large;
            }
            if !block.more() {
                return self.forget(&key).map(Expected::Request);
            }
        } else {
            let held = upload.body.iter().skip(block.offset()).take(block.size());
            if !block.more() || !held.eq(message.payload.iter()) {
                return incomplete;
            }
        }
        upload.touched = now;
        Some(Expected::Code(Code::CONTINUE))
    }

    fn forget(&mut self, key: &[u8]) -> Option<Vec<u8>> {
        let at = self.uploads.iter().position(|one| one.key == key)?;
        Some(self.uploads.remove(at).body)
    }

    /// The endpoint had no room for this block, so it holds no block of the body. The model counts no
    /// bytes.
    pub(super) fn had_no_room(&mut self, message: &Message) {
        self.forget(&key(message));
    }
}

fn key(message: &Message) -> Vec<u8> {
    let of_key = |number| [URI_PATH, REQUEST_TAG].contains(number);
    let options = message.options.iter();
    let options = options.filter(|(number, _)| of_key(number));
    options.flat_map(|(_, value)| value.to_vec()).collect()
}
