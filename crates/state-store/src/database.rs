//! The database: SQLite, with its write-ahead log, used by one connection.
//!
//! | Table | Has |
//! |---|---|
//! | `generations` | each opening of the store of which rows are left, and the last one: its number, salt and proof of the key |
//! | `progress` | the number of the last commit |
//! | `sessions` | rows: key, and the encrypted value |
//! | `windows` | the same, for what changes with each record of a session |
//! | `records` | kind, key, and the encrypted value |
//!
//! A commit is on disk when it returns (`synchronous = FULL`). Freed space is overwritten with zeros (`secure_delete`), so that
//! no old row is left where a damaged pointer might find it, nor a closed session's keys.

mod reading;

use crate::changes::{Changes, RecordChange, SessionChange};
use crate::disk_error::DiskError;
use crate::place::Place;
use crate::queue::Batch;
use crate::seal::{FORMAT, Generation, NotSealed, Sealer};
use crate::send_numbers::stored_bound;
use crate::varint;
use crate::writer::Disk;
use crate::{MAX_ROW, commits::Commits};
pub(crate) use reading::{Contents, Row, Unreadable};
use rusqlite::config::DbConfig;
use rusqlite::limits::Limit;
use rusqlite::types::FromSql;
use rusqlite::{Connection, OpenFlags, Transaction, TransactionBehavior, ffi, params};
use std::collections::{BTreeSet, HashMap};
use std::path::Path;

/// `CoGS` in the header of the database file.
const APPLICATION: i64 = 0x436f_4753;
/// Bytes of SQLite's page cache, in KiB.
const CACHE_KIB: i64 = 8 * 1024;
/// The longest value: a row, and what it is longer by on disk.
const MAX_VALUE: i32 = 128 * 1024;
/// The tables, as SQLite keeps their text.
const SCHEMA: [(&str, &str); 5] = [
    (
        "generations",
        "CREATE TABLE generations (number INTEGER PRIMARY KEY, salt BLOB NOT NULL, proof BLOB NOT NULL) STRICT",
    ),
    (
        "progress",
        "CREATE TABLE progress (id INTEGER PRIMARY KEY, commits INTEGER NOT NULL) STRICT",
    ),
    (
        "records",
        "CREATE TABLE records (kind INTEGER NOT NULL, key BLOB NOT NULL, value BLOB NOT NULL, PRIMARY KEY (kind, key)) WITHOUT ROWID, STRICT",
    ),
    (
        "sessions",
        "CREATE TABLE sessions (key INTEGER PRIMARY KEY, value BLOB NOT NULL) STRICT",
    ),
    (
        "windows",
        "CREATE TABLE windows (key INTEGER PRIMARY KEY, value BLOB NOT NULL) STRICT",
    ),
];
const _: () = assert!(MAX_ROW + 1024 < 128 * 1024);

/// The connection, without a key: as much as is needed to look at a database, and to create one.
pub(crate) struct Database {
    connection: Connection,
}

impl Database {
    /// Connects to a file that is there. Writes nothing.
    pub(crate) fn connect(path: &Path) -> Result<Database, rusqlite::Error> {
        let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let connection = Connection::open_with_flags(path, flags)?;
        if connection.is_readonly("main")? {
            // SQLite falls back to reading where it may not write.
            let error = ffi::Error::new(ffi::SQLITE_READONLY);
            let text = "the database may not be written to".to_owned();
            return Err(rusqlite::Error::SqliteFailure(error, Some(text)));
        }
        for (setting, value) in [
            // A database that is set aside stays as it was.
            (DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true),
            // What a database brings along is not executed.
            (DbConfig::SQLITE_DBCONFIG_DEFENSIVE, true),
            (DbConfig::SQLITE_DBCONFIG_TRUSTED_SCHEMA, false),
            (DbConfig::SQLITE_DBCONFIG_ENABLE_TRIGGER, false),
            (DbConfig::SQLITE_DBCONFIG_ENABLE_VIEW, false),
        ] {
            connection.set_db_config(setting, value)?;
        }
        connection.set_limit(Limit::SQLITE_LIMIT_LENGTH, MAX_VALUE)?;
        // First, before anything is read: then the index of the log is in memory, and no file of its own.
        connection.execute_batch(
            "PRAGMA locking_mode = EXCLUSIVE; PRAGMA synchronous = FULL; PRAGMA cell_size_check = ON;
             PRAGMA secure_delete = ON; PRAGMA temp_store = MEMORY; PRAGMA mmap_size = 0;
             PRAGMA journal_size_limit = 4194304",
        )?;
        connection.pragma_update(None, "cache_size", -CACHE_KIB)?;
        Ok(Database { connection })
    }

