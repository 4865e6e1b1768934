//! Opens the stream of a connection. The simulation has one without sockets, so that it runs the tasks of connections as they
//! are.

use super::super::http::connect::{ConnectError, Connector, TokioStream};
use std::future::Future;
use tokio::io::{AsyncRead, AsyncWrite};

pub(crate) trait Dial: Send + Sync + 'static {
    type Stream: AsyncRead + AsyncWrite + Unpin + Send + 'static;

    /// Opens a stream to ThingsBoard, within a bounded time.
    fn dial(&self) -> impl Future<Output = Result<Self::Stream, ConnectError>> + Send;
}

impl Dial for Connector {
    type Stream = TokioStream;

    async fn dial(&self) -> Result<TokioStream, ConnectError> {
        self.connect_tokio().await
    }
}
