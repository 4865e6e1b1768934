//! `run`: the gateway, until Ctrl-C or SIGTERM.

use super::Failed;
use crate::admin::Admin;
use crate::admin::status::Status;
use crate::config::{self, Config};
use crate::gateway::{Gateway, Parts, Settings};
use crate::reload::Reload;
use crate::reload::file_status::SharedFileStatus;
use std::future::Future;
use std::num::NonZero;
use std::sync::Arc;
use std::time::Duration;
use tokio::runtime::Runtime;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::{mpsc, oneshot};
use tokio::task::AbortHandle;
use tracing::{error, info, warn};

/// Files beside one for each connection to ThingsBoard: sockets, the log, the runtime's own.
const OTHER_FILES: u64 = 64;

/// A runtime, and a message at each SIGHUP from now on: one that comes while the configuration is read must not end
/// the process, as it would by itself.
pub(super) fn begin() -> Result<(Runtime, mpsc::Receiver<()>), Failed> {
    let runtime = runtime(Some(workers()))?;
    let within = runtime.enter();
    let hang_ups = hang_ups()?;
    drop(within);
    Ok((runtime, hang_ups))
}

/// Runs the gateway.
pub(super) fn run(
    runtime: Runtime,
    hang_ups: mpsc::Receiver<()>,
    config: Config,
) -> Result<(), Failed> {
    let upstream = &config.upstream;
    let connections = upstream
        .max_in_flight
        .saturating_add(upstream.max_downlink)
        .saturating_add(upstream.max_packages);
    raise_open_files(
        u64::try_from(connections)?.saturating_add(OTHER_FILES),
        "too few open files for upstream.max_in_flight and relay.max_polls: raise the limit \
         (ulimit -Hn, LimitNOFILE) or lower these",
    );
    serve_on(runtime, async {
        let (asked, insisted) = stop_signals()?;
        let (listen, admin) = (config.listen.admin, config.admin);
        let server = match listen {
            Some(address) => Some(Admin::bind(address).await?),
            None => None,
        };
        let registry = config.registry.clone();
        let reload = Reload::new(config.sources, config.watched, config.dtls, registry);
        let files = SharedFileStatus::at_start(&config.server, &config.clients);
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
                ota: config.ota,
            },
            upstream: config.upstream,
            drain: config.shutdown.drain,
        })?;
        tokio::spawn(reload.run(gateway.handle(), files.clone(), hang_ups));
        let told = server.map(|server| tell(server, admin, &gateway, files));
        let end = gateway.run(asked, insisted).await;
        // It told that the gateway drains, and has nothing to tell any more.
        drop(told);
        if end.cut_off > 0 {
            warn!(
                cut_off = end.cut_off,
                "requests that ThingsBoard had not answered by the end are left unanswered"
            );
        }
        Ok(())
    })
}

/// Answers those who operate the gateway, for as long as what is returned is kept. Devices are served whatever becomes
/// of it.
fn tell(server: Admin, admin: config::Admin, gateway: &Gateway, files: SharedFileStatus) -> Told {
    info!(address = %server.local_addr(), sessions = admin.sessions, "listening for those who operate it");
    let source = Arc::new(Status::new(
        gateway.handle(),
        gateway.upstream(),
        files,
        admin.require_upstream,
    ));
    let served = tokio::spawn(server.serve(source, admin.sessions));
    let told = Told(served.abort_handle());
    tokio::spawn(async move {
        if let Err(ended) = served.await
            && ended.is_panic()
        {
            error!("listen.admin is not answered any more; devices still are: {ended}");
        }
    });
    told
}

/// Those who operate the gateway are told until this is dropped.
struct Told(AbortHandle);

impl Drop for Told {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// Raises the limit of open files as far as the system allows, and says so where that is too little.
fn raise_open_files(wanted: u64, too_few: &str) {
    match rlimit::increase_nofile_limit(u64::MAX) {
        Ok(granted) if granted < wanted => warn!(granted, wanted, "{too_few}"),
        Ok(_) => {}
        Err(error) => warn!("the limit of open files can't be raised: {error}"),
    }
}

/// Threads for the calls to ThingsBoard. The loop has one of its own, and one more than there are cores would have
/// them take turns.
fn workers() -> usize {
    let cores = std::thread::available_parallelism().map_or(1, NonZero::get);
    cores.saturating_sub(1).max(1)
}

/// With so many threads beside this one; one for each core unless told otherwise.
fn runtime(workers: Option<usize>) -> Result<Runtime, Failed> {
    let mut builder = tokio::runtime::Builder::new_multi_thread();
    if let Some(workers) = workers {
        builder.worker_threads(workers);
    }
    let runtime = builder
        .enable_all()
        .build()
        .map_err(|error| format!("the runtime can't be started: {error}"))?;
    Ok(runtime)
}

fn serve_on(
    runtime: Runtime,
    command: impl Future<Output = Result<(), Failed>>,
) -> Result<(), Failed> {
    let outcome = runtime.block_on(command);
    runtime.shutdown_timeout(Duration::from_secs(1));
    outcome
}

/// A message at each SIGHUP; several become one if nobody takes them.
fn hang_ups() -> Result<mpsc::Receiver<()>, Failed> {
    let mut hang_up = signal(SignalKind::hangup())?;
    let (heard, hang_ups) = mpsc::channel(1);
    tokio::spawn(async move {
        while hang_up.recv().await.is_some() {
            let _ = heard.try_send(());
        }
    });
    Ok(hang_ups)
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
    let (first, asked) = oneshot::channel();
    let (second, insisted) = oneshot::channel();
    tokio::spawn(async move {
        // Waited for outside the macros: what a log level leaves out is not evaluated either.
        let name = next().await;
        info!("{name}: stopping");
        let _ = first.send(());
        let name = next().await;
        warn!("{name} once more: stopping at once");
        let _ = second.send(());
    });
    let resolved = async |told: oneshot::Receiver<()>| {
        let _ = told.await;
    };
    Ok((resolved(asked), resolved(insisted)))
}
