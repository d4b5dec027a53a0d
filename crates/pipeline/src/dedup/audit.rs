//! Looks at clusters before anything is dropped, and stops the job where they are not what was expected.
//!
//! A wrong threshold or a template that every page shares can join a corpus to one cluster, of which one document would
//! stay. So the evidence is gathered first: sizes, the largest clusters with some of their documents, the true similarity
//! of sampled pairs, and what each source loses. It is bounded whatever the corpus: some hundred documents are read.

use std::collections::BTreeMap;
use std::ops::ControlFlow;

use orchestrator_core::Document;
use orchestrator_job::PartRef;
use orchestrator_storage::clusters::{
    ClusterAudit, ClusterSample, ComparedPair, LargeCluster, SCHEMA_VERSION, Similarity, SizeRange,
};
use orchestrator_text::dedup::{DedupConfig, Method};
use orchestrator_text::minhash::{Hasher, jaccard};

use super::sources::Sources;
use super::survivors::Survivors;
use super::texts::read_at;
use super::union_find::Clusters;
use crate::context::TaskContext;
use crate::error::TaskError;

/// Clusters that are shown one by one.
const LARGEST: usize = 10;
/// Documents shown of each of them, beside the survivor.
const SAMPLES: usize = 5;
/// Duplicates compared with their survivors.
const PAIRS: usize = 200;
/// Pairs named, the least alike.
const LOWEST: usize = 10;
/// Characters shown of a text.
const EXCERPT: usize = 300;
/// Bytes of a text that are compared, from its beginning: bounds what the samples hold in memory.
const COMPARED_BYTES: usize = 64 << 10;

/// Which documents are looked at, by their places in the global order.
pub(crate) struct Samples {
    /// Cluster, and some of its documents.
    largest: Vec<(usize, Vec<u32>)>,
    /// Duplicates of any cluster.
    duplicates: Vec<u32>,
}

/// A document that was looked at.
struct Seen {
    shingles: Vec<u64>,
    sample: ClusterSample,
}

/// An order that looks drawn: which documents are sampled depends on their places alone.
fn mix(place: u32) -> u64 {
    xxhash_rust::xxh3::xxh3_64(&place.to_le_bytes())
}

/// Keeps the `most` items with the lowest keys.
fn keep_lowest(items: &mut Vec<(u64, u32)>, key: u64, place: u32, most: usize) {
    if items.len() < most || items.last().is_some_and(|last| (key, place) < *last) {
        let at = items.partition_point(|item| *item < (key, place));
        items.insert(at, (key, place));
        items.truncate(most);
    }
}

impl Samples {
    /// Chooses what to look at: of this run's documents those from place `own` on.
    pub(crate) fn choose(clusters: &Clusters, survivors: &Survivors, own: u32) -> Self {
        let mut largest: Vec<(u32, usize)> = Vec::new();
        for (number, &size) in clusters.sizes().iter().enumerate() {
            let at = largest.partition_point(|&(other, _)| other >= size);
            if at < LARGEST {
                largest.insert(at, (size, number));
                largest.truncate(LARGEST);
            }
        }
        let mut members = vec![Vec::new(); largest.len()];
        let mut duplicates = Vec::new();
        let least = largest.last().map_or(0, |&(size, _)| size);
        for document in own..clusters.documents() {
            let Some(cluster) = clusters.of(document) else { continue };
            if survivors.place(cluster) == document {
                continue;
            }
            let key = mix(document);
            keep_lowest(&mut duplicates, key, document, PAIRS);
            if clusters.sizes()[cluster] >= least
                && let Some(slot) = largest.iter().position(|&(_, number)| number == cluster)
            {
                keep_lowest(&mut members[slot], key, document, SAMPLES);
            }
        }
        let places = |items: Vec<(u64, u32)>| items.into_iter().map(|(_, place)| place).collect::<Vec<_>>();
        Self {
            largest: largest
                .into_iter()
                .map(|(_, number)| number)
                .zip(members.into_iter().map(places))
                .collect(),
            duplicates: places(duplicates),
        }
    }

    /// All places whose documents must be read, in order.
    fn places(&self, clusters: &Clusters, survivors: &Survivors, own: u32) -> Vec<u32> {
        let of_largest = self
            .largest
            .iter()
            .flat_map(|(cluster, members)| members.iter().copied().chain([survivors.place(*cluster)]));
        let of_pairs = self.duplicates.iter().flat_map(|&document| {
            [Some(document), clusters.of(document).map(|cluster| survivors.place(cluster))]
                .into_iter()
                .flatten()
        });
        let mut places: Vec<u32> = of_largest.chain(of_pairs).filter(|&place| place >= own).collect();
        places.sort_unstable();
        places.dedup();
        places
    }
}

/// What the audit is about.
pub(crate) struct Subject<'a> {
    pub(crate) context: &'a TaskContext,
    pub(crate) config: &'a DedupConfig,
    pub(crate) clusters: &'a Clusters,
    pub(crate) survivors: &'a Survivors,
    /// This run's parts, and the place of their first document.
    pub(crate) parts: &'a [PartRef],
    pub(crate) own: u32,
}

