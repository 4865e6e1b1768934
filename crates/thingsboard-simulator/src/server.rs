//! The HTTP server: HTTP/1.1, and HTTP/2 by prior knowledge, as ThingsBoard's plain port speaks it. Behind a proxy that ends
//! TLS it needs no ALPN: what a connection begins with tells the two apart.

use crate::connection::LimitedListener;
use axum::extract::connect_info::ConnectInfo;
use axum::{Extension, Router};
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto::Builder;
use hyper_util::server::graceful::GracefulShutdown;
use hyper_util::service::TowerToHyperService;
use std::future::Future;
use std::pin::pin;

/// Tomcat's `maxConcurrentStreams` of HTTP/2.
const MAX_CONCURRENT_STREAMS: u32 = 100;

/// Serves connections until `stop` completes, then lets requests in progress end.
pub(super) async fn run(
    mut listener: LimitedListener,
    app: Router,
    stop: impl Future<Output = ()>,
) {
    let mut builder = Builder::new(TokioExecutor::new());
    builder
        .http2()
        .max_concurrent_streams(MAX_CONCURRENT_STREAMS);
    let graceful = GracefulShutdown::new();
    let mut stop = pin!(stop);
    loop {
        let connection = tokio::select! {
            connection = listener.accept() => connection,
            () = &mut stop => break,
        };
        let app = app
            .clone()
            .layer(Extension(ConnectInfo(connection.handle())));
        let served = builder
            .serve_connection(TokioIo::new(connection), TowerToHyperService::new(app))
            .into_owned();
        let served = graceful.watch(served);
        tokio::spawn(async move {
            if let Err(error) = served.await {
                tracing::trace!(error, "a connection has ended");
            }
        });
    }
    drop(listener);
    graceful.shutdown().await;
}
