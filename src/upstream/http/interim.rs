//! Interim replies (1xx, RFC 9110 §15.2): `hyper` passes over any number of them before the reply that ends an exchange,
//! and a server that sends them without end would have us read without end. So they are counted for each exchange, and
//! after a few nothing more is read of the connection.
//!
//! What it costs: `hyper` tells of them through a callback in the request, which is four small allocations a call, in the
//! call's task.

use super::connect::Stream;
use hyper::Request;
use hyper::rt::{Read, ReadBufCursor, Write};
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::task::{Context, Poll};

/// Interim replies to one request. A proxy sends one or two: 100 (Continue), 103 (Early Hints).
pub(in crate::upstream) const MOST: u32 = 8;

/// Interim replies that have come since the exchange began.
#[derive(Clone, Default)]
pub(super) struct Interim(Arc<AtomicU32>);

impl Interim {
    /// An exchange begins with this request.
    pub(super) fn begin<B>(&self, request: &mut Request<B>) {
        self.0.store(0, Ordering::Relaxed);
        let count = self.0.clone();
        hyper::ext::on_informational(request, move |_| {
            count.fetch_add(1, Ordering::Relaxed);
        });
    }

    fn check(&self) -> io::Result<()> {
        if self.0.load(Ordering::Relaxed) <= MOST {
            return Ok(());
        }
        let why = "interim replies without end";
        Err(io::Error::new(io::ErrorKind::InvalidData, why))
    }
}

/// A stream that is not read any more after too many interim replies.
pub(super) struct Counted {
    stream: Stream,
    interim: Interim,
}

impl Counted {
    pub(super) fn new(stream: Stream, interim: Interim) -> Counted {
        Counted { stream, interim }
    }
}

impl Read for Counted {
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

impl Write for Counted {
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
