//! Cuts out of a part's documents what occurred before.

use orchestrator_core::{Decision, Document, Note};
use orchestrator_job::PartRef;
use orchestrator_text::dedup::Divider;

use super::keys;
use super::repeated::Repeated;
use crate::context::TaskContext;
use crate::error::TaskError;

/// Documents of one part, in order, and its repeated places, read along with them.
pub(crate) struct Cutter {
    divider: Divider,
    repeated: Repeated,
    /// Places of the documents so far.
    places: u64,
}

impl Cutter {
    /// Opens the repeated places of part `part` in the files of all slices.
    pub(crate) fn open(
        context: &TaskContext,
        stage: u32,
        part: u32,
        files: &[PartRef],
    ) -> Result<Self, TaskError> {
        let divider = Divider::new(keys::config(context, stage)?)
            .ok_or_else(|| TaskError::configuration("dedup", "its method cuts nothing"))?;
        Ok(Self { divider, repeated: Repeated::open(context, files, part)?, places: 0 })
    }

    /// Places of the documents so far.
    pub(crate) fn places(&self) -> u64 {
        self.places
    }

    /// Goes on behind documents with so many places.
    pub(crate) fn skip_to(&mut self, places: u64) -> Result<(), TaskError> {
        self.places = places;
        self.repeated.skip_to(places)
    }

    /// Cuts the next document of the part.
    pub(crate) fn cut(
        &mut self,
        document: &mut Document,
        notes: &mut Vec<Note>,
    ) -> Result<Decision, TaskError> {
        let (base, repeated) = (self.places, &mut self.repeated);
        let mut failed = None;
        let (places, decision) = self.divider.cut(document, notes, &mut |place| {
            if failed.is_some() {
                return false;
            }
            repeated.holds(base + place).unwrap_or_else(|error| {
                failed = Some(error);
                false
            })
        });
        self.places += places;
        failed.map_or(Ok(decision), Err)
    }

    /// Makes sure that all that was found was cut.
    pub(crate) fn finish(&self) -> Result<(), TaskError> {
        self.repeated.finish()
    }
}
