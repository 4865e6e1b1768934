//! Reading a database that may be damaged, newer, or of another key.

use super::{APPLICATION, Database, SCHEMA};
use crate::key::StoreKey;
use crate::place::Place;
use crate::record::{Kind, RecordKey};
use crate::seal::{FORMAT, Generation, RowKey, generation_of};
use rusqlite::ffi::ErrorCode;
use rusqlite::types::ValueRef;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use zeroize::Zeroizing;

/// Why a database is not used.
#[derive(Debug)]
pub(crate) enum Unreadable {
    /// It was written by a later version.
    Newer(i64),
    /// It was written with another key.
    OtherKey,
    /// It is not as it was written.
    Damaged(String),
    /// The disk fails, which says nothing about the database.
    Io(rusqlite::Error),
}

impl From<rusqlite::Error> for Unreadable {
    fn from(error: rusqlite::Error) -> Unreadable {
        match error.sqlite_error_code() {
            Some(
                ErrorCode::CannotOpen
                | ErrorCode::SystemIoFailure
                | ErrorCode::DiskFull
                | ErrorCode::PermissionDenied
                | ErrorCode::ReadOnly
                | ErrorCode::OutOfMemory
                | ErrorCode::DatabaseBusy
                | ErrorCode::DatabaseLocked
                | ErrorCode::FileLockingProtocolFailed
                | ErrorCode::NoLargeFileSupport,
            ) => Unreadable::Io(error),
            _ => Unreadable::Damaged(error.to_string()),
        }
    }
}

fn damaged(what: &str) -> Unreadable {
    Unreadable::Damaged(what.to_owned())
}

/// What a database has, besides rows. All of them were checked.
pub(crate) struct Contents {
    keys: HashMap<u32, RowKey>,
    /// The highest number of a generation.
    pub(crate) last_generation: u32,
    /// The generations of which there are rows.
    pub(crate) in_use: BTreeSet<u32>,
    pub(crate) sessions: u64,
    /// How many records there are of each kind.
    pub(crate) records: BTreeMap<Kind, u64>,
    /// The last commit.
    pub(crate) commit: u64,
}

