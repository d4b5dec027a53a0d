//! Chooses what documents are joined by.

use std::collections::BTreeSet;

use super::Source;
use super::key::By;
use super::ours::{Wanted, each};
use crate::error::Error;
use crate::fates::Fates;
use crate::run::Run;

/// Records of the peer that are looked for among ours: the first in the order of its files.
const RECORDS: usize = 1_000;

/// The key by which most of the first records of the peer are found among ours; of equals the first of [`By::ALL`].
pub(super) fn choose(run: &Run, source: &Source<'_>) -> Result<By, Error> {
    let mut wanted: [BTreeSet<u128>; By::ALL.len()] = Default::default();
    let mut records = 0;
    // What is read here is read again: fates are numbered anew then.
    let mut fates = Fates::default();
    source.read(&mut fates, &mut |seen| {
        for (keys, by) in wanted.iter_mut().zip(By::ALL) {
            keys.extend(seen.names.key(by));
        }
        records += 1;
        Ok(records < RECORDS)
    })?;
    let mut found = [0usize; By::ALL.len()];
    each(run, Wanted::Texts, &mut fates, &mut |said| {
        for ((keys, found), by) in wanted.iter_mut().zip(&mut found).zip(By::ALL) {
            if let Some(key) = said.names.key(by)
                && keys.remove(&key)
            {
                *found += 1;
            }
        }
        Ok(())
    })?;
    let best = By::ALL.into_iter().zip(found).rev().max_by_key(|(_, found)| *found);
    match best {
        Some((by, found)) if found > 0 => Ok(by),
        _ => {
            let by = By::ALL.map(By::name).join(", ");
            Err(Error::NoKey { path: source.folder.url().to_owned(), by, records })
        }
    }
}
