//! Block-wise transfers (RFC 7959) between a client and an application that answers at once.

use super::*;
use crate::Block;
use crate::option::encode_unsigned;
use crate::option::number::{BLOCK1, BLOCK2, ETAG, OBSERVE, SIZE1, SIZE2, URI_PATH};

mod uploading;

mod downloading;

mod notifying_in_blocks;

/// A client and its endpoint: sends requests, and describes the responses as text.
struct Client {
    bench: Bench,
    next_message_id: u16,
    /// The response of the application.
    response: Response,
    /// The requests that it received.
    requests: Vec<Request>,
    /// The last message that the client received.
    answer: Message,
}

/// Bytes without two equal blocks.
fn body(length: usize) -> Bytes {
    let byte = |at: usize| u8::try_from((at + at / 7 + at / 1000) % 256).unwrap();
    (0..length).map(byte).collect()
}

/// RFC 7959 §3 writes a Block option as "1:4/1/128": Block1, NUM 4, M, and the size.
fn option(text: &str) -> (u16, Bytes) {
    let (kind, rest) = text.split_once(':').unwrap();
    let mut parts = rest.split('/').map(|part| part.parse::<u32>().unwrap());
    let mut next = || parts.next().unwrap();
    let (num, more, size) = (next(), next(), next());
    let szx = u8::try_from(size.trailing_zeros() - 4).unwrap();
    let block = Block::new(num, more == 1, szx).unwrap();
    let number = if kind == "1" { BLOCK1 } else { BLOCK2 };
    (number, encode_unsigned(block.encode()))
}

fn value(message: &Message, number: u16) -> Option<u32> {
    let (_, value) = message.options.iter().find(|(n, _)| *n == number)?;
    Some(value.iter().fold(0, |n, byte| n << 8 | u32::from(*byte)))
}

/// Code and Block options: "2.31 1:0/1/128".
fn described(message: &Message) -> String {
    let mut text = message.code.to_string();
    for (number, kind) in [(BLOCK2, 2), (BLOCK1, 1)] {
        if let Some(block) = value(message, number).and_then(Block::decode) {
            let more = u8::from(block.more());
            text += &format!(" {kind}:{}/{more}/{}", block.num(), block.size());
        }
    }
    text
}

fn etag(message: &Message) -> Option<Bytes> {
    let (_, value) = message.options.iter().find(|(n, _)| *n == ETAG)?;
    Some(value.clone())
}

impl Client {
    fn new(response: Response) -> Client {
        Client {
            bench: Bench::new(),
            next_message_id: 1,
            response,
            requests: Vec::new(),
            answer: Message::empty(Type::Acknowledgement, 0),
        }
    }

    /// A Confirmable request for /status with these Block options.
    fn request(&mut self, code: Code, blocks: &str, payload: &[u8]) -> Message {
        self.next_message_id += 1;
        let mut message = Message::empty(Type::Confirmable, self.next_message_id);
        message.code = code;
        message.token = Token::new(&self.next_message_id.to_be_bytes()).unwrap();
        message.options = vec![(URI_PATH, Bytes::from_static(b"status"))];
        message
            .options
            .extend(blocks.split_whitespace().map(option));
        message.options.sort_by_key(|(number, _)| *number);
        message.payload = Bytes::copy_from_slice(payload);
        message
    }

    /// Sends a message, and describes the reply; empty if there is none.
    fn send(&mut self, message: &Message) -> String {
        self.bench.receive_bytes(&message.encode(2000).unwrap());
        self.receive_answer(message)
    }

    fn receive_answer(&mut self, to: &Message) -> String {
        if let Some(Output::Request(..)) = self.bench.out.first() {
            let (id, request) = self.bench.request();
            self.requests.push(request);
            let response = self.response.clone();
            self.bench.respond(id, response);
        }
        if self.bench.out.is_empty() {
            return String::new();
        }
        self.answer = self.bench.sent();
        assert_eq!(self.bench.out, []);
        assert_eq!(self.bench.endpoint.open_exchanges(), 0);
        assert_eq!(self.answer.token, to.token);
        described(&self.answer)
    }

    fn post(&mut self, blocks: &str, payload: &[u8]) -> String {
        let message = self.request(Code::POST, blocks, payload);
        self.send(&message)
    }

    fn get(&mut self, blocks: &str) -> String {
        let message = self.request(Code::GET, blocks, &[]);
        self.send(&message)
    }

    fn with_option(&mut self, code: Code, blocks: &str, option: (u16, &[u8])) -> Message {
        let mut message = self.request(code, blocks, &[]);
        let (number, value) = option;
        message
            .options
            .push((number, Bytes::copy_from_slice(value)));
        message.options.sort_by_key(|(number, _)| *number);
        message
    }

    /// Lets time pass until there is no timeout.
    fn pass_all_timeouts(&mut self) {
        while let Some(at) = self.bench.endpoint.next_timeout() {
            self.bench.now = self.bench.now.max(at);
            self.bench.pass(0.0);
        }
    }
}
