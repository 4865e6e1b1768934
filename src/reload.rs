//! Files are read again while the gateway runs, and take the place of what was read before.
//!
//! Three sources, each whole or not at all: the registry (with the token and certificate files it names), the gateway's
//! certificate and key, the trust anchors and revocation lists. [`watch`] says when files have changed; SIGHUP has all
//! read. What holds mistakes is refused, told line by line as `check` tells it, and counted; what was read before stays
//! in force. `gateway.toml` itself is read at the start only.
//!
//! Reading happens on a thread of its own, and so does the freeing of a registry that is no longer wanted: the loop
//! that serves devices only swaps one reference for another.

mod desk;
pub mod files;
mod watch;

use crate::config::{Mistakes, Reading, Sources, Stamp, WatchedFile, WatchedFiles};
use crate::device::{Difference, Registry};
use crate::dtls::credentials::{Ends, Moment};
use crate::dtls::{self, engine};
use crate::gateway::{Change, Handle};
use desk::{Desk, Panicked};
use files::{Files, FilesRead, Reloads};
use rustls_pki_types::UnixTime;
use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::mpsc;
use tokio::time::MissedTickBehavior;
use tracing::{error, info, warn};
use watch::Watch;

/// How often files are looked at.
const EVERY: Duration = Duration::from_secs(1);

const STAYS: &str = "what was read before stays in force";

/// What is read again, each whole or not at all.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Source {
    /// The device registry, and the files it names.
    Registry,
    /// The gateway's certificate and key.
    Server,
    /// Trust anchors and revocation lists.
    Clients,
}

impl Source {
    /// All there are.
    const ALL: [Source; 3] = [Source::Registry, Source::Server, Source::Clients];
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Source::Registry => "device registry",
            Source::Server => "the gateway's certificate and key",
            Source::Clients => "trust anchors and revocation lists",
        })
    }
}

/// Reads files again for a gateway that runs.
pub struct Reload {
    sources: Arc<Sources>,
    dtls: dtls::Parameters,
    /// The one in force. Kept here too, so that the loop never frees one.
    registry: Arc<Registry>,
    watches: Watches,
}

/// What is watched.
struct Watches {
    registry: Watch,
    server: Watch,
    clients: Watch,
    configuration: Watch,
}

/// What was read, valid, and ready to take its place.
struct Ready {
    change: Change,
    /// What ends of it.
    ends: Vec<Ends>,
    /// If it is a registry.
    registry: Option<(Arc<Registry>, Difference)>,
}

impl Reload {
    /// Reads these sources again for a gateway that starts with `registry`. `watched`: the files of each.
    pub fn new(
        sources: Sources,
        watched: WatchedFiles,
        dtls: dtls::Parameters,
        registry: Arc<Registry>,
    ) -> Reload {
        Reload {
            sources: Arc::new(sources),
            dtls,
            registry,
            watches: Watches {
                registry: Watch::new(watched.registry),
                server: Watch::new(watched.server),
                clients: Watch::new(watched.clients),
                configuration: Watch::new(watched.configuration),
            },
        }
    }

