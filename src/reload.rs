//! Reloads files while the gateway runs, and replaces what was read before.
//!
//! Four sources, each replaced as a whole or not at all: the registry (with the token and certificate files it names), the
//! gateway's certificate and key, the trust anchors and revocation lists, and the files for TLS to ThingsBoard. [`watch`] finds changed files; SIGHUP
//! reloads all. A source with mistakes is refused: they are logged line by line as `check` prints them, the refusal is
//! counted, and the previous version stays in use. `gateway.toml` itself is read at the start only.
//!
//! A thread of its own reads, and frees a registry that is no longer used: the loop that serves devices only swaps one
//! reference for another.

pub(crate) mod file_status;
mod reader_thread;
mod watch;

use crate::config::{Mistakes, Reading, Sources, Stamp, WatchedFile, WatchedFiles};
use crate::credentials::{Expiry, Moment};
use crate::device::{Difference, Registry};
use crate::dtls::{self, engine};
use crate::gateway::{Change, Handle, UpstreamServer};
use crate::upstream::TlsFiles;
use file_status::{FileStatus, ReloadCounts, SharedFileStatus};
use reader_thread::{Panicked, ReaderThread};
use rustls_pki_types::UnixTime;
use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::mpsc;
use tokio::time::MissedTickBehavior;
use tracing::{error, info, warn};
use watch::Watch;

/// How often files are checked for changes.
const CHECK_INTERVAL: Duration = Duration::from_secs(1);

/// What a log line says after a source was refused.
const STAYS: &str = "the previous version stays in use";

/// Files that are reloaded together.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Source {
    /// The device registry, and the files it names.
    Registry,
    /// The gateway's certificate and key.
    Server,
    /// Trust anchors and revocation lists.
    Clients,
    /// Authorities, certificate and key for TLS to ThingsBoard.
    Upstream,
}

impl Source {
    const ALL: [Source; 4] = [
        Source::Registry,
        Source::Server,
        Source::Clients,
        Source::Upstream,
    ];
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Source::Registry => "device registry",
            Source::Server => "the gateway's certificate and key",
            Source::Clients => "trust anchors and revocation lists",
            Source::Upstream => "authorities and client certificate of the upstream",
        })
    }
}

/// The task that reloads files for a running gateway.
pub(crate) struct Reload {
    sources: Arc<Sources>,
    dtls: dtls::Parameters,
    upstream: Arc<UpstreamServer>,
    /// The registry in use. Kept here too, so that the loop never frees one.
    registry: Arc<Registry>,
    watches: Watches,
}

/// The watched files of each source.
struct Watches {
    registry: Watch,
    server: Watch,
    clients: Watch,
    upstream: Watch,
    configuration: Watch,
}

/// What replaces something.
enum Replacement {
    /// In the gateway's loop.
    Gateway(Change),
    /// For connections to ThingsBoard that are opened from now on.
    Upstream(TlsFiles),
}

/// A source that was read without mistakes.
struct Loaded {
    replacement: Replacement,
    /// When its certificates and lists end.
    ends: Vec<Expiry>,
    /// `Some` if it is a registry.
    registry: Option<(Arc<Registry>, Difference)>,
}

impl Reload {
    /// Reloads these sources for a gateway that starts with `registry` and this upstream. `watched`: the files of each.
    pub(crate) fn new(
        sources: Sources,
        watched: WatchedFiles,
        dtls: dtls::Parameters,
        registry: Arc<Registry>,
        upstream: Arc<UpstreamServer>,
    ) -> Reload {
        Reload {
            sources: Arc::new(sources),
            dtls,
            upstream,
            registry,
            watches: Watches {
                registry: Watch::new(watched.registry),
                server: Watch::new(watched.server),
                clients: Watch::new(watched.clients),
                upstream: Watch::new(watched.upstream),
                configuration: Watch::new(watched.configuration),
            },
        }
    }

