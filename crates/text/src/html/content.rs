//! Which part of the page holds its text, and which runs of it are text.
//!
//! ```text
//!  body ─▶ the child with most of the prose ─▶ … ─▶ core ─▶ up again, while an ancestor adds prose and little else,
//!  or to the ancestor that is named the body of an article ─▶ container ─▶ its runs, without link lists and site lines
//! ```

use super::Structure;
use super::names::Names;
use super::phrases;
use super::render;
use super::runs::{Run, Sums};
use super::tag::{BLOCK, Tag};
use super::tree::Tree;

/// The core's child goes on being the core with this share of its prose, in percent.
const CORE_SHARE: u32 = 60;
/// Runs this short, or as long as the second with a link in them, may be lines of the site.
const MAX_SITE_LINE: u32 = 50;
const MAX_SITE_LINK: u32 = 200;
/// Shorter lines before the first and after the last paragraph are scraps, where there are this many letters of prose.
const MAX_SCRAP: u32 = 40;
const MIN_TRIMMED: u32 = 500;

/// Elements that are a piece of a text and never its container.
fn is_piece(tag: Tag) -> bool {
    matches!(
        tag,
        Tag::P
            | Tag::Pre
            | Tag::Blockquote
            | Tag::Ul
            | Tag::Ol
            | Tag::Li
            | Tag::Dl
            | Tag::Dd
            | Tag::Dt
            | Tag::Tbody
            | Tag::Tr
            | Tag::Td
    )
}

/// The innermost block that holds most of the prose.
fn core(tree: &Tree<'_>, sums: &Sums) -> usize {
    let nodes = &tree.nodes;
    let mut core = 0;
    loop {
        let end = nodes[core].end as usize;
        let (mut most, mut best) = (0, core);
        let mut child = core + 1;
        while child < end {
            let child_end = nodes[child].end as usize;
            let prose = sums.prose(child, child_end);
            if prose > most && (nodes[child].tag.is(BLOCK) || nodes[child].tag == Tag::Other) {
                (most, best) = (prose, child);
            }
            child = child_end;
        }
        let is_most = u64::from(most) * 100 >= u64::from(sums.prose(core, end)) * u64::from(CORE_SHARE);
        if best == core || !is_most || is_piece(nodes[best].tag) {
            return core;
        }
        core = best;
    }
}

/// The root of the subtree that holds the page's text.
pub(super) fn container(tree: &Tree<'_>, sums: &Sums) -> usize {
    let nodes = &tree.nodes;
    let total = sums.prose(0, nodes.len());
    let prose = |at: usize| sums.prose(at, nodes[at].end as usize);
    let letters = |at: usize| sums.letters(at, nodes[at].end as usize);
    let mut root = core(tree, sums);
    let mut at = root;
    let mut in_body = false;
    loop {
        let node = &nodes[at];
        let holds_most = prose(at) >= total.div_ceil(2);
        // What an ancestor adds must be a twentieth more prose, and half of it prose.
        let (more, more_letters) = (prose(at) - prose(root), letters(at) - letters(root));
        let is_better = more >= prose(root) / 20 && more > 0 && more >= more_letters / 2;
        let is_body = node.names.has(Names::ARTICLE_BODY) && holds_most;
        if is_body && !in_body || is_better && (is_body || !in_body) {
            root = at;
        }
        in_body |= is_body;
        let is_whole = matches!(node.tag, Tag::Article | Tag::Main) && holds_most && root == at;
        if at == 0 || is_whole {
            return root;
        }
        at = node.parent as usize;
    }
}

/// The subtrees that hold the text: the container, and those beside it that are prose alone.
fn parts(tree: &Tree<'_>, sums: &Sums, root: usize) -> Vec<(usize, usize)> {
    let nodes = &tree.nodes;
    if root == 0 || nodes[root].names.has(Names::ARTICLE_BODY) {
        return vec![(root, nodes[root].end as usize)];
    }
    let parent = nodes[root].parent as usize;
    let mut parts = Vec::new();
    let mut at = parent + 1;
    while at < nodes[parent].end as usize {
        let end = nodes[at].end as usize;
        let (prose, letters) = (sums.prose(at, end), sums.letters(at, end));
        if at == root || prose >= 80 && prose >= letters / 10 * 8 {
            parts.push((at, end));
        }
        at = end;
    }
    parts
}

/// The runs of the container that are text.
pub(super) fn select(
    tree: &Tree<'_>,
    runs: &[Run],
    sums: &Sums,
    skip: &[bool],
    structure: Structure,
) -> Vec<Run> {
    let mut kept: Vec<Run> = Vec::new();
    let mut has_prose = structure == Structure::Markdown;
    for (from, to) in parts(tree, sums, container(tree, sums)) {
        let first = runs.partition_point(|run| (run.from as usize) < from);
        let last = first + runs[first..].partition_point(|run| run.to as usize <= to);
        for at in first..last {
            has_prose |= runs[at].prose() > 0;
            // The page's title is not of its text; a later heading of the first rank is.
            let is_title = runs[at].context.heading == 1 && !has_prose;
            if !is_title && is_text(tree, runs, skip, at) {
                kept.push(runs[at]);
            }
        }
    }
    trim(&mut kept);
    drop_empty_sections(&mut kept);
    kept
}

/// Whether a run of the container is text, and no list of links or line of the site.
fn is_text(tree: &Tree<'_>, runs: &[Run], skip: &[bool], at: usize) -> bool {
    let run = &runs[at];
    let own = run.own();
    if u64::from(run.in_links) * 10 > u64::from(run.letters) * 8 && !(own > 60 && run.ends_sentence) {
        // Alone on its line within running text, as where sources are named.
        let is_amid =
            |other: Option<&Run>| other.is_some_and(|other| other.block == run.block && other.prose() > 0);
        return is_amid(at.checked_sub(1).and_then(|before| runs.get(before))) || is_amid(runs.get(at + 1));
    }
    let may_be_of_site = run.letters < MAX_SITE_LINE || run.letters < MAX_SITE_LINK && run.in_links > 0;
    !(may_be_of_site && phrases::begin_of_site(&render::beginning(tree, run, skip, phrases::MAX_BEGINNING)))
}

/// Drops scraps before the first and after the last paragraph.
fn trim(kept: &mut Vec<Run>) {
    if kept.iter().map(|run| u64::from(run.prose())).sum::<u64>() < u64::from(MIN_TRIMMED) {
        return;
    }
    kept.truncate(kept.len() - kept.iter().rev().take_while(|run| is_scrap(run)).count());
    let leading = kept.iter().take_while(|run| is_scrap(run)).count();
    kept.drain(..leading);
}

fn is_scrap(run: &Run) -> bool {
    run.letters < MAX_SCRAP
        && run.prose() == 0
        && !run.ends_sentence
        && !run.in_paragraph
        && run.context.heading == 0
        && !run.context.is_of_lines()
}

/// Drops headings that nothing follows before the next of their rank or a higher one, or before the end.
fn drop_empty_sections(kept: &mut Vec<Run>) {
    let mut next: Option<u8> = Some(0);
    let keeps = kept.iter().rev().map(|run| {
        let is_empty = run.is_heading() && next.is_some_and(|next| next <= run.context.heading);
        if !is_empty {
            next = run.is_heading().then_some(run.context.heading);
        }
        !is_empty
    });
    let mut keeps: Vec<bool> = keeps.collect();
    kept.retain(|_| keeps.pop().unwrap_or(true));
}
