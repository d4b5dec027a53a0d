//! The text of an HTML page, and why it has none.

use std::panic::{AssertUnwindSafe, catch_unwind};

use super::Extract;
use crate::html::{self, Structure};

/// Why a page gave no text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fault {
    Refused(html::Fault),
    Failed,
    NoMainText,
}

impl Fault {
    pub(super) fn rule(self) -> &'static str {
        match self {
            Self::Refused(html::Fault::TooLarge) => "html_too_large",
            Self::Refused(html::Fault::TooDeep) => "html_too_deep",
            Self::Refused(html::Fault::TooManyNodes) => "html_too_many_nodes",
            Self::Failed => "extraction_failed",
            Self::NoMainText => "no_main_text",
        }
    }
}

pub(super) fn text(source: &str, extract: Extract, structure: Structure) -> Result<String, Fault> {
    // The extractor is full of indices: one page must not take its task down.
    let text = catch_unwind(AssertUnwindSafe(|| match extract {
        Extract::Main => html::main_text(source, structure),
        Extract::All => html::all_text(source, structure),
    }))
    .map_err(|_| Fault::Failed)?
    .map_err(Fault::Refused)?;
    if text.is_empty() { Err(Fault::NoMainText) } else { Ok(text) }
}