    /// Watches until the gateway with this handle ends. All is read at each hang-up; those that come meanwhile are one.
    /// What is read is written down in `files`.
    pub async fn run(mut self, handle: Handle, files: Files, mut hang_ups: mpsc::Receiver<()>) {
        let desk = match Desk::new() {
            Ok(desk) => desk,
            Err(error) => {
                error!(
                    "no file will be read again before the next start: no thread for it ({error})"
                );
                return;
            }
        };
        let mut looks = tokio::time::interval(EVERY);
        looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            let due = tokio::select! {
                () = handle.ended() => return,
                Some(()) = hang_ups.recv() => {
                    info!("SIGHUP: reading registry, certificates and revocation lists again");
                    Source::ALL.to_vec()
                }
                _ = looks.tick() => match self.look(&desk).await {
                    Ok(due) => due,
                    Err(Panicked) => {
                        error!("no file will be read again before the next start: a fault of the gateway");
                        return;
                    }
                },
            };
            for source in due {
                self.read_again(&handle, &files, &desk, source).await;
            }
        }
    }

    /// Which sources' files have changed. Not done here: a network's file system may keep a look waiting.
    async fn look(&mut self, desk: &Desk) -> Result<Vec<Source>, Panicked> {
        let mut watches = std::mem::take(&mut self.watches);
        let looked = desk.run(move || {
            let due = watches.look(now());
            (watches, due)
        });
        let due;
        (self.watches, due) = looked.await?;
        Ok(due)
    }

    /// Reads one source, and puts it in force or tells what is wrong with it.
    async fn read_again(&mut self, handle: &Handle, files: &Files, desk: &Desk, source: Source) {
        let (sources, dtls) = (self.sources.clone(), self.dtls);
        let before = self.registry.clone();
        let begun = now();
        let reading = desk.run(move || match source {
            Source::Registry => registry(&sources, &before),
            Source::Server => server(&sources, &dtls),
            Source::Clients => clients(&sources),
        });
        let Reading { outcome, watched } = match reading.await {
            Ok(reading) => reading,
            Err(Panicked) => return self.give_up(files, source),
        };
        *self.watches.of(source) = Watch::new(watched);
        match outcome {
            Ok((ready, warnings)) => {
                for warning in warnings {
                    warn!("{warning}");
                }
                let former = self.put_in_force(handle, files, source, ready, begun).await;
                // Nothing can go wrong with that, and nobody waits for it.
                let _ = desk.run(move || drop(former)).await;
            }
            Err(mistakes) => refuse(files, source, &mistakes),
        }
    }

    /// Gives back the registry that was in force, if it is another now.
    async fn put_in_force(
        &mut self,
        handle: &Handle,
        files: &Files,
        source: Source,
        ready: Ready,
        begun: Instant,
    ) -> Option<Arc<Registry>> {
        let Ready {
            change,
            ends,
            registry,
        } = ready;
        if handle.change(change).await.is_err() {
            return None;
        }
        files.update(|files| {
            reloads(files, source).accepted(Moment::from(unix_time()).seconds());
            match source {
                Source::Registry => {}
                Source::Server => files.server_ends = ends,
                Source::Clients => files.clients_end = ends,
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
                    added, removed, changed, milliseconds, "{source} read again"
                );
                Some(std::mem::replace(&mut self.registry, registry))
            }
            None => {
                info!(milliseconds, "{source} read again");
                None
            }
        }
    }

    /// For a panic over what was read: a fault of ours, and no reason to try the same again each second.
    fn give_up(&mut self, files: &Files, source: Source) {
        self.watches.of(source).settle();
        files.update(|files| reloads(files, source).refused());
        error!("{source}: reading failed, which is a fault of the gateway; {STAYS}");
    }
}

fn refuse(files: &Files, source: Source, mistakes: &Mistakes) {
    files.update(|files| reloads(files, source).refused());
    for mistake in &mistakes.0 {
        error!("{mistake}");
    }
    error!("{source} not taken over: {STAYS}");
}

/// Where it is written down how often a source was read.
fn reloads(files: &mut FilesRead, source: Source) -> &mut Reloads {
    match source {
        Source::Registry => &mut files.registry,
        Source::Server => &mut files.server,
        Source::Clients => &mut files.clients,
    }
}

impl Default for Watches {
    /// Nothing.
    fn default() -> Watches {
        let nothing = || Watch::new(Vec::new());
        Watches {
            registry: nothing(),
            server: nothing(),
            clients: nothing(),
            configuration: nothing(),
        }
    }
}

impl Watches {
    fn of(&mut self, source: Source) -> &mut Watch {
        match source {
            Source::Registry => &mut self.registry,
            Source::Server => &mut self.server,
            Source::Clients => &mut self.clients,
        }
    }

    fn look(&mut self, now: Instant) -> Vec<Source> {
        let stamp_of = |file: &WatchedFile| Stamp::of(&file.path);
        if self.configuration.look(now, stamp_of) {
            info!("the configuration file has changed: that takes effect at the next start");
            self.configuration = Watch::new(Vec::new());
        }
        let mut due = Source::ALL.to_vec();
        due.retain(|source| self.of(*source).look(now, stamp_of));
        due
    }
}

fn registry(sources: &Sources, before: &Arc<Registry>) -> Reading<Ready> {
    sources.read_registry(before).map(|registry| {
        let difference = registry.difference_from(before);
        let registry = Arc::new(registry);
        Ready {
            change: Change::Registry(registry.clone()),
            ends: Vec::new(),
            registry: Some((registry, difference)),
        }
    })
}

fn server(sources: &Sources, dtls: &dtls::Parameters) -> Reading<Ready> {
    let reading = sources.read_server(unix_time());
    reading.and_then("server.certificate", |server| {
        let engine = engine::Settings::new(&server, dtls)?;
        Ok::<_, engine::SettingsError>(Ready {
            change: Change::Server(engine),
            ends: server.ends().into_iter().collect(),
            registry: None,
        })
    })
}

fn clients(sources: &Sources) -> Reading<Ready> {
    sources.read_clients(unix_time()).map(|clients| Ready {
        ends: clients.dates().collect(),
        change: Change::Clients(clients),
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