    /// Runs until the gateway of this handle ends. Each message of `sighups` reloads all sources; several that came
    /// meanwhile count as one.
    pub(crate) async fn run(
        mut self,
        handle: Handle,
        status: SharedFileStatus,
        mut sighups: mpsc::Receiver<()>,
    ) {
        let reader = match ReaderThread::start() {
            Ok(reader) => reader,
            Err(error) => {
                error!(
                    "no file is reloaded until the next start: the thread can't be started: {error}"
                );
                return;
            }
        };
        let mut checks = tokio::time::interval(CHECK_INTERVAL);
        checks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            let changed = tokio::select! {
                () = handle.ended() => return,
                Some(()) = sighups.recv() => {
                    info!("SIGHUP: reloading registry, certificates and revocation lists");
                    let mut all = Source::ALL.to_vec();
                    all.retain(|source| *source != Source::Upstream || self.sources.has_upstream_files());
                    all
                }
                _ = checks.tick() => match self.check(&reader).await {
                    Ok(changed) => changed,
                    Err(Panicked) => {
                        error!("no file is reloaded until the next start: a bug of the gateway");
                        return;
                    }
                },
            };
            for source in changed {
                self.reload(&handle, &status, &reader, source).await;
            }
        }
    }

    /// Finds the sources whose files have changed. On the reader thread, because a network file system may block.
    async fn check(&mut self, reader: &ReaderThread) -> Result<Vec<Source>, Panicked> {
        let mut watches = std::mem::take(&mut self.watches);
        let checked = reader.run(move || {
            let changed = watches.check(now());
            (watches, changed)
        });
        let changed;
        (self.watches, changed) = checked.await?;
        Ok(changed)
    }

    /// Reads one source, and puts it in use or logs its mistakes.
    async fn reload(
        &mut self,
        handle: &Handle,
        status: &SharedFileStatus,
        reader: &ReaderThread,
        source: Source,
    ) {
        let (sources, dtls) = (self.sources.clone(), self.dtls);
        let before = self.registry.clone();
        let begun = now();
        let reading = reader.run(move || match source {
            Source::Registry => registry(&sources, &before),
            Source::Server => server(&sources, &dtls),
            Source::Clients => clients(&sources),
            Source::Upstream => upstream(&sources),
        });
        let Reading { outcome, watched } = match reading.await {
            Ok(reading) => reading,
            Err(Panicked) => return self.on_panic(status, source),
        };
        *self.watches.of(source) = Watch::new(watched);
        match outcome {
            Ok((loaded, warnings)) => {
                for warning in warnings {
                    warn!("{warning}");
                }
                let former = self.put_in_use(handle, status, source, loaded, begun).await;
                let _ = reader.run(move || drop(former)).await;
            }
            Err(mistakes) => refuse(status, source, &mistakes),
        }
    }

    /// Returns the registry that was in use, if another is now.
    async fn put_in_use(
        &mut self,
        handle: &Handle,
        status: &SharedFileStatus,
        source: Source,
        loaded: Loaded,
        begun: Instant,
    ) -> Option<Arc<Registry>> {
        let Loaded {
            replacement,
            ends,
            registry,
        } = loaded;
        match replacement {
            Replacement::Gateway(change) => {
                if handle.change(change).await.is_err() {
                    return None;
                }
            }
            Replacement::Upstream(files) => {
                if let Err(error) = self.upstream.replace_tls(&files) {
                    status.update(|status| counts(status, source).refused());
                    error!("{source} not reloaded: {error}: {STAYS}");
                    return None;
                }
            }
        }
        status.update(|status| {
            counts(status, source).accepted(Moment::from(unix_time()).seconds());
            match source {
                Source::Registry => {}
                Source::Server => status.server_ends = ends,
                Source::Clients => status.clients_end = ends,
                Source::Upstream => status.upstream_ends = ends,
            }
        });
        let took = now().saturating_duration_since(begun).as_millis();
        let milliseconds = u64::try_from(took).unwrap_or(u64::MAX);
        match registry {
            Some((registry, difference)) => {
                let Difference {
                    added,
                    removed,
                    changed,
                } = difference;
                let devices = registry.len();
                info!(
                    devices,
                    added, removed, changed, milliseconds, "{source} reloaded"
                );
                Some(std::mem::replace(&mut self.registry, registry))
            }
            None => {
                info!(milliseconds, "{source} reloaded");
                None
            }
        }
    }

    /// Counts a panic of the reading as a refusal. The same files are not read again until they change.
    fn on_panic(&mut self, status: &SharedFileStatus, source: Source) {
        self.watches.of(source).settle();
        status.update(|status| counts(status, source).refused());
        error!("{source} not reloaded, which is a bug of the gateway: {STAYS}");
    }
}

