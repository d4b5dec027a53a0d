//! Which documents of a cluster stay.

use orchestrator_core::DocumentId;
use orchestrator_text::dedup::{DedupConfig, Survivor};

use super::keys::{KEPT, RANK};
use super::signatures::Signatures;
use super::union_find::Clusters;
use crate::context::TaskContext;
use crate::error::TaskError;

/// The survivor of every cluster, and how many more may stay.
pub(crate) struct Survivors {
    /// Place of the survivor in the global order, by cluster.
    places: Vec<u32>,
    /// Its id.
    ids: Vec<u128>,
    /// How many documents beside it stay, the first in order; empty where none does.
    spare: Vec<u32>,
}

/// What becomes of a document.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fate {
    /// It stays.
    Stays,
    /// It goes for the document with this id.
    GoesFor(u128),
}

impl Survivors {
    /// Chooses by the stage's rule. `signatures` carry ids and ranks.
    pub(crate) fn choose(
        context: &TaskContext,
        config: &DedupConfig,
        clusters: &Clusters,
        signatures: &Signatures,
    ) -> Result<Self, TaskError> {
        let places = match config.survivor {
            Survivor::First => firsts(clusters),
            Survivor::Longest | Survivor::Quality => highest(context, clusters, signatures)?,
        };
        let mut ids = vec![0; places.len()];
        signatures.for_each(context, &["id"], |document, rows| {
            for (document, id) in (document..).zip(rows.ids()?) {
                if let Some(cluster) = clusters.of(document)
                    && places[cluster] == document
                {
                    ids[cluster] = id;
                }
            }
            Ok(())
        })?;
        let mut spare = Vec::new();
        if !config.keep_by_size.is_empty() {
            spare.extend(clusters.sizes().iter().map(|&size| config.kept_of(size).saturating_sub(1)));
            for (spare, stayed) in spare.iter_mut().zip(stayed_earlier(context, clusters, signatures)?) {
                *spare = spare.saturating_sub(stayed.saturating_sub(1));
            }
        }
        Ok(Self { places, ids, spare })
    }

    /// Place of a cluster's survivor.
    pub(crate) fn place(&self, cluster: usize) -> u32 {
        self.places[cluster]
    }

    /// Id of a cluster's survivor.
    pub(crate) fn id(&self, cluster: usize) -> DocumentId {
        DocumentId(self.ids[cluster])
    }

    /// Decides about a document of a cluster. To be asked once for each of this run's documents, in global order.
    pub(crate) fn fate(&mut self, document: u32, cluster: usize) -> Fate {
        if self.places[cluster] == document {
            return Fate::Stays;
        }
        match self.spare.get_mut(cluster) {
            Some(spare) if *spare > 0 => {
                *spare -= 1;
                Fate::Stays
            }
            _ => Fate::GoesFor(self.ids[cluster]),
        }
    }
}

/// How many documents of every cluster earlier runs kept: they count among those that stay, the first as the survivor.
fn stayed_earlier(
    context: &TaskContext,
    clusters: &Clusters,
    signatures: &Signatures,
) -> Result<Vec<u32>, TaskError> {
    let mut stayed = vec![0; clusters.sizes().len()];
    signatures.for_each_earlier(context, &[KEPT], |document, rows| {
        for (document, kept) in (document..).zip(rows.numbers(KEPT)?) {
            if let Some(cluster) = clusters.of(document) {
                stayed[cluster] += u32::from(kept == Some(1));
            }
        }
        Ok(())
    })?;
    Ok(stayed)
}

/// The first document of every cluster; clusters are numbered in their order.
fn firsts(clusters: &Clusters) -> Vec<u32> {
    let mut places = Vec::with_capacity(clusters.sizes().len());
    for document in 0..clusters.documents() {
        if clusters.of(document) == Some(places.len()) {
            places.push(document);
        }
    }
    places
}

/// The document of the highest rank of every cluster, the first of those with equal ranks. What an earlier run kept stays
/// the survivor: it is out in the world, and its rank is not known.
fn highest(
    context: &TaskContext,
    clusters: &Clusters,
    signatures: &Signatures,
) -> Result<Vec<u32>, TaskError> {
    let mut places = firsts(clusters);
    let mut ranks = vec![0; places.len()];
    signatures.for_each_own(context, &[RANK], |document, rows| {
        for (document, rank) in (document..).zip(rows.numbers(RANK)?) {
            if let (Some(cluster), Some(rank)) = (clusters.of(document), rank)
                && places[cluster] >= signatures.own
                && rank > ranks[cluster]
            {
                ranks[cluster] = rank;
                places[cluster] = document;
            }
        }
        Ok(())
    })?;
    Ok(places)
}
