//! The chosen runs as text: a line each, or Markdown.
//!
//! Short cells of a table's row share a line. In Markdown nothing is escaped but `|` within tables: what a page says
//! stays as it says it.

use super::Structure;
use super::runs::Run;
use super::tag::{BLOCK, Tag};
use super::text::Writer;
use super::tree::Tree;

/// Longer cells hold paragraphs: their table lays out a page.
const MAX_CELL: u32 = 300;

/// Writes runs, which are in the order of the page.
pub(super) fn render(tree: &Tree<'_>, runs: &[Run], skip: &[bool], structure: Structure) -> String {
    let mut page = Page { tree, skip, structure, writer: Writer::default(), lists: Vec::new() };
    let mut at = 0;
    while at < runs.len() {
        at += match runs[at].context {
            context if context.preformatted > 0 => page.listing(&runs[at..]),
            context if context.cell > 0 => page.table(&runs[at..]),
            _ => page.paragraph(&runs[at]),
        };
    }
    page.writer.out.truncate(page.writer.out.trim_end().len());
    page.writer.out
}

/// The first characters of a run, as the writer has them.
pub(super) fn beginning(tree: &Tree<'_>, run: &Run, skip: &[bool], most: usize) -> String {
    let mut writer = Writer::default();
    let mut at = run.from as usize;
    // A character has four bytes at most.
    while at < run.to as usize && writer.out.len() < 4 * most {
        let node = &tree.nodes[at];
        if skip[at] {
            at = node.end as usize;
            continue;
        }
        if node.tag == Tag::Text {
            writer.push(up_to(tree.text(node), 8 * most));
        }
        at += 1;
    }
    writer.out
}

/// The text up to about this many bytes.
fn up_to(text: &str, bytes: usize) -> &str {
    let mut end = bytes.min(text.len());
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    &text[..end]
}

struct Page<'a> {
    tree: &'a Tree<'a>,
    skip: &'a [bool],
    structure: Structure,
    writer: Writer,
    /// The ordered lists that are open: the node and the number of their last item, and that item.
    lists: Vec<(u32, u32, u32)>,
}

