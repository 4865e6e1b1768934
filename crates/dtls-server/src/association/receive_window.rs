//! The receive window by itself: it changes with each record, and the rest of an export hardly ever does.

use super::{Association, RestoreError};
use crate::window::Window;
use crate::wire::{Reader, Writer};

/// Bytes of a receive window: newest received (6) ‖ bitmap (8), as in an export.
pub const RECEIVE_WINDOW: usize = 14;

impl Association {
    /// Which records were received, to store it beside an older [export](Association::export).
    #[must_use]
    pub fn receive_window(&self) -> [u8; RECEIVE_WINDOW] {
        let (newest, seen) = self.window.to_parts();
        let mut out = Vec::with_capacity(RECEIVE_WINDOW);
        out.u48(newest);
        out.bytes(&seen.to_be_bytes());
        out.try_into().unwrap_or([0; RECEIVE_WINDOW])
    }

    /// Adds what was received according to a stored receive window. A record is not accepted if it was received by this
    /// association or by that window, so an older window changes nothing.
    ///
    /// # Errors
    /// No window is like that. Nothing has changed.
    pub fn renew_receive_window(&mut self, stored: &[u8]) -> Result<(), RestoreError> {
        let mut reader = Reader::new(stored);
        let newest = reader.u48()?;
        let seen = u64::from_be_bytes(reader.array()?);
        reader.end()?;
        let other = Window::from_parts(newest, seen).ok_or(RestoreError::Malformed)?;
        self.window.merge(other);
        Ok(())
    }
}
