//! Bytes of which few have more than eight.

/// Up to 255 bytes: eight of them inside, more on the heap.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum ShortBytes {
    /// The first `length` of the bytes.
    Inline {
        /// 0 to 8.
        length: u8,
        bytes: [u8; 8],
    },
    /// Nine or more.
    Boxed(Box<[u8]>),
}

impl ShortBytes {
    /// Copies the bytes. `None`: there are more than 255.
    pub(super) fn new(from: &[u8]) -> Option<ShortBytes> {
        let length = u8::try_from(from.len()).ok()?;
        let mut bytes = [0; 8];
        Some(match bytes.get_mut(..from.len()) {
            Some(front) => {
                front.copy_from_slice(from);
                ShortBytes::Inline { length, bytes }
            }
            None => ShortBytes::Boxed(from.into()),
        })
    }

    /// The bytes.
    pub(super) fn as_slice(&self) -> &[u8] {
        match self {
            ShortBytes::Inline { length, bytes } => {
                bytes.get(..usize::from(*length)).unwrap_or_default()
            }
            ShortBytes::Boxed(bytes) => bytes,
        }
    }
}
