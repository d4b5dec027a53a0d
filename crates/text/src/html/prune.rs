//! Which subtrees are no part of the text, whatever is chosen later.
//!
//! A name or a tag only raises a suspicion. Whether it is believed depends on how much of the page's prose would go: a
//! class `with-sidebar` on the whole page, or an article within a form, must not empty it.

use super::names::Names;
use super::runs::Sums;
use super::tag::Tag;
use super::tree::{Node, Tree};

/// With so much prose outside of all suspicion, suspicions are believed more easily.
const ENOUGH: u32 = 200;
/// The most prose that may go with an appendage.
const MAX_APPENDAGE: u32 = 300;

#[derive(Clone, Copy, PartialEq, Eq)]
enum Suspicion {
    /// Not shown.
    Hidden,
    /// Navigation and the like.
    Frame,
    Comments,
    /// Not of the text unless it is a good part of it.
    Likely,
    /// Not of the text where it is small.
    Appendage,
}

fn suspicion(node: &Node) -> Option<Suspicion> {
    match node.tag {
        Tag::Text => return None,
        _ if node.names.has(Names::HIDDEN) => return Some(Suspicion::Hidden),
        Tag::Nav | Tag::Footer | Tag::Menu | Tag::Dialog | Tag::Button | Tag::Select | Tag::Aside => {
            return Some(Suspicion::Frame);
        }
        Tag::Form | Tag::Fieldset | Tag::Header | Tag::Figcaption | Tag::Figure => {
            return Some(Suspicion::Likely);
        }
        _ => {}
    }
    let suspicions = [
        // What is named the body of an article is believed, whatever else it is named.
        (Names::ARTICLE_BODY, None),
        (Names::COMMENTS, Some(Suspicion::Comments)),
        (Names::FRAME, Some(Suspicion::Frame)),
        (Names::CAPTION | Names::TEASER, Some(Suspicion::Likely)),
        (Names::APPENDAGE, Some(Suspicion::Appendage)),
    ];
    suspicions.into_iter().find(|(names, _)| node.names.has(*names)).and_then(|(_, suspicion)| suspicion)
}

/// Marks the roots of the subtrees that go.
pub(super) fn by_suspicion(tree: &Tree<'_>, sums: &Sums) -> Vec<bool> {
    let nodes = &tree.nodes;
    let mut skip = vec![false; nodes.len()];
    let total = sums.prose(0, nodes.len());
    let landmarks = landmarks(nodes);
    let unsuspected = total - suspected(tree, sums, &landmarks);
    let mut at = 1;
    while at < nodes.len() {
        let end = nodes[at].end as usize;
        // What holds the landmarks of a page is seldom beside its text.
        let holds_landmark = landmarks[end] > landmarks[at];
        let bound = suspicion(&nodes[at]).map(|suspicion| match suspicion {
            Suspicion::Hidden if unsuspected >= ENOUGH => unsuspected.saturating_mul(8),
            Suspicion::Frame if unsuspected >= ENOUGH && holds_landmark => unsuspected / 2,
            Suspicion::Frame if unsuspected >= ENOUGH => unsuspected.saturating_mul(3),
            Suspicion::Comments if unsuspected >= ENOUGH => u32::MAX,
            Suspicion::Hidden | Suspicion::Frame => total / 5 * 2,
            Suspicion::Comments => total / 2,
            Suspicion::Likely => total / 5,
            Suspicion::Appendage => (total / 10).min(MAX_APPENDAGE),
        });
        if bound.is_some_and(|bound| sums.prose(at, end) < bound.max(1)) {
            skip[at] = true;
            at = end;
        } else {
            at += 1;
        }
    }
    skip
}

/// Marks what its tag alone makes no text, and what is not shown.
pub(super) fn by_tag(tree: &Tree<'_>, _: &Sums) -> Vec<bool> {
    let goes = |node: &Node| {
        node.names.has(Names::HIDDEN)
            || matches!(node.tag, Tag::Nav | Tag::Footer | Tag::Menu | Tag::Button | Tag::Select | Tag::Aside)
    };
    tree.nodes.iter().map(goes).collect()
}

/// How many of the elements that a page has once stand before each node.
fn landmarks(nodes: &[Node]) -> Vec<u32> {
    let mut counts = Vec::with_capacity(nodes.len() + 1);
    let mut count = 0;
    for node in nodes {
        counts.push(count);
        count += u32::from(matches!(node.tag, Tag::Main | Tag::H1));
    }
    counts.push(count);
    counts
}

/// The prose within anything that is hidden, comments, or frame without a landmark.
fn suspected(tree: &Tree<'_>, sums: &Sums, landmarks: &[u32]) -> u32 {
    let (mut sum, mut at) = (0, 1);
    while at < tree.nodes.len() {
        let node = &tree.nodes[at];
        let end = node.end as usize;
        let is_suspected = match suspicion(node) {
            Some(Suspicion::Hidden | Suspicion::Comments) => true,
            Some(Suspicion::Frame) => landmarks[end] == landmarks[at],
            _ => false,
        };
        if is_suspected {
            sum += sums.prose(at, end);
            at = end;
        } else {
            at += 1;
        }
    }
    sum
}
