//! How often files were read again, and what of what was read ends when: for those who operate the gateway.

use crate::dtls::credentials::{Ends, Moment, What};
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

/// What is read again, each whole or not at all.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Source {
    /// The device registry, and the files it names.
    Registry,
    /// The gateway's certificate and key.
    Server,
    /// Trust anchors and revocation lists.
    Clients,
}

impl Source {
    /// All there are.
    pub const ALL: [Source; 3] = [Source::Registry, Source::Server, Source::Clients];

    /// Its name in metrics.
    pub fn name(self) -> &'static str {
        match self {
            Source::Registry => "registry",
            Source::Server => "server",
            Source::Clients => "clients",
        }
    }
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

/// How often one source was read again.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub struct Tally {
    /// Times it was put in force.
    pub accepted: u64,
    /// Times it was refused for mistakes in it.
    pub refused: u64,
    /// When it was put in force last, the start included.
    pub since: Option<Moment>,
}

/// What is counted, shared by who counts and who tells.
#[derive(Debug, Default, Clone)]
pub struct Tallies(Arc<Mutex<Told>>);

/// What [`Tallies`] tell.
#[derive(Debug, Default, Clone)]
pub struct Told {
    /// For each of [`Source::ALL`], in that order.
    pub tallies: [Tally; 3],
    /// Of the server's certificate, trust anchors and revocation lists in force.
    pub endings: Vec<Ends>,
}

impl Tallies {
    /// What there is now.
    pub fn told(&self) -> Told {
        self.note(|told| told.clone())
    }

    /// Puts something down.
    pub(super) fn note<T>(&self, note: impl FnOnce(&mut Told) -> T) -> T {
        note(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Told {
    /// One source's.
    pub fn of(&mut self, source: Source) -> &mut Tally {
        let [registry, server, clients] = &mut self.tallies;
        match source {
            Source::Registry => registry,
            Source::Server => server,
            Source::Clients => clients,
        }
    }

    /// Puts what ends of the server's, or of the clients', in the place of what was told of it before.
    pub(super) fn replace(&mut self, source: Source, endings: impl IntoIterator<Item = Ends>) {
        let is_of = |ends: &Ends| match ends.what {
            What::Server => source == Source::Server,
            What::TrustAnchor | What::RevocationList => source == Source::Clients,
        };
        self.endings.retain(|ends| !is_of(ends));
        self.endings.extend(endings);
    }
}