impl Database {
    /// Whether nothing was ever written to it but what SQLite writes first.
    pub(crate) fn is_empty(&self) -> Result<bool, Unreadable> {
        let tables: i64 =
            (self.connection)
                .query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get(0))?;
        let application: i64 = self.pragma("application_id")?;
        Ok(tables == 0 && application == 0)
    }

    /// Checks everything, and decrypts each row once.
    pub(crate) fn check(&self, key: &StoreKey, commits: u64) -> Result<Contents, Unreadable> {
        if self.pragma::<i64>("application_id")? != APPLICATION {
            return Err(damaged("it is not a store of sessions"));
        }
        match self.pragma::<i64>("user_version")? {
            version if version == i64::from(FORMAT) => {}
            version if version > i64::from(FORMAT) => return Err(Unreadable::Newer(version)),
            _ => return Err(damaged("its version is unknown")),
        }
        self.check_schema()?;
        if self.pragma::<String>("journal_mode")? != "wal" {
            return Err(damaged("it has no write-ahead log"));
        }
        // It was not when it was opened, so it is by a version in its header.
        if self.connection.is_readonly("main")? {
            return Err(damaged("its header has an unknown version"));
        }
        let check = "PRAGMA quick_check(1)";
        let sound: String = self.connection.query_row(check, [], |row| row.get(0))?;
        if sound != "ok" {
            return Err(Unreadable::Damaged(
                sound.lines().take(2).collect::<Vec<_>>().join(" "),
            ));
        }
        let progress = "SELECT commits FROM progress WHERE id = 1";
        let commit: i64 = self.connection.query_row(progress, [], |row| row.get(0))?;
        let commit = commit.cast_unsigned();
        if commit < commits {
            return Err(damaged("its last changes are lost"));
        }
        let mut contents = self.generations(key)?;
        contents.commit = commit;
        let (mut in_use, mut sessions) = (BTreeSet::new(), 0_u64);
        self.sessions(&contents, |_, session, window| {
            in_use.insert(session.generation);
            in_use.extend(window.map(|window| window.generation));
            sessions = sessions.saturating_add(1);
        })?;
        let mut records = BTreeMap::new();
        self.records(&contents, None, |key, value| {
            in_use.insert(value.generation);
            let count: &mut u64 = records.entry(key.kind).or_default();
            *count = count.saturating_add(1);
        })?;
        (contents.sessions, contents.records) = (sessions, records);
        contents.in_use = in_use;
        Ok(contents)
    }

    fn check_schema(&self) -> Result<(), Unreadable> {
        let query = "SELECT name, sql FROM sqlite_schema ORDER BY name";
        let mut statement = self.connection.prepare(query)?;
        let mut rows = statement.query([])?;
        let mut expected = SCHEMA.iter();
        while let Some(row) = rows.next()? {
            let found: (String, String) = (row.get(0)?, row.get(1)?);
            if expected.next() != Some(&(found.0.as_str(), found.1.as_str())) {
                return Err(damaged("its tables are others"));
            }
        }
        match expected.next() {
            None => Ok(()),
            Some(_) => Err(damaged("a table is missing")),
        }
    }

    /// The generations, and their keys.
    fn generations(&self, key: &StoreKey) -> Result<Contents, Unreadable> {
        let query = "SELECT number, salt, proof FROM generations";
        let mut statement = self.connection.prepare(query)?;
        let mut rows = statement.query([])?;
        let mut contents = Contents {
            keys: HashMap::new(),
            last_generation: 0,
            in_use: BTreeSet::new(),
            sessions: 0,
            records: BTreeMap::new(),
            commit: 0,
        };
        let (mut proved, mut all) = (0_usize, 0_usize);
        while let Some(row) = rows.next()? {
            let generation = Generation {
                number: row.get(0)?,
                salt: row.get(1)?,
            };
            all = all.saturating_add(1);
            if generation.is_proved_by(key, row.get_ref(2)?.as_blob().unwrap_or_default()) {
                proved = proved.saturating_add(1);
                let row_key = RowKey::new(key, &generation);
                let row_key = row_key.ok_or_else(|| damaged("a key can't be derived"))?;
                contents.keys.insert(generation.number, row_key);
                contents.last_generation = contents.last_generation.max(generation.number);
            }
        }
        match proved {
            0 if all > 0 => Err(Unreadable::OtherKey),
            _ if proved < all => Err(damaged("a generation is not authentic")),
            _ => Ok(contents),
        }
    }

    /// Decrypts every row of a session, and what is beside it, by rising keys.
    pub(crate) fn sessions(
        &self,
        contents: &Contents,
        mut each: impl FnMut(u64, Row, Option<Row>),
    ) -> Result<(), Unreadable> {
        let query = "SELECT s.key, s.value, w.value FROM sessions s LEFT JOIN windows w ON w.key = s.key ORDER BY s.key";
        let mut statement = self.connection.prepare(query)?;
        let mut rows = statement.query([])?;
        while let Some(row) = rows.next()? {
            let key = row.get::<_, i64>(0)?.cast_unsigned();
            let session = contents.open(Place::Session(key), row.get_ref(1)?)?;
            let sealed = row.get_ref(2)?;
            let window = (sealed != ValueRef::Null)
                .then(|| contents.open(Place::Window(key), sealed))
                .transpose()?;
            each(key, session, window);
        }
        Ok(())
    }

    /// Decrypts every record, or those of a kind, by rising keys.
    pub(crate) fn records(
        &self,
        contents: &Contents,
        kind: Option<Kind>,
        mut each: impl FnMut(RecordKey, Row),
    ) -> Result<(), Unreadable> {
        let query =
            "SELECT kind, key, value FROM records WHERE kind BETWEEN ?1 AND ?2 ORDER BY kind, key";
        let mut statement = self.connection.prepare(query)?;
        let kinds = kind.map_or((i64::MIN, i64::MAX), |Kind(kind)| {
            (kind.into(), kind.into())
        });
        let mut rows = statement.query(kinds)?;
        while let Some(row) = rows.next()? {
            let malformed = || damaged("the key of a record is malformed");
            let kind = row.get::<_, u8>(0).map_err(|_| malformed())?;
            let key = row.get_ref(1)?.as_blob().map_err(|_| malformed())?;
            let key = RecordKey::new(Kind(kind), key).map_err(|_| malformed())?;
            let value = contents.open(Place::Record(&key), row.get_ref(2)?)?;
            each(key, value);
        }
        Ok(())
    }
}

/// A row, decrypted.
pub(crate) struct Row {
    /// The generation in which it was written.
    pub(crate) generation: u32,
    pub(crate) value: Zeroizing<Vec<u8>>,
}

impl Contents {
    fn open(&self, place: Place<'_>, sealed: ValueRef<'_>) -> Result<Row, Unreadable> {
        let open = || {
            let sealed = sealed.as_blob().ok()?;
            let generation = generation_of(sealed)?;
            let value = self.keys.get(&generation)?.open(place, sealed).ok()?;
            Some(Row { generation, value })
        };
        let not_authentic = || Unreadable::Damaged(format!("{place} is not authentic"));
        open().ok_or_else(not_authentic)
    }
}
