//! Interim replies (1xx, RFC 9110 §15.2): `hyper` skips any number of them before the reply that ends an exchange,
//! and a server that sends them without end would have us read without end. So they are counted for each exchange, and
//! after a few the connection is not read any more.
//!
//! The cost: `hyper` reports them through a callback in the request, four small allocations a call, in the call's task.

use super::connect::Stream;
use hyper::Request;
use hyper::rt::{Read, ReadBufCursor, Write};
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::task::{Context, Poll};

/// Interim replies to one request that are allowed. A proxy sends one or two: 100 (Continue), 103 (Early Hints).
pub(in crate::upstream) const MAX_INTERIM: u32 = 8;

/// Counts the interim replies of the current exchange.
#[derive(Clone, Default)]
pub(super) struct InterimCount(Arc<AtomicU32>);

impl InterimCount {
    /// Starts from zero, with this request.
    pub(super) fn reset<B>(&self, request: &mut Request<B>) {
        self.0.store(0, Ordering::Relaxed);
        let count = self.0.clone();
        hyper::ext::on_informational(request, move |_| {
            count.fetch_add(1, Ordering::Relaxed);
        });
    }

    fn check(&self) -> io::Result<()> {
        if self.0.load(Ordering::Relaxed) <= MAX_INTERIM {
            return Ok(());
        }
        let why = "too many interim (1xx) replies";
        Err(io::Error::new(io::ErrorKind::InvalidData, why))
    }
}

/// A stream that fails to be read after too many interim replies.
pub(super) struct CountedStream {
    stream: Stream,
    interim: InterimCount,
}

impl CountedStream {
    pub(super) fn new(stream: Stream, interim: InterimCount) -> CountedStream {
        CountedStream { stream, interim }
    }
}

impl Read for CountedStream {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: ReadBufCursor<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        match this.interim.check() {
            Ok(()) => Pin::new(&mut this.stream).poll_read(context, buffer),
            Err(too_many) => Poll::Ready(Err(too_many)),
        }
    }
}

impl Write for CountedStream {
    fn poll_write(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.get_mut().stream).poll_write(context, bytes)
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_flush(context)
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_shutdown(context)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        pieces: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.get_mut().stream).poll_write_vectored(context, pieces)
    }
}
