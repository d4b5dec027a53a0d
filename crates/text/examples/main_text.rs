//! Writes the main text of every page of a folder, as the stage `clean` extracts it.
//!
//! `cargo run --release -p orchestrator-text --example main_text -- PAGES TEXTS [--markdown] [--repeat N]`
//!
//! `PAGES/NAME` becomes `TEXTS/NAME.txt`; a page that is refused becomes an empty text. With `--repeat` the pages are
//! extracted so many times more, for `benches/compare/html_main_text.py`, which times the whole process.

use std::path::PathBuf;

use orchestrator_text::charset;
use orchestrator_text::html::{Structure, main_text};

#[expect(clippy::print_stderr, reason = "what an example has to say")]
fn main() -> std::io::Result<()> {
    let mut arguments: Vec<String> = std::env::args().skip(1).collect();
    let structure = match arguments.iter().position(|argument| argument == "--markdown") {
        Some(at) => {
            arguments.remove(at);
            Structure::Markdown
        }
        None => Structure::Lines,
    };
    let repeat = match arguments.iter().position(|argument| argument == "--repeat") {
        Some(at) => arguments.drain(at..).nth(1).and_then(|count| count.parse().ok()).unwrap_or(1),
        None => 0,
    };
    let [pages, texts] = arguments.as_slice() else {
        eprintln!("usage: main_text PAGES TEXTS [--markdown] [--repeat N]");
        std::process::exit(2);
    };
    let mut files: Vec<PathBuf> =
        std::fs::read_dir(pages)?.map(|entry| entry.map(|entry| entry.path())).collect::<Result<_, _>>()?;
    files.sort();
    let extract = |page: &[u8]| {
        main_text(
            &charset::decode(page, charset::Hints { is_html: true, ..charset::Hints::default() }).text,
            structure,
        )
    };
    for file in &files {
        let page = std::fs::read(file)?;
        for _ in 0..repeat {
            std::hint::black_box(extract(&page)).ok();
        }
        let name = file.file_name().unwrap_or_default().to_string_lossy();
        let text = extract(&page).unwrap_or_else(|fault| {
            eprintln!("{name}: {fault:?}");
            String::new()
        });
        std::fs::write(PathBuf::from(texts).join(format!("{name}.txt")), text)?;
    }
    Ok(())
}
