//! CoAP's message format (RFC 7252 §3), independent of the gateway's.

pub const CON: u8 = 0;
pub const NON: u8 = 1;
pub const ACK: u8 = 2;
pub const RST: u8 = 3;

pub const GET: u8 = 0x01;
pub const POST: u8 = 0x02;
pub const PUT: u8 = 0x03;
pub const DELETE: u8 = 0x04;

pub const URI_HOST: u16 = 3;
pub const OBSERVE: u16 = 6;
pub const URI_PORT: u16 = 7;
pub const URI_PATH: u16 = 11;
pub const CONTENT_FORMAT: u16 = 12;
pub const MAX_AGE: u16 = 14;
pub const URI_QUERY: u16 = 15;
pub const BLOCK2: u16 = 23;
pub const BLOCK1: u16 = 27;
pub const SIZE1: u16 = 60;

/// Any message.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Message {
    /// [`CON`], [`NON`], [`ACK`] or [`RST`].
    pub kind: u8,
    pub code: u8,
    pub id: u16,
    pub token: Vec<u8>,
    /// In any order; sorted by number when encoded.
    pub options: Vec<(u16, Vec<u8>)>,
    pub payload: Vec<u8>,
}

impl Message {
    pub fn request(kind: u8, method: u8, path: &[&str]) -> Message {
        let options = path
            .iter()
            .map(|segment| (URI_PATH, segment.as_bytes().to_vec()))
            .collect();
        Message {
            kind,
            code: method,
            options,
            ..Message::default()
        }
    }

    pub fn option(mut self, number: u16, value: impl AsRef<[u8]>) -> Message {
        self.options.push((number, value.as_ref().to_vec()));
        self
    }

    pub fn query(self, query: &str) -> Message {
        self.option(URI_QUERY, query)
    }

    pub fn payload(mut self, payload: impl AsRef<[u8]>) -> Message {
        self.payload = payload.as_ref().to_vec();
        self
    }

    /// The code as RFC 7252 writes it: `2.05`.
    pub fn code(&self) -> String {
        format!("{}.{:02}", self.code >> 5, self.code & 0x1f)
    }

    /// The first value of an option.
    pub fn value(&self, number: u16) -> Option<&[u8]> {
        self.options
            .iter()
            .find(|(n, _)| *n == number)
            .map(|(_, value)| value.as_slice())
    }

    /// The first value of an option, as an unsigned integer (§3.2).
    pub fn uint(&self, number: u16) -> Option<u64> {
        self.value(number).map(|value| {
            value
                .iter()
                .fold(0, |sum, &byte| sum << 8 | u64::from(byte))
        })
    }

    pub fn text(&self) -> String {
        String::from_utf8(self.payload.clone()).expect("a payload that is text")
    }

    pub fn encode(&self) -> Vec<u8> {
        let token_length = u8::try_from(self.token.len()).unwrap();
        let mut bytes = vec![0x40 | self.kind << 4 | token_length, self.code];
        bytes.extend(self.id.to_be_bytes());
        bytes.extend(&self.token);
        let mut options = self.options.clone();
        options.sort_by_key(|(number, _)| *number);
        let mut last = 0;
        for (number, value) in &options {
            let (delta, delta_more) = nibble(usize::from(number - last));
            let (length, length_more) = nibble(value.len());
            bytes.push(delta << 4 | length);
            bytes.extend(delta_more);
            bytes.extend(length_more);
            bytes.extend(value);
            last = *number;
        }
        if !self.payload.is_empty() {
            bytes.push(0xff);
            bytes.extend(&self.payload);
        }
        bytes
    }

    /// Decodes a message of the gateway. Panics on anything that RFC 7252 does not allow.
    pub fn decode(bytes: &[u8]) -> Message {
        Message::parse(bytes).unwrap_or_else(|| panic!("no CoAP message: {bytes:02x?}"))
    }

    fn parse(bytes: &[u8]) -> Option<Message> {
        let (&[first, code, high, low], mut rest) = bytes.split_first_chunk::<4>()?;
        let token_length = usize::from(first & 0x0f);
        if first >> 6 != 1 || token_length > 8 {
            return None;
        }
        let token = rest.get(..token_length)?.to_vec();
        rest = &rest[token_length..];
        let mut message = Message {
            kind: first >> 4 & 3,
            code,
            id: u16::from_be_bytes([high, low]),
            token,
            ..Message::default()
        };
        let mut number = 0u16;
        while let Some((&head, after)) = rest.split_first() {
            if head == 0xff {
                message.payload = (!after.is_empty()).then(|| after.to_vec())?;
                break;
            }
            let (delta, after) = extended(head >> 4, after)?;
            let (length, after) = extended(head & 0x0f, after)?;
            number = number.checked_add(u16::try_from(delta).ok()?)?;
            message
                .options
                .push((number, after.get(..length)?.to_vec()));
            rest = &after[length..];
        }
        // An Empty message is four bytes (§4.1).
        (code != 0 || bytes.len() == 4).then_some(message)
    }
}

/// A Confirmable POST.
pub fn post(path: &[&str], body: &str) -> Message {
    Message::request(CON, POST, path).payload(body)
}

/// A Confirmable GET.
pub fn get(path: &[&str]) -> Message {
    Message::request(CON, GET, path)
}

/// A delta or a length, as its four bits and what follows (§3.1).
fn nibble(value: usize) -> (u8, Vec<u8>) {
    match value {
        0..=12 => (u8::try_from(value).unwrap(), Vec::new()),
        13..=268 => (13, vec![u8::try_from(value - 13).unwrap()]),
        _ => (
            14,
            u16::try_from(value - 269).unwrap().to_be_bytes().to_vec(),
        ),
    }
}

fn extended(nibble: u8, rest: &[u8]) -> Option<(usize, &[u8])> {
    match nibble {
        0..=12 => Some((usize::from(nibble), rest)),
        13 => rest
            .split_first()
            .map(|(&byte, rest)| (usize::from(byte) + 13, rest)),
        14 => {
            let (&[high, low], rest) = rest.split_first_chunk::<2>()?;
            Some((usize::from(u16::from_be_bytes([high, low])) + 269, rest))
        }
        _ => None,
    }
}