fn refuse(status: &SharedFileStatus, source: Source, mistakes: &Mistakes) {
    status.update(|status| counts(status, source).refused());
    for mistake in &mistakes.0 {
        error!("{mistake}");
    }
    error!("{source} not reloaded: {STAYS}");
}

fn counts(status: &mut FileStatus, source: Source) -> &mut ReloadCounts {
    match source {
        Source::Registry => &mut status.registry,
        Source::Server => &mut status.server,
        Source::Clients => &mut status.clients,
        Source::Upstream => &mut status.upstream,
    }
}

impl Default for Watches {
    fn default() -> Watches {
        let none = || Watch::new(Vec::new());
        Watches {
            registry: none(),
            server: none(),
            clients: none(),
            upstream: none(),
            configuration: none(),
        }
    }
}

impl Watches {
    fn of(&mut self, source: Source) -> &mut Watch {
        match source {
            Source::Registry => &mut self.registry,
            Source::Server => &mut self.server,
            Source::Clients => &mut self.clients,
            Source::Upstream => &mut self.upstream,
        }
    }

    fn check(&mut self, now: Instant) -> Vec<Source> {
        let stamp_of = |file: &WatchedFile| Stamp::of(&file.path);
        if self.configuration.check(now, stamp_of) {
            info!("the configuration file has changed, which takes effect at the next start");
            self.configuration = Watch::new(Vec::new());
        }
        let mut changed = Source::ALL.to_vec();
        changed.retain(|source| self.of(*source).check(now, stamp_of));
        changed
    }
}

fn registry(sources: &Sources, before: &Arc<Registry>) -> Reading<Loaded> {
    sources.read_registry(before).map(|registry| {
        let difference = registry.difference_from(before);
        let registry = Arc::new(registry);
        Loaded {
            replacement: Replacement::Gateway(Change::Registry(registry.clone())),
            ends: Vec::new(),
            registry: Some((registry, difference)),
        }
    })
}

fn server(sources: &Sources, dtls: &dtls::Parameters) -> Reading<Loaded> {
    let reading = sources.read_server(unix_time());
    reading.and_then("server.certificate", |server| {
        let engine = engine::Settings::new(&server, dtls)?;
        Ok::<_, engine::SettingsError>(Loaded {
            replacement: Replacement::Gateway(Change::Server(engine)),
            ends: server.expiries().collect(),
            registry: None,
        })
    })
}

fn clients(sources: &Sources) -> Reading<Loaded> {
    sources.read_clients(unix_time()).map(|clients| Loaded {
        ends: clients.expiries().collect(),
        replacement: Replacement::Gateway(Change::Clients(clients)),
        registry: None,
    })
}

fn upstream(sources: &Sources) -> Reading<Loaded> {
    sources.read_upstream(unix_time()).map(|files| Loaded {
        ends: file_status::upstream_ends(&files),
        replacement: Replacement::Upstream(files),
        registry: None,
    })
}

#[expect(
    clippy::disallowed_methods,
    reason = "files change in real time; what decides takes the time as a parameter"
)]
fn now() -> Instant {
    Instant::now()
}

fn unix_time() -> UnixTime {
    UnixTime::now()
}
