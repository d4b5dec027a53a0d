//! Duplicates: a shuffle by band, edges, clusters, one survivor each; repetitions: a shuffle by hash, and what goes.
//!
//! ```text
//!  map tasks         bands tasks (slices of the hash space)        one clusters task             map tasks
//!  signatures-NNNNN ─▶ sort (hash, document), star: document and ─▶ edges-NNNNN ─▶ union-find ─▶ verdicts-NNNNN ─▶ drop
//!    id, band_00 …       its bucket's first; join the slice's own    clusters, survivors,         row, survivor's id
//!                                                                    audit ─▶ clusters.json
//! ```
//!
//! With `verify`, bands tasks hand on all stars as they are, and a task for each part compares its documents with the
//! firsts of their buckets before clusters are made of the edges that hold.
//!
//! Earlier runs' documents (`against`) come before this run's: their indexes are read like signature files, and a document
//! that shares a band with one of them goes for it. A document is named by its place in the global order: the rows of part
//! 0, then of part 1, and so on. Components are found in two steps, each slice's by the task that sorts it and all of them
//! from the slices' forests, and a component's root is its first document: the result does not depend on which edges met
//! where. Every step holds numbers alone: 4 bytes a document in a bands task beside one band's pairs, at most 16 in the
//! clusters task. See `docs/decisions/clusters.md`.
//!
//! The methods that cut parts out of documents have no clusters:
//!
//! ```text
//!  map tasks       repeats tasks (slices of the hash space)                      map tasks
//!  items-NNNNN ───▶ filter or table of the slice, items in the order of   ──▶ repeated-NNNNN ─▶ merge by place, cut
//!    hash, place       documents: did this one occur before?                     per part, places
//! ```
//!
//! See `docs/decisions/repeats.md`.

mod audit;
mod bands;
mod clusters;
pub(crate) mod cut;
mod edges;
pub(crate) mod items;
pub(crate) mod keys;
mod repeated;
mod repeats;
pub(crate) mod signatures;
mod slice;
mod sources;
mod survivors;
mod texts;
mod union_find;
mod verify;

pub(crate) use bands::run as run_bands;
pub(crate) use clusters::{Inputs, run as run_clusters};
pub(crate) use repeats::run as run_repeats;
pub(crate) use verify::{Candidates, run as run_verify};