    /// Creates the tables in an empty file.
    pub(crate) fn create(&mut self) -> Result<(), rusqlite::Error> {
        // Both before anything else is written.
        self.connection
            .execute_batch("PRAGMA auto_vacuum = INCREMENTAL; PRAGMA journal_mode = WAL")?;
        let transaction = self.transaction()?;
        transaction.pragma_update(None, "application_id", APPLICATION)?;
        transaction.pragma_update(None, "user_version", FORMAT)?;
        for (_, text) in SCHEMA {
            transaction.execute_batch(text)?;
        }
        transaction.execute("INSERT INTO progress VALUES (1, 0)", [])?;
        transaction.commit()
    }

    /// Puts a generation on disk, before anything is written or sent in it, and forgets those of which no row is left.
    pub(crate) fn begin(
        &mut self,
        generation: &Generation,
        proof: &[u8],
        in_use: &BTreeSet<u32>,
        commit: u64,
    ) -> Result<(), rusqlite::Error> {
        let transaction = self.transaction()?;
        let numbers: Vec<u32> = {
            let mut statement = transaction.prepare("SELECT number FROM generations")?;
            let numbers = statement.query_map([], |row| row.get(0))?;
            numbers.collect::<Result<_, _>>()?
        };
        for number in numbers.iter().filter(|number| !in_use.contains(number)) {
            transaction.execute("DELETE FROM generations WHERE number = ?1", [number])?;
        }
        let values = params![generation.number, generation.salt, proof];
        transaction.execute("INSERT INTO generations VALUES (?1, ?2, ?3)", values)?;
        progress(&transaction, commit)?;
        transaction.commit()
    }

    fn transaction(&mut self) -> Result<Transaction<'_>, rusqlite::Error> {
        self.connection
            .transaction_with_behavior(TransactionBehavior::Immediate)
    }

    fn pragma<T: FromSql>(&self, name: &str) -> Result<T, rusqlite::Error> {
        self.connection
            .pragma_query_value(None, name, |row| row.get(0))
    }
}

fn progress(transaction: &Transaction<'_>, commit: u64) -> Result<(), rusqlite::Error> {
    let commit = commit.cast_signed();
    transaction.execute("UPDATE progress SET commits = ?1 WHERE id = 1", [commit])?;
    Ok(())
}

/// The database of a store that is written to.
pub(crate) struct Writing {
    database: Database,
    rows: RowSealer,
    commits: Commits,
    /// The last commit.
    commit: u64,
}

impl Writing {
    pub(crate) fn new(
        database: Database,
        sealer: Sealer,
        commits: Commits,
        commit: u64,
    ) -> Writing {
        commits.write(commit);
        Writing {
            database,
            rows: RowSealer {
                sealer,
                sealed: Vec::new(),
            },
            commits,
            commit,
        }
    }
}

impl Disk for Writing {
    fn commit(&mut self, batch: &Batch) -> Result<(), DiskError> {
        let commit = self.commit.saturating_add(1);
        let transaction = self.database.transaction()?;
        write_sessions(&transaction, &mut self.rows, &batch.changes)?;
        write_windows(&transaction, &mut self.rows, &batch.changes)?;
        write_records(&transaction, &mut self.rows, &batch.changes)?;
        progress(&transaction, commit)?;
        transaction.commit()?;
        self.commit = commit;
        self.commits.write(commit);
        Ok(())
    }

