//! `run`: the gateway, until Ctrl-C or SIGTERM.

use super::{Failed, limits};
use crate::admin::Admin;
use crate::admin::status::Status;
use crate::config::{self, Config};
use crate::downlink::Form;
use crate::gateway::{Gateway, Parts, Settings};
use crate::reload::Reload;
use crate::reload::file_status::SharedFileStatus;
use crate::upstream;
use std::future::Future;
use std::num::NonZero;
use std::sync::Arc;
use std::time::Duration;
use tokio::runtime::Runtime;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::{mpsc, oneshot};
use tokio::task::AbortHandle;
use tracing::{error, info, warn};

/// Starts the runtime, and installs the handler of SIGHUP, which sends a message each time. Before the configuration is
/// read, because SIGHUP ends a process without a handler.
pub(super) fn start_runtime() -> Result<(Runtime, mpsc::Receiver<()>), Failed> {
    let runtime = runtime()?;
    let entered = runtime.enter();
    let sighups = sighups()?;
    drop(entered);
    Ok((runtime, sighups))
}

/// Runs the gateway.
pub(super) fn run(
    runtime: Runtime,
    sighups: mpsc::Receiver<()>,
    config: Config,
) -> Result<(), Failed> {
    // Handshakes of TLS would keep the loop waiting.
    let is_own = config.upstream.url.is_mqtt() && !config.upstream.url.is_tls();
    raise_open_files(&config.upstream);
    if let Some(warning) = limits::warning_of_ports(&config.upstream) {
        warn!("{warning}");
    }
    let workers = runtime.handle().clone();
    serve_on(runtime, is_own, async {
        let (stop, stop_now) = stop_signals()?;
        let (listen, admin) = (config.listen.admin, config.admin);
        let server = match listen {
            Some(address) => Some(workers.spawn(Admin::bind(address)).await??),
            None => None,
        };
        let registry = config.registry.clone();
        let tls = &config.upstream.tls;
        let files = SharedFileStatus::at_start(&config.server, &config.clients, tls);
        let gateway = Gateway::new(Parts {
            listen: config.listen.coaps,
            server: config.server,
            clients: config.clients,
            registry: config.registry,
            settings: Settings {
                dtls: config.dtls,
                coap: config.coap,
                limits: config.limits,
                provision: config.provision,
                max_in_flight: config.upstream.max_in_flight,
                calls: config.calls,
                relay: config.relay,
                downlink: Form::Polling,
                max_connections: config.upstream.max_connections,
                ota: config.ota,
            },
            upstream: config.upstream,
            state: config.state,
            group: config.group,
            drain: config.shutdown.drain,
            workers: workers.clone(),
        })?;
        let (sources, watched) = (config.sources, config.watched);
        let reload = Reload::new(sources, watched, config.dtls, registry, gateway.upstream());
        workers.spawn(reload.run(gateway.handle(), files.clone(), sighups));
        let admin_server = server.map(|server| {
            let _entered = workers.enter();
            serve_admin(server, admin, &gateway, files)
        });
        let end = gateway.run(stop, stop_now).await;
        // Until here it reported that the gateway drains.
        drop(admin_server);
        if end.cut_off > 0 {
            warn!(
                cut_off = end.cut_off,
                "requests that ThingsBoard had not answered by the end are left unanswered"
            );
        }
        Ok(())
    })
}

/// Serves the admin pages in a task until the guard is dropped. If the task fails, devices are still served.
fn serve_admin(
    server: Admin,
    admin: config::Admin,
    gateway: &Gateway,
    files: SharedFileStatus,
) -> AdminGuard {
    info!(address = %server.local_addr(), sessions = admin.sessions, "listening for admin requests");
    let source = Arc::new(Status::new(
        gateway.handle(),
        gateway.upstream(),
        files,
        admin.require_upstream,
    ));
    let served = tokio::spawn(server.serve(source, admin.sessions));
    let guard = AdminGuard(served.abort_handle());
    tokio::spawn(async move {
        if let Err(ended) = served.await
            && ended.is_panic()
        {
            error!("the admin server (listen.admin) has failed; devices are still served: {ended}");
        }
    });
    guard
}

/// Ends the admin server when it is dropped.
struct AdminGuard(AbortHandle);

impl Drop for AdminGuard {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// Raises the limit of open files to what the system allows, and warns if that is too little.
fn raise_open_files(upstream: &upstream::Settings) {
    match rlimit::increase_nofile_limit(u64::MAX) {
        Ok(granted) => {
            if let Some(warning) = limits::warning_of_files(upstream, granted) {
                warn!("{warning}");
            }
        }
        Err(error) => warn!("the limit of open files can't be raised: {error}"),
    }
}

/// Threads for all but the loop and the connections over MQTT, which have one of their own. More threads than cores would
/// only preempt each other.
fn workers() -> usize {
    let cores = std::thread::available_parallelism().map_or(1, NonZero::get);
    cores.saturating_sub(1).max(1)
}

fn runtime() -> Result<Runtime, Failed> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(workers())
        .enable_all()
        .build()
        .map_err(|error| format!("the runtime can't be started: {error}"))?;
    Ok(runtime)
}

/// Runs the gateway in this thread. `is_own`: in a runtime of its own, which has the connections to ThingsBoard over MQTT as
/// well. They do little for a message, and in another thread would be woken for it twice. Calls over HTTP take more, and gain
/// nothing by it.
fn serve_on(
    runtime: Runtime,
    is_own: bool,
    command: impl Future<Output = Result<(), Failed>>,
) -> Result<(), Failed> {
    let at_most = Duration::from_secs(1);
    let outcome = if is_own {
        let own = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .map_err(|error| format!("the runtime can't be started: {error}"))?;
        let outcome = own.block_on(command);
        own.shutdown_timeout(at_most);
        outcome
    } else {
        runtime.block_on(command)
    };
    runtime.shutdown_timeout(at_most);
    outcome
}

/// A message at each SIGHUP; several become one until it is received.
fn sighups() -> Result<mpsc::Receiver<()>, Failed> {
    let mut sighup = signal(SignalKind::hangup())?;
    let (sender, sighups) = mpsc::channel(1);
    tokio::spawn(async move {
        while sighup.recv().await.is_some() {
            let _ = sender.try_send(());
        }
    });
    Ok(sighups)
}

/// Two futures: one resolves at the first SIGTERM or SIGINT (Ctrl-C), the other at the second.
fn stop_signals() -> Result<
    (
        impl Future<Output = ()> + Send + 'static,
        impl Future<Output = ()> + Send + 'static,
    ),
    Failed,
> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut next = async move || {
        tokio::select! {
            _ = terminate.recv() => "SIGTERM",
            _ = interrupt.recv() => "SIGINT",
        }
    };
    let (first, stop) = oneshot::channel();
    let (second, stop_now) = oneshot::channel();
    tokio::spawn(async move {
        // Awaited outside the macros: they don't evaluate their arguments at a disabled log level.
        let name = next().await;
        info!("{name}: stopping");
        let _ = first.send(());
        let name = next().await;
        warn!("{name} again: stopping at once");
        let _ = second.send(());
    });
    let received = async |signal: oneshot::Receiver<()>| {
        let _ = signal.await;
    };
    Ok((received(stop), received(stop_now)))
}
