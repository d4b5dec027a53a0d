//! What became of documents, as numbers.

use std::collections::BTreeMap;

use crate::error::Error;

/// The fate of a document: its place in [`Fates`].
pub(crate) type Fate = u16;

/// Nothing is known of the document.
pub(crate) const ABSENT: Fate = 0;
/// It was kept to the end. Higher numbers are reasons for which documents were dropped.
pub(crate) const KEPT: Fate = 1;

/// All fates that were met, by name.
pub(crate) struct Fates {
    names: Vec<String>,
    numbers: BTreeMap<String, Fate>,
}

impl Default for Fates {
    fn default() -> Self {
        let names = ["absent".to_owned(), "kept".to_owned()];
        let numbers = names.iter().cloned().zip(0..).collect();
        Self { names: names.into(), numbers }
    }
}

impl Fates {
    /// The number of a fate, a new one where the name is new.
    pub(crate) fn number(&mut self, name: &str) -> Result<Fate, Error> {
        if let Some(number) = self.numbers.get(name) {
            return Ok(*number);
        }
        let number =
            Fate::try_from(self.names.len()).map_err(|_| Error::TooManyRules(usize::from(Fate::MAX)))?;
        self.names.push(name.to_owned());
        self.numbers.insert(name.to_owned(), number);
        Ok(number)
    }

    /// The name of a number that [`Self::number`] gave.
    pub(crate) fn name(&self, fate: Fate) -> &str {
        &self.names[usize::from(fate)]
    }
}
