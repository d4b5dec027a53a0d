//! Models, read and parsed once for all tasks of a worker process.

use std::any::{Any, TypeId};
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use orchestrator_core::Digest;

use crate::error::TaskError;

/// Parsed models by the hash of their files and their type, within a bound; what was not used for longest goes first.
///
/// A model that is let go lives on while a task uses it. One model is read at a time, so that many tasks that begin at
/// once do not hold its file many times over.
#[derive(Debug)]
pub struct ModelCache {
    capacity: u64,
    /// Held while a model is read and parsed.
    loading: Mutex<()>,
    kept: Mutex<Kept>,
}

#[derive(Debug, Default)]
struct Kept {
    models: BTreeMap<Key, Entry>,
    /// Counts uses: the order in which models were used last.
    uses: u64,
}

#[derive(Debug)]
struct Entry {
    model: Arc<dyn Any + Send + Sync>,
    bytes: u64,
    used: u64,
}

/// One file may be read as models of several types.
type Key = (Digest, TypeId);

/// A model and the hash of its file.
pub(crate) type Loaded<M> = (Digest, Arc<M>);

impl ModelCache {
    /// Room for a few models of the largest kind that people publish.
    pub const CAPACITY: u64 = 4 << 30;

    /// Keeps models whose files have `capacity` bytes together; the newest one stays even if it alone has more.
    pub fn new(capacity: u64) -> Self {
        Self { capacity, loading: Mutex::default(), kept: Mutex::default() }
    }

    /// The model with the hash `known`, or the one that `read` brings, parsed unless it is kept already.
    pub(crate) fn get<M: Send + Sync + 'static>(
        &self,
        known: Option<Digest>,
        read: impl FnOnce() -> Result<Vec<u8>, TaskError>,
        parse: impl FnOnce(&[u8]) -> Result<M, TaskError>,
    ) -> Result<Loaded<M>, TaskError> {
        let find = |print| self.find(print).map(|model| (print, model));
        if let Some(loaded) = known.and_then(find) {
            return Ok(loaded);
        }
        let _loading = self.loading.lock().unwrap_or_else(PoisonError::into_inner);
        // Somebody may have loaded it while we waited for our turn.
        if let Some(loaded) = known.and_then(find) {
            return Ok(loaded);
        }
        let bytes = read()?;
        let print = Digest::of(&bytes);
        if let Some(loaded) = find(print) {
            return Ok(loaded);
        }
        let model = Arc::new(parse(&bytes)?);
        self.keep((print, TypeId::of::<M>()), bytes.len() as u64, Arc::clone(&model) as _);
        Ok((print, model))
    }

    fn lock(&self) -> MutexGuard<'_, Kept> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn find<M: Send + Sync + 'static>(&self, print: Digest) -> Option<Arc<M>> {
        let mut kept = self.lock();
        kept.uses += 1;
        let uses = kept.uses;
        let entry = kept.models.get_mut(&(print, TypeId::of::<M>()))?;
        entry.used = uses;
        Arc::clone(&entry.model).downcast().ok()
    }

    fn keep(&self, key: Key, bytes: u64, model: Arc<dyn Any + Send + Sync>) {
        let mut kept = self.lock();
        let mut total: u64 = kept.models.values().map(|entry| entry.bytes).sum();
        while total + bytes > self.capacity {
            let oldest = kept.models.iter().min_by_key(|(_, entry)| entry.used).map(|(key, _)| *key);
            let Some(gone) = oldest.and_then(|key| kept.models.remove(&key)) else { break };
            total -= gone.bytes;
        }
        kept.uses += 1;
        let used = kept.uses;
        kept.models.insert(key, Entry { model, bytes, used });
    }
}

impl Default for ModelCache {
    fn default() -> Self {
        Self::new(Self::CAPACITY)
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use orchestrator_text::fasttext::{Model, TrainConfig, Trainer};

    use super::*;

    fn file(seed: u64) -> Vec<u8> {
        let examples = [("__label__a", "one two three"), ("__label__b", "four five six")].repeat(4);
        let config = TrainConfig { dimension: 4, bucket: 10, epochs: 1, seed, ..TrainConfig::default() };
        Trainer::train(&examples, &config).expect("two labels").write().expect("a dense model")
    }

    /// Asks for a model and counts how often it was read and parsed.
    struct Counter<'a> {
        cache: &'a ModelCache,
        reads: Cell<u32>,
        parses: Cell<u32>,
    }

    impl Counter<'_> {
        fn get(&self, known: Option<Digest>, file: &[u8]) -> Digest {
            let read = || {
                self.reads.set(self.reads.get() + 1);
                Ok(file.to_vec())
            };
            let parse = |bytes: &[u8]| {
                self.parses.set(self.parses.get() + 1);
                Model::read(bytes).map_err(|error| TaskError::configuration("language", error))
            };
            self.cache.get(known, read, parse).expect("a model").0
        }
    }

    #[test]
    fn equal_files_are_parsed_once_and_known_ones_not_even_read() {
        let cache = ModelCache::default();
        let counter = Counter { cache: &cache, reads: Cell::new(0), parses: Cell::new(0) };
        let (first, second) = (file(1), file(2));
        let print = counter.get(None, &first);
        assert_eq!(counter.get(Some(print), &first), print);
        assert_eq!((counter.reads.get(), counter.parses.get()), (1, 1));
        assert_eq!(counter.get(None, &first), print, "another job with the same model");
        assert_eq!((counter.reads.get(), counter.parses.get()), (2, 1));
        assert_ne!(counter.get(None, &second), print);
        assert_eq!(counter.parses.get(), 2);
        // As a model of another type the same file is another model.
        let other = cache.get(Some(print), || Ok(first.clone()), |bytes| Ok(bytes.len())).expect("a length");
        assert_eq!((other.0, *other.1), (print, first.len()));
        assert_eq!((counter.get(Some(print), &first), counter.parses.get()), (print, 2));
    }

    #[test]
    fn what_was_not_used_for_longest_makes_room() {
        let files = [file(1), file(2), file(3)];
        let cache = ModelCache::new(2 * files[0].len() as u64);
        let counter = Counter { cache: &cache, reads: Cell::new(0), parses: Cell::new(0) };
        let prints: Vec<Digest> = files[..2].iter().map(|file| counter.get(None, file)).collect();
        counter.get(Some(prints[0]), &files[0]);
        counter.get(None, &files[2]);
        assert_eq!(counter.parses.get(), 3);
        counter.get(Some(prints[0]), &files[0]);
        assert_eq!(counter.parses.get(), 3, "it was used after the second");
        counter.get(Some(prints[1]), &files[1]);
        assert_eq!(counter.parses.get(), 4, "the second had gone");
        let tiny = ModelCache::new(1);
        let counter = Counter { cache: &tiny, reads: Cell::new(0), parses: Cell::new(0) };
        let print = counter.get(None, &files[0]);
        counter.get(Some(print), &files[0]);
        assert_eq!(counter.parses.get(), 1, "one stays, whatever its size");
    }
}