impl Page<'_> {
    /// Writes one run; gives how many it wrote.
    fn paragraph(&mut self, run: &Run) -> usize {
        self.begin_block(run);
        if self.structure == Structure::Markdown {
            if run.context.heading > 0 {
                self.writer.push_mark(&"#".repeat(usize::from(run.context.heading)));
                self.writer.push(" ");
            } else if run.context.item > 0 {
                self.item(run);
            }
        }
        self.inline(run);
        self.writer.end_line();
        1
    }

    /// The white space and the quotation marks before a block.
    fn begin_block(&mut self, run: &Run) {
        self.writer.end_line();
        if self.structure == Structure::Lines {
            return;
        }
        let is_next_item = run.context.item > 0 && !self.lists_end(run);
        if !self.writer.out.is_empty() && !is_next_item {
            self.writer.out.push('\n');
        }
        self.writer.out.push_str(&"> ".repeat(usize::from(run.context.quotes.min(8))));
    }

    /// Whether the list that was written last is another than the run's.
    fn lists_end(&self, run: &Run) -> bool {
        !self.lists.iter().any(|(list, ..)| self.tree.nodes[*list as usize].end > run.from)
    }

    /// The bullet or number of a list's item, or the indentation of its second paragraph.
    fn item(&mut self, run: &Run) {
        let nodes = &self.tree.nodes;
        let list = nodes[run.context.item as usize].parent;
        while self.lists.last().is_some_and(|(open, ..)| nodes[*open as usize].end <= run.from) {
            self.lists.pop();
        }
        if !self.lists.iter().any(|(open, ..)| *open == list) {
            self.lists.push((list, 0, 0));
        }
        let depth = self.lists.len() - 1;
        let is_ordered = nodes[list as usize].tag == Tag::Ol;
        let Some((_, number, item)) = self.lists.iter_mut().find(|(open, ..)| *open == list) else { return };
        let is_new = *item != run.context.item;
        (*number, *item) = (*number + u32::from(is_new), run.context.item);
        let mark = match (is_new, is_ordered) {
            (true, true) => format!("{number}."),
            (true, false) => "-".to_owned(),
            (false, _) => " ".to_owned(),
        };
        self.writer.out.push_str(&"  ".repeat(depth.min(16)));
        self.writer.out.push_str(&mark);
        self.writer.out.push(' ');
    }

    /// The text of a run, with line breaks and, in Markdown, code.
    fn inline(&mut self, run: &Run) {
        let mut at = run.from as usize;
        let mut code_end = 0;
        while at < run.to as usize {
            let node = &self.tree.nodes[at];
            if code_end > 0 && at >= code_end {
                self.writer.push_mark("`");
                code_end = 0;
            }
            if self.skip[at] {
                at = node.end as usize;
                continue;
            }
            match node.tag {
                Tag::Text => self.writer.push(self.tree.text(node)),
                Tag::Br if run.context.heading == 0 && run.context.cell == 0 => self.writer.end_line(),
                Tag::Br => self.writer.push(" "),
                Tag::Code | Tag::Kbd | Tag::Samp | Tag::Tt
                    if self.structure == Structure::Markdown
                        && code_end == 0
                        && node.end <= run.to
                        && node.end as usize > at + 1 =>
                {
                    self.writer.push_mark("`");
                    code_end = node.end as usize;
                }
                _ => {}
            }
            at += 1;
        }
        if code_end > 0 {
            self.writer.push_mark("`");
        }
    }

    /// Writes the runs of one preformatted text, as they stand; gives how many they are.
    fn listing(&mut self, runs: &[Run]) -> usize {
        let node = runs[0].context.preformatted;
        let count = runs.iter().take_while(|run| run.context.preformatted == node).count();
        self.begin_block(&runs[0]);
        if self.structure == Structure::Markdown {
            self.writer.out.push_str("```");
            self.writer.out.push_str(language(self.tree, node as usize));
            self.writer.out.push('\n');
        }
        for run in &runs[..count] {
            for at in run.from as usize..run.to as usize {
                let node = &self.tree.nodes[at];
                match node.tag {
                    Tag::Text => self.writer.push_verbatim(self.tree.text(node)),
                    Tag::Br => self.writer.out.push('\n'),
                    _ => {}
                }
            }
            self.writer.end_line();
        }
        if self.structure == Structure::Markdown {
            self.writer.out.push_str("```\n");
        }
        count
    }

    /// Writes the runs of one table; gives how many they are. A table that lays out a page is written as paragraphs.
    fn table(&mut self, runs: &[Run]) -> usize {
        let table = runs[0].context.table;
        let is_cell = |run: &&Run| {
            run.context.table == table
                && run.context.cell > 0
                && run.letters <= MAX_CELL
                && run.context.preformatted == 0
                && run.context.heading == 0
        };
        let count = runs.iter().take_while(is_cell).count();
        let cells = &runs[..count];
        let rows: Vec<&[Run]> = cells.chunk_by(|one, other| self.row(one) == self.row(other)).collect();
        let is_of_one_run =
            |row: &&[Run]| row.windows(2).all(|pair| pair[0].context.cell != pair[1].context.cell);
        if count < 2 || !rows.iter().all(is_of_one_run) || rows.iter().all(|row| row.len() == 1) {
            return self.paragraph(&runs[0]);
        }
        if self.structure == Structure::Markdown {
            self.begin_block(&cells[0]);
        }
        let width = rows.iter().map(|row| row.len()).max().unwrap_or(1);
        for (at, row) in rows.into_iter().enumerate() {
            self.line(row, width);
            if at == 0 && self.structure == Structure::Markdown {
                self.writer.out.push_str(&"| --- ".repeat(width.min(256)));
                self.writer.out.push_str("|\n");
            }
        }
        count
    }

    fn row(&self, run: &Run) -> u32 {
        self.tree.nodes[run.context.cell as usize].parent
    }

    /// One row of a table.
    fn line(&mut self, row: &[Run], width: usize) {
        self.writer.end_line();
        for (at, cell) in row.iter().enumerate() {
            if self.structure == Structure::Lines {
                self.inline(cell);
                self.writer.out.push_str(if at + 1 < row.len() { "\t" } else { "" });
                continue;
            }
            self.writer.out.push_str("| ");
            let from = self.writer.out.len();
            self.inline(cell);
            if self.writer.out[from..].contains('|') {
                let escaped = self.writer.out.split_off(from).replace('|', "\\|");
                self.writer.out.push_str(&escaped);
            }
            self.writer.out.push(' ');
        }
        if self.structure == Structure::Markdown {
            self.writer.out.push_str(&"|  ".repeat((width - row.len()).min(256)));
            self.writer.out.push('|');
        }
        self.writer.end_line();
    }
}

/// The language that a listing's class names, as `language-rust` does.
fn language<'a>(tree: &Tree<'a>, pre: usize) -> &'a str {
    let inner = pre + 1;
    let elements = [pre, inner].into_iter().filter_map(|at| tree.nodes.get(at));
    for node in elements.filter(|node| node.tag == Tag::Code || node.tag.is(BLOCK)) {
        let classes = tree.text(node).split_ascii_whitespace();
        let named = classes
            .filter_map(|class| class.strip_prefix("language-").or_else(|| class.strip_prefix("lang-")));
        if let Some(name) = named.into_iter().find(|name| name.len() <= 20 && name.bytes().all(is_of_name)) {
            return name;
        }
    }
    ""
}

fn is_of_name(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'#' | b'-' | b'_')
}