    fn tidy(&mut self) -> Result<(), DiskError> {
        let connection = &self.database.connection;
        let free: i64 = self.database.pragma("freelist_count")?;
        let pages: i64 = self.database.pragma("page_count")?;
        // A quarter is left to what comes next.
        if free > 256 && free > pages / 4 {
            connection.execute_batch("PRAGMA incremental_vacuum")?;
        }
        connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(()))?;
        Ok(())
    }
}

/// Encrypts rows, one after the other in the same memory.
struct RowSealer {
    sealer: Sealer,
    sealed: Vec<u8>,
}

impl RowSealer {
    fn seal(&mut self, place: Place<'_>, parts: [&[u8]; 2]) -> Result<&[u8], DiskError> {
        let sealed = self.sealer.seal_into(&mut self.sealed, place, parts);
        match sealed {
            Ok(()) => Ok(&self.sealed),
            Err(NotSealed) => Err(DiskError::Failed("a row can't be encrypted".to_owned())),
        }
    }
}

/// Changes of a table in the order of its keys, so that each page is visited once.
fn in_order<K: Ord, V>(changes: &HashMap<K, V>) -> Vec<(&K, &V)> {
    let mut changes: Vec<_> = changes.iter().collect();
    changes.sort_unstable_by_key(|(key, _)| *key);
    changes
}

fn write_sessions(
    transaction: &Transaction<'_>,
    rows: &mut RowSealer,
    changes: &Changes,
) -> Result<(), DiskError> {
    if changes.sessions.is_empty() {
        return Ok(());
    }
    let prepare = |text| transaction.prepare(text);
    let mut put = prepare("INSERT OR REPLACE INTO sessions VALUES (?1, ?2)")?;
    let mut delete = prepare("DELETE FROM sessions WHERE key = ?1")?;
    let mut delete_window = prepare("DELETE FROM windows WHERE key = ?1")?;
    let mut front = Vec::new();
    for (&key, change) in in_order(&changes.sessions) {
        delete_window.execute([key.cast_signed()])?;
        match change {
            SessionChange::Put { bound, row } => {
                front.clear();
                varint::put(&mut front, stored_bound(*bound));
                let sealed = rows.seal(Place::Session(key), [&front, row])?;
                put.execute(params![key.cast_signed(), sealed])?;
            }
            SessionChange::Delete => {
                delete.execute([key.cast_signed()])?;
            }
        }
    }
    Ok(())
}

/// After the sessions: each belongs to the row that is there then.
fn write_windows(
    transaction: &Transaction<'_>,
    rows: &mut RowSealer,
    changes: &Changes,
) -> Result<(), DiskError> {
    if changes.windows.is_empty() {
        return Ok(());
    }
    let mut put = transaction.prepare("INSERT OR REPLACE INTO windows VALUES (?1, ?2)")?;
    for (&key, window) in in_order(&changes.windows) {
        let sealed = rows.seal(Place::Window(key), [window.bytes(), &[]])?;
        put.execute(params![key.cast_signed(), sealed])?;
    }
    Ok(())
}

fn write_records(
    transaction: &Transaction<'_>,
    rows: &mut RowSealer,
    changes: &Changes,
) -> Result<(), DiskError> {
    if changes.records.is_empty() {
        return Ok(());
    }
    let prepare = |text| transaction.prepare(text);
    let mut put = prepare("INSERT OR REPLACE INTO records VALUES (?1, ?2, ?3)")?;
    let mut delete = prepare("DELETE FROM records WHERE kind = ?1 AND key = ?2")?;
    for (key, change) in in_order(&changes.records) {
        match change {
            RecordChange::Put(value) => {
                let sealed = rows.seal(Place::Record(key), [value, &[]])?;
                put.execute(params![key.kind.0, &key.key[..], sealed])?;
            }
            RecordChange::Delete => {
                delete.execute(params![key.kind.0, &key.key[..]])?;
            }
        }
    }
    Ok(())
}
