//! The text of an HTML page.
//!
//! ```text
//!  source ─tokens─▶ tags, text ─tree─▶ a flat list of nodes ─runs─▶ pieces of text, with sums over subtrees
//!     ─prune─▶ without navigation, comments, … ─content─▶ the container and its text ─render─▶ plain text or Markdown
//! ```
//!
//! The stages follow trafilatura (Barbaresi, 2021, <https://aclanthology.org/2021.acl-demo.15>): prune by names, find the
//! container, test paragraphs for links. The choice of the container by its share of the prose is ours. Measured against
//! trafilatura in `docs/decisions/html-main-text.md`.
//!
//! The work on a page is bounded: its bytes, nodes and depth are, and every stage takes time linear in them.

mod content;
mod names;
mod phrases;
mod prune;
mod render;
mod runs;
mod tag;
#[cfg(test)]
mod tests;
mod text;
mod tokens;
mod tree;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use tree::Tree;

/// Larger pages are data, not articles.
const MAX_BYTES: usize = 8 << 20;

/// Why a page is not read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// It has more than 8 MiB.
    TooLarge,
    /// More than 256 elements are open at once.
    TooDeep,
    /// It has more than 2^20 elements and texts.
    TooManyNodes,
}

/// What of an HTML page's structure its text shows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Structure {
    /// A line for each paragraph, heading, item, or row of a table; code as it stands.
    #[default]
    Lines,
    /// Headings, lists, tables, quotations and code as Markdown.
    Markdown,
}

/// The main text of a page: empty where there is none.
pub fn main_text(source: &str, structure: Structure) -> Result<String, Fault> {
    let tree = parse(source)?;
    let measures = runs::measures(&tree);
    let (_, sums) = runs::of(&tree, &measures, &vec![false; tree.nodes.len()]);
    // Names may mislead: where they leave nothing, the page is read again without them.
    for prune in [prune::by_suspicion, prune::by_tag] {
        let skip = prune(&tree, &sums);
        let (runs, sums) = runs::of(&tree, &measures, &skip);
        let kept = content::select(&tree, &runs, &sums, &skip, structure);
        if !kept.is_empty() {
            return Ok(render::render(&tree, &kept, &skip, structure));
        }
    }
    Ok(String::new())
}

/// All text of a page that is shown.
pub fn all_text(source: &str, structure: Structure) -> Result<String, Fault> {
    let tree = parse(source)?;
    let measures = runs::measures(&tree);
    let skip: Vec<bool> = tree.nodes.iter().map(|node| node.names.has(names::Names::HIDDEN)).collect();
    let (runs, _) = runs::of(&tree, &measures, &skip);
    Ok(render::render(&tree, &runs, &skip, structure))
}

fn parse(source: &str) -> Result<Tree<'_>, Fault> {
    if source.len() > MAX_BYTES { Err(Fault::TooLarge) } else { Tree::parse(source) }
}
