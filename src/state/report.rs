//! What there is to say of the store: how many sessions came back, and why others did not.

/// Why a stored session is not gone on with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum NotRestored {
    /// It was silent for longer than `limits.session_idle`.
    Idle,
    /// Its certificate is not in the registry.
    NotRegistered,
    /// Its certificate is not accepted any more: it has ended, is revoked, or its issuer is no trust anchor.
    NotAccepted,
    /// Its version, cipher suite, key exchange or length of connection ID is not among the settings any more.
    NotAllowed,
    /// `limits.sessions` are restored, or another session has its connection ID or path.
    NoRoom,
    /// Its row can't be read.
    Unreadable,
}

impl NotRestored {
    pub(crate) const ALL: [NotRestored; 6] = [
        NotRestored::Idle,
        NotRestored::NotRegistered,
        NotRestored::NotAccepted,
        NotRestored::NotAllowed,
        NotRestored::NoRoom,
        NotRestored::Unreadable,
    ];

    /// As metrics and log lines have it.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            NotRestored::Idle => "idle",
            NotRestored::NotRegistered => "not_registered",
            NotRestored::NotAccepted => "not_accepted",
            NotRestored::NotAllowed => "not_allowed",
            NotRestored::NoRoom => "no_room",
            NotRestored::Unreadable => "unreadable",
        }
    }

    const fn index(self) -> usize {
        match self {
            NotRestored::Idle => 0,
            NotRestored::NotRegistered => 1,
            NotRestored::NotAccepted => 2,
            NotRestored::NotAllowed => 3,
            NotRestored::NoRoom => 4,
            NotRestored::Unreadable => 5,
        }
    }
}

/// What became of the stored sessions at the start.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Restored {
    /// Sessions that go on.
    pub(crate) sessions: u64,
    not_restored: [u64; NotRestored::ALL.len()],
}

impl Restored {
    /// Counts a session that does not go on.
    pub(crate) fn count_not(&mut self, why: NotRestored) {
        if let Some(count) = self.not_restored.get_mut(why.index()) {
            *count = count.saturating_add(1);
        }
    }

    /// Those that do not go on, for each reason.
    pub(crate) fn not_restored(&self) -> impl Iterator<Item = (NotRestored, u64)> {
        NotRestored::ALL.into_iter().zip(self.not_restored)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_reason_has_its_count() {
        let mut restored = Restored::default();
        for (times, why) in NotRestored::ALL.into_iter().enumerate() {
            (0..=times).for_each(|_| restored.count_not(why));
        }
        let counts: Vec<_> = restored.not_restored().collect();
        let expected = NotRestored::ALL.into_iter().zip(1..);
        assert_eq!(counts, expected.collect::<Vec<_>>());
    }
}