impl Subject<'_> {
    /// Gathers the evidence and judges it by the stage's limits.
    pub(crate) fn audit(
        &self,
        samples: &Samples,
        sources: Sources,
        duplicates: u64,
    ) -> Result<ClusterAudit, TaskError> {
        let seen = self.read(&samples.places(self.clusters, self.survivors, self.own))?;
        let sizes = self.clusters.sizes();
        let mut audit = ClusterAudit {
            schema_version: SCHEMA_VERSION,
            stop: None,
            documents: u64::from(self.clusters.documents() - self.own),
            clusters: sizes.len() as u64,
            duplicates,
            largest_size: sizes.iter().max().map_or(0, |&size| size.into()),
            sizes: size_ranges(sizes),
            largest: samples
                .largest
                .iter()
                .map(|(cluster, members)| self.large(*cluster, members, &seen))
                .collect(),
            similarity: self.similarity(&samples.duplicates, &seen),
            sources: sources.losses(),
        };
        audit.stop = exceeded(self.config, &audit);
        Ok(audit)
    }

    /// Reads the documents at these places.
    fn read(&self, places: &[u32]) -> Result<BTreeMap<u32, Seen>, TaskError> {
        let mut hasher = match self.config.method {
            Method::Minhash => Some(Hasher::new(&self.config.minhash())),
            Method::Exact | Method::Paragraph | Method::Substring => None,
        };
        let mut seen = BTreeMap::new();
        read_at(self.context, self.parts, self.own, places, |place, document| {
            seen.insert(place, Seen::of(&document, hasher.as_mut()));
            ControlFlow::Continue(())
        })?;
        Ok(seen)
    }

    fn large(&self, cluster: usize, members: &[u32], seen: &BTreeMap<u32, Seen>) -> LargeCluster {
        let survivor = seen.get(&self.survivors.place(cluster));
        let shown = [self.survivors.place(cluster)];
        let samples = shown.iter().chain(members).filter_map(|place| {
            let document = seen.get(place)?;
            let mut sample = document.sample.clone();
            sample.jaccard = survivor.and_then(|survivor| self.compare(survivor, document));
            Some(sample)
        });
        LargeCluster {
            documents: self.clusters.sizes()[cluster].into(),
            survivor: self.survivors.id(cluster).to_string(),
            samples: samples.collect(),
        }
    }

    fn compare(&self, one: &Seen, other: &Seen) -> Option<f64> {
        (self.config.method == Method::Minhash).then(|| jaccard(&one.shingles, &other.shingles))
    }

    fn similarity(&self, duplicates: &[u32], seen: &BTreeMap<u32, Seen>) -> Option<Similarity> {
        let mut pairs = Vec::new();
        for document in duplicates {
            let survivor = self.survivors.place(self.clusters.of(*document)?);
            let (Some(document), Some(survivor)) = (seen.get(document), seen.get(&survivor)) else {
                continue;
            };
            pairs.push(ComparedPair {
                document: document.sample.id.clone(),
                survivor: survivor.sample.id.clone(),
                jaccard: self.compare(survivor, document)?,
            });
        }
        if pairs.is_empty() {
            return None;
        }
        pairs.sort_by(|a, b| a.jaccard.total_cmp(&b.jaccard).then_with(|| a.document.cmp(&b.document)));
        let mut tenths = [0; 10];
        for pair in &pairs {
            tenths[((pair.jaccard * 10.0) as usize).min(9)] += 1;
        }
        Some(Similarity {
            pairs: pairs.len() as u64,
            mean: pairs.iter().map(|pair| pair.jaccard).sum::<f64>() / pairs.len() as f64,
            tenths,
            lowest: pairs.into_iter().take(LOWEST).collect(),
        })
    }
}

impl Seen {
    fn of(document: &Document, hasher: Option<&mut Hasher>) -> Self {
        let compared = &document.text[..document.text.floor_char_boundary(COMPARED_BYTES)];
        Self {
            shingles: hasher.map(|hasher| hasher.shingle_set(compared)).unwrap_or_default(),
            sample: ClusterSample {
                id: document.id.to_string(),
                source: document.source.clone(),
                record: document.record,
                url: document.url.clone(),
                jaccard: None,
                text: document.text.chars().take(EXCERPT).collect(),
            },
        }
    }
}

fn size_ranges(sizes: &[u32]) -> Vec<SizeRange> {
    let mut ranges = BTreeMap::new();
    for &size in sizes {
        let (from, to) = SizeRange::of(size.into());
        let range = ranges.entry(from).or_insert(SizeRange { from, to, clusters: 0, documents: 0 });
        range.clusters += 1;
        range.documents += u64::from(size);
    }
    ranges.into_values().collect()
}

/// Which limit of the stage the clusters exceed, as a sentence with the evidence.
fn exceeded(config: &DedupConfig, audit: &ClusterAudit) -> Option<String> {
    if let Some(most) = config.max_cluster
        && audit.largest_size > most
    {
        let sample = audit.largest.first().and_then(|cluster| cluster.samples.first());
        let begins = sample.map_or(String::new(), |sample| {
            let words: Vec<&str> = sample.text.split_whitespace().collect();
            format!(", one of which begins `{}`", words.join(" ").chars().take(60).collect::<String>())
        });
        return Some(format!(
            "the largest cluster has {} documents{begins}; expected at most {most} (`max_cluster`)",
            audit.largest_size
        ));
    }
    if let (Some(most), Some(worst)) = (config.max_source_loss, audit.sources.most.first())
        && worst.loss() > most
    {
        return Some(format!(
            "the source `{}` would lose {} of its {} documents; expected at most {most} of them (`max_source_loss`)",
            worst.source, worst.dropped, worst.documents
        ));
    }
    None
}
