//! The tables of the store.

/// A table. Its number is part of what a row is authenticated with, so it never gets another one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Table {
    /// Established sessions, by the number of their place.
    Sessions,
    /// What changes with each record of a session, by the same key, so that little is written for it. A row belongs to the
    /// session's row that was written before it: another one deletes it.
    Windows,
}

impl Table {
    pub(crate) const fn number(self) -> u8 {
        match self {
            Table::Sessions => 1,
            Table::Windows => 2,
        }
    }
}

/// A table, and a key in it. Keys have 63 bits, as SQLite's have.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Place {
    pub(crate) table: Table,
    pub(crate) key: u64,
}

impl Place {
    pub(crate) const fn session(key: u64) -> Place {
        Place {
            table: Table::Sessions,
            key,
        }
    }

    pub(crate) const fn window(key: u64) -> Place {
        Place {
            table: Table::Windows,
            key,
        }
    }
}
