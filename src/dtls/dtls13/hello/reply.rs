//! The reply to a hello, and the hello before one with a cookie: both byte for byte, because they are part of the transcript.

use super::{DTLS13, NULL_COMPRESSION, Parts, StatelessHello, extension};
use crate::dtls::dtls13::cookie::{self, Cookie};
use crate::dtls::record::{self, Cursor};

const SERVER_HELLO: u8 = 2;

impl StatelessHello<'_> {
    /// The reply with a cookie.
    pub(crate) fn reply(&self, cookie: &Cookie) -> Vec<u8> {
        let mut body = vec![254, 253];
        body.extend(record::HELLO_RETRY_RANDOM);
        body.push(0);
        body.extend(self.suite.to_be_bytes());
        body.push(NULL_COMPRESSION);
        let mut extensions = Vec::new();
        extensions.extend(extension::SUPPORTED_VERSIONS.to_be_bytes());
        extensions.extend([0, 2]);
        extensions.extend(DTLS13.to_be_bytes());
        extensions.extend(extension::COOKIE.to_be_bytes());
        extensions.extend([0, 34, 0, 32]);
        extensions.extend(cookie);
        body.extend(prefixed(&extensions));
        body.extend(extensions);
        message(SERVER_HELLO, self.sequence, &body)
    }

    /// Whether more than the cookie was added to it. Then the previous hello, which in DTLS 1.3 is part of the transcript,
    /// can't be reconstructed.
    pub(crate) fn has_grown(&self) -> bool {
        let before = cookie::hello_length(self.cookie).map_or(0, usize::from);
        self.without_cookie(0).len() > before
    }

    /// The hellos before this one, without a cookie.
    pub(crate) fn previous_hellos(&self) -> Vec<Vec<u8>> {
        let mut body = self.without_cookie(0);
        // By how much the cookie has shortened the padding.
        let length = cookie::hello_length(self.cookie).map_or(0, usize::from);
        let lost = length.saturating_sub(body.len());
        if lost > 0 {
            body = self.without_cookie(lost);
        }
        let hello = |sequence| message(record::CLIENT_HELLO, sequence, &body);
        (0..self.sequence).map(hello).collect()
    }

    fn without_cookie(&self, padding: usize) -> Vec<u8> {
        let Parts {
            head,
            middle,
            has_extensions,
            extensions: [first, second],
        } = self.parts;
        let mut body = [head, &[0], middle].concat();
        if has_extensions {
            let extensions = padded([first, second].concat(), padding);
            body.extend(prefixed(&extensions));
            body.extend(extensions);
        }
        body
    }
}

/// Extensions with `more` bytes of padding added. Without a padding extension it is appended.
pub(super) fn padded(mut extensions: Vec<u8>, more: usize) -> Vec<u8> {
    if more == 0 {
        return extensions;
    }
    let mut rest = Cursor(&extensions);
    let mut found = None;
    while let (Some(number), Some(length)) = (rest.u16(), rest.u16()) {
        let end = extensions.len() - rest.0.len() + usize::from(length);
        if number == extension::PADDING {
            found = Some((end - usize::from(length), usize::from(length)));
        }
        if rest.take(usize::from(length)).is_none() {
            break;
        }
    }
    if let Some((at, length)) = found {
        let new_length = u16::try_from(length + more)
            .unwrap_or(u16::MAX)
            .to_be_bytes();
        let value = [&new_length[..], &vec![0; more]].concat();
        extensions.splice(at - 2..at, value);
    } else {
        let zeros = vec![0; more.saturating_sub(4)];
        extensions.extend(extension::PADDING.to_be_bytes());
        extensions.extend(prefixed(&zeros));
        extensions.extend(zeros);
    }
    extensions
}

pub(super) fn prefixed(bytes: &[u8]) -> [u8; 2] {
    // Never longer than a datagram.
    u16::try_from(bytes.len()).unwrap_or(u16::MAX).to_be_bytes()
}

/// A handshake message in a plaintext record of its own. `sequence` is both `message_seq` and record number: nothing else
/// was sent before.
pub(super) fn message(kind: u8, sequence: u16, body: &[u8]) -> Vec<u8> {
    let [high, low] = prefixed(body);
    let sequence = sequence.to_be_bytes();
    let mut datagram = Vec::with_capacity(25 + body.len());
    datagram.extend([record::HANDSHAKE, 254, 253, 0, 0, 0, 0, 0, 0]);
    datagram.extend(sequence);
    let length = u16::try_from(12 + body.len()).unwrap_or(u16::MAX);
    datagram.extend(length.to_be_bytes());
    datagram.extend([kind, 0, high, low]);
    datagram.extend(sequence);
    datagram.extend([0, 0, 0, 0, high, low]);
    datagram.extend(body);
    datagram
}
