//! A store of files.

use super::restore::{Source, StoredRow};
use crate::commits::Commits;
use crate::database::{Contents, Database, Row, Unreadable, Writing};
use crate::directory::Directory;
use crate::disk_error::DiskError;
use crate::key::StoreKey;
use crate::record::{Kind, RecordKey};
use crate::seal::{Generation, RowKey, Sealer};
use crate::send_numbers::{BLOCK, Block, bound_that_was_stored};
use crate::store::{Settings, Store};
use crate::varint;
use crate::writer::OnEvent;
use std::collections::BTreeMap;
use zeroize::Zeroizing;

/// A directory that is locked, and a database in it that was found in order.
pub(super) struct Files {
    directory: Directory,
    database: Database,
    contents: Contents,
    generation: u32,
    sealer: Sealer,
}

impl Files {
    /// Puts a new generation on disk.
    pub(super) fn begin(
        directory: Directory,
        mut database: Database,
        mut contents: Contents,
        key: &StoreKey,
    ) -> Result<Files, DiskError> {
        let failed = |what: &str| DiskError::Failed(what.to_owned());
        let number = contents.last_generation.checked_add(1);
        let number = number.ok_or_else(|| failed("it was opened too often"))?;
        let generation = Generation::new(number);
        let generation = generation.ok_or_else(|| failed("the system has no random numbers"))?;
        let row_key =
            RowKey::new(key, &generation).ok_or_else(|| failed("no key can be derived"))?;
        contents.commit = contents.commit.saturating_add(1);
        let proof = generation.proof(key);
        database.begin(
            &generation,
            proof.as_ref(),
            &contents.in_use,
            contents.commit,
        )?;
        Ok(Files {
            directory,
            database,
            contents,
            generation: number,
            sealer: Sealer::new(row_key),
        })
    }
}

impl Source for Files {
    fn generation(&self) -> u32 {
        self.generation
    }

    fn block(&self) -> Block {
        BLOCK
    }

    fn count_sessions(&self) -> u64 {
        self.contents.sessions
    }

    fn count_records(&self) -> BTreeMap<Kind, u64> {
        self.contents.records.clone()
    }

    fn records(
        &self,
        kind: Kind,
        each: &mut dyn FnMut(RecordKey, Zeroizing<Vec<u8>>),
    ) -> Result<(), DiskError> {
        let records = self
            .database
            .records(&self.contents, Some(kind), |key, row| {
                each(key, row.value);
            });
        records.map_err(failed)
    }

    fn sessions(&self, each: &mut dyn FnMut(u64, Option<StoredRow>)) -> Result<(), DiskError> {
        let sessions = self.database.sessions(&self.contents, |key, row, window| {
            each(key, stored(row, window));
        });
        sessions.map_err(failed)
    }

    fn start(self: Box<Self>, settings: Settings, on_event: OnEvent) -> Result<Store, DiskError> {
        let commits = Commits::open(&self.directory.commits())?;
        let disk = Writing::new(self.database, self.sealer, commits, self.contents.commit);
        let store = Store::start(disk, Some(self.directory), BLOCK, settings, on_event)?;
        Ok(store)
    }
}

/// Takes a session's row apart: its bound is in front.
fn stored(row: Row, window: Option<Row>) -> Option<StoredRow> {
    let mut rest = row.value.as_slice();
    let bound = bound_that_was_stored(varint::take(&mut rest)?)?;
    Some(StoredRow {
        generation: row.generation,
        bound,
        row: Zeroizing::new(rest.to_vec()),
        window: window.map(|window| window.value),
    })
}

fn failed(unreadable: Unreadable) -> DiskError {
    match unreadable {
        Unreadable::Io(error) => error.into(),
        Unreadable::Newer(_) | Unreadable::OtherKey | Unreadable::Damaged(_) => {
            DiskError::Failed(format!("it is not as it was a moment ago: {unreadable:?}"))
        }
    }
}
