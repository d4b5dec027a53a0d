//! `clusters.json` of a dedup stage: what the clusters of duplicates are like, written before anything is dropped.

use serde::{Deserialize, Serialize};

/// The form of the audits that this build writes.
pub const SCHEMA_VERSION: u32 = 1;

/// The file's name in the stage's directory.
pub const FILE_NAME: &str = "clusters.json";

/// The evidence that a dedup stage leaves about its clusters.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ClusterAudit {
    /// Form of this file: [`SCHEMA_VERSION`].
    pub schema_version: u32,
    /// Why the job stops here, where a limit is exceeded.
    pub stop: Option<String>,
    /// Documents that came in.
    pub documents: u64,
    /// Clusters of two documents and more.
    pub clusters: u64,
    /// Documents that go.
    pub duplicates: u64,
    /// Documents of the largest cluster.
    pub largest_size: u64,
    /// Clusters by size: 2, 3, 4, then in ranges that double.
    pub sizes: Vec<SizeRange>,
    /// The largest clusters, the largest first.
    pub largest: Vec<LargeCluster>,
    /// How alike sampled duplicates are to their survivors; absent where texts must be equal or none was sampled.
    pub similarity: Option<Similarity>,
    /// What sources lose.
    pub sources: SourceLosses,
}

/// Clusters in a range of sizes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SizeRange {
    /// Least size.
    pub from: u64,
    /// Greatest size.
    pub to: u64,
    /// How many clusters.
    pub clusters: u64,
    /// How many documents are in them.
    pub documents: u64,
}

impl SizeRange {
    /// The range that a size is counted in: alone up to 4, then 5 to 8, 9 to 16 and so on.
    pub fn of(size: u64) -> (u64, u64) {
        if size <= 4 {
            return (size, size);
        }
        let to = size.checked_next_power_of_two().unwrap_or(u64::MAX);
        (to / 2 + 1, to)
    }
}

/// One of the largest clusters.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct LargeCluster {
    /// Its documents.
    pub documents: u64,
    /// Id of the document that stays.
    pub survivor: String,
    /// Some of its documents, the survivor first where it is one of this run's.
    pub samples: Vec<ClusterSample>,
}

/// A document of a cluster.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ClusterSample {
    /// Its id.
    pub id: String,
    /// Its source.
    pub source: String,
    /// Its record in the source.
    pub record: u64,
    /// Its URL, where known.
    pub url: Option<String>,
    /// True Jaccard similarity of its shingles to the survivor's; absent where texts must be equal.
    pub jaccard: Option<f64>,
    /// How its text begins.
    pub text: String,
}

/// How alike sampled duplicates are to the documents that they go for.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Similarity {
    /// Pairs that were compared.
    pub pairs: u64,
    /// Mean of their Jaccard similarities.
    pub mean: f64,
    /// Pairs by tenths: the first from 0 to 0.1, the last from 0.9 to 1.
    pub tenths: [u64; 10],
    /// The pairs least alike, the least first.
    pub lowest: Vec<ComparedPair>,
}

/// A duplicate and the document that it goes for.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ComparedPair {
    /// Id of the duplicate.
    pub document: String,
    /// Id of the survivor.
    pub survivor: String,
    /// Their similarity.
    pub jaccard: f64,
}

/// What sources lose. A source here is the first part of the `source` column's path, or the file itself where it lies at
/// the root; files of one document at the root count together, as `.`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct SourceLosses {
    /// How many there are.
    pub sources: u64,
    /// How many would lose every document.
    pub vanished: u64,
    /// Those that lose the greatest part, the greatest first.
    pub most: Vec<SourceLoss>,
}

/// What one source loses.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SourceLoss {
    /// The source.
    pub source: String,
    /// Its documents.
    pub documents: u64,
    /// Those that go.
    pub dropped: u64,
}

impl SourceLoss {
    /// The part of its documents that goes.
    pub fn loss(&self) -> f64 {
        if self.documents == 0 { 0.0 } else { self.dropped as f64 / self.documents as f64 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn size_ranges_double() {
        let ranges: Vec<_> = [2, 4, 5, 8, 9, 17].map(SizeRange::of).into();
        assert_eq!(ranges, [(2, 2), (4, 4), (5, 8), (5, 8), (9, 16), (17, 32)]);
    }
}
