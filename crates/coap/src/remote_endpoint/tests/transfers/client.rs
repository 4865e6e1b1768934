//! The client: one transfer at a time for each resource, each a body to send, a body to get, or
//! both.

use super::*;

/// One attempt at a transfer.
pub(super) struct Transfer {
    pub(super) code: Code,
    path: Bytes,
    /// Request-Tag. Without it, no datagram of an earlier attempt may be in flight (RFC 9175 §3).
    pub(super) tag: Option<Bytes>,
    pub(super) body: Bytes,
    /// How much of the body is acknowledged.
    sent: usize,
    szx: u8,
    says_size: bool,
    /// Whether the body is sent, and its response is being received.
    receiving: bool,
    pub(super) received: Vec<u8>,
    etag: Option<Bytes>,
    pub(super) outstanding: Option<Outstanding>,
}

pub(super) struct Outstanding {
    pub(super) message: Message,
    pub(super) tries: u8,
    pub(super) acknowledged: bool,
}

/// What the client does next.
#[derive(Debug, PartialEq)]
pub(super) enum Next {
    Send,
    Restart,
    /// After a 5.03.
    RestartLater,
    Finished,
    /// The body, or the response's, is too large.
    TooLarge,
    /// The response to its POST is no longer held.
    Lost,
}

pub(super) fn value(message: &Message, number: u16) -> Option<u32> {
    let (_, value) = message.options.iter().find(|(n, _)| *n == number)?;
    Some(value.iter().fold(0, |n, byte| n << 8 | u32::from(*byte)))
}

fn block(message: &Message, number: u16) -> Option<Block> {
    value(message, number).map(|value| Block::decode(value).unwrap())
}

impl Transfer {
    pub(super) fn new(code: Code, slot: u8, body: Bytes, random: &mut fastrand::Rng) -> Transfer {
        let kind = if code == Code::POST { b'p' } else { b'g' };
        let tagged = code == Code::POST && random.bool();
        Transfer {
            code,
            path: Bytes::from(vec![kind, slot]),
            tag: tagged.then(|| Bytes::from(random.u32(..).to_be_bytes().to_vec())),
            body,
            sent: 0,
            szx: random.u8(0..=6),
            says_size: random.bool(),
            receiving: code == Code::GET,
            received: Vec::new(),
            etag: None,
            outstanding: None,
        }
    }

    fn is_last(&self) -> bool {
        self.body.len() <= self.sent + Block::size_of(self.szx)
    }

    /// Whether this request alone has an effect if it is received twice with two Message IDs.
    pub(super) fn is_whole(&self) -> bool {
        !self.receiving && self.sent == 0 && self.is_last()
    }

    /// The next request.
    pub(super) fn request(&self, random: &mut fastrand::Rng) -> Message {
        let mut message = Message::empty(Type::Confirmable, 0);
        message.code = self.code;
        message.options = vec![(URI_PATH, self.path.clone())];
        let mut add = |number, value| message.options.push((number, value));
        if self.receiving {
            let block = Block::at(self.received.len(), false, self.szx).unwrap();
            if block.num() > 0 || random.bool() {
                add(BLOCK2, encode_unsigned(block.encode()));
            }
        } else {
            let block = Block::at(self.sent, !self.is_last(), self.szx).unwrap();
            if !self.is_whole() || random.bool() {
                add(BLOCK1, encode_unsigned(block.encode()));
            }
            if self.says_size && block.num() == 0 && block.more() {
                add(
                    SIZE1,
                    encode_unsigned(u32::try_from(self.body.len()).unwrap()),
                );
            }
            let end = self.body.len().min(self.sent + block.size());
            message.payload = self.body.slice(self.sent..end);
        }
        if let Some(tag) = &self.tag {
            message.options.push((REQUEST_TAG, tag.clone()));
        }
        message
    }

    /// Sometimes changes to another block size with which the transfer can continue at this offset.
    fn change_size(&mut self, at: usize, random: &mut fastrand::Rng) {
        let szx = random.u8(0..=6);
        if random.u8(0..4) == 0 && at.is_multiple_of(Block::size_of(szx)) {
            self.szx = szx;
        }
    }

    /// Processes the response to the outstanding request.
    pub(super) fn receive(&mut self, response: &Message, random: &mut fastrand::Rng) -> Next {
        let request = self.outstanding.take().unwrap().message;
        let (requested, acknowledged) = (block(&request, BLOCK1), block(response, BLOCK1));
        match response.code {
            Code::CONTINUE => {
                assert_eq!(acknowledged, requested);
                assert!(requested.is_some_and(Block::more));
                assert_eq!(block(response, BLOCK2), None);
                self.sent += request.payload.len();
                self.change_size(self.sent, random);
                return Next::Send;
            }
            Code::SERVICE_UNAVAILABLE => return Next::RestartLater,
            Code::INTERNAL_SERVER_ERROR => return Next::TooLarge,
            Code::REQUEST_ENTITY_TOO_LARGE => {
                assert!(self.body.len() > LARGEST);
                assert_eq!(value(response, SIZE1), Some(1000));
                return Next::TooLarge;
            }
            Code::REQUEST_ENTITY_INCOMPLETE if self.receiving => return Next::Lost,
            Code::REQUEST_ENTITY_INCOMPLETE => return Next::Restart,
            // The body has become shorter.
            Code::BAD_REQUEST => {
                assert!(self.code == Code::GET && !self.received.is_empty());
                return Next::Restart;
            }
            code => assert_eq!(code, Code::CONTENT),
        }
        assert_eq!(acknowledged, requested);
        if !self.receiving {
            assert!(self.is_last() && !requested.is_some_and(Block::more));
            self.receiving = true;
        }
        self.append(response, random)
    }

    fn append(&mut self, response: &Message, random: &mut fastrand::Rng) -> Next {
        let Some(block) = block(response, BLOCK2) else {
            assert!(self.received.is_empty());
            self.received = response.payload.to_vec();
            return Next::Finished;
        };
        assert_eq!(block.offset(), self.received.len());
        let tag = response.options.iter().find(|(number, _)| *number == ETAG);
        let etag = tag.map(|(_, value)| value.clone());
        if self.received.is_empty() {
            self.etag = etag;
        } else if self.etag != etag {
            assert_eq!(
                self.code,
                Code::GET,
                "the response to a POST does not change"
            );
            return Next::Restart;
        }
        self.received.extend_from_slice(&response.payload);
        if !block.more() {
            return Next::Finished;
        }
        assert!(self.etag.is_some() && response.payload.len() == block.size());
        self.szx = block.szx();
        self.change_size(self.received.len(), random);
        Next::Send
    }
}
