//! Inputs on web servers: lists, redirects, servers that are busy, and files that change.

use crate::support::web::Site;
use crate::support::{Ran, Scene, corpus};

fn job(scene: &Scene, name: &str, paths: &str) -> Ran {
    let stages = format!("pipeline:\n  - read: {{paths: [\"{paths}\"]}}\n  - clean: {{}}\n");
    scene.job(name, &format!("target_bytes: 8 KiB\nmax_attempts: 2\n{stages}"));
    scene.run(&["run", &format!("{name}.yaml"), "--workers", "2"])
}

#[test]
fn a_list_on_a_web_server_names_files_from_its_root() {
    let pages = corpus::pages(71, 120);
    let (first, second) = pages.split_at(60);
    let site = Site::start(vec![
        ("/lists/warc.paths.gz".to_owned(), corpus::gzip(b"data/a.jsonl.gz\nmoved/data/b.jsonl\n")),
        ("/data/a.jsonl.gz".to_owned(), corpus::gzip_members(&corpus::jsonl(first), 4_000)),
        ("/data/b.jsonl".to_owned(), corpus::jsonl(second)),
    ]);
    let scene = Scene::new();
    site.be_busy(3);
    job(&scene, "web", &format!("@{}/lists/warc.paths.gz", site.url())).ended(0);
    let output = scene.output("web");
    output.check();
    let texts: Vec<String> = output.documents("clean").into_iter().map(|document| document.text).collect();
    assert_eq!(texts, pages.iter().map(|page| page.text.clone()).collect::<Vec<_>>());
    let sources: Vec<String> =
        output.documents("clean").into_iter().map(|document| document.source).collect();
    assert!(sources[0].ends_with("data/a.jsonl.gz"), "{}", sources[0]);
    assert!(site.was_busy(), "the server sent somebody away, who came again");
}

#[test]
fn a_file_that_changes_under_a_job_fails_it_by_name() {
    let site = Site::start(vec![("/data/a.jsonl".to_owned(), corpus::jsonl(&corpus::pages(72, 40)))]);
    let scene = Scene::new();
    // The first question is the plan's; whoever asks later gets another answer.
    site.change_after(1);
    let ran = job(&scene, "changed", &format!("{}/data/a.jsonl", site.url())).ended(1);
    assert!(ran.stderr.contains("/data/a.jsonl") && ran.stderr.contains("changed"), "{}", ran.stderr);
}

#[test]
fn a_server_without_ranges_is_read_in_one_answer() {
    let pages = corpus::pages(73, 60);
    // More than one request of a read with ranges would bring, and cut into pieces.
    let long: Vec<corpus::Page> = (0..50)
        .map(|number| corpus::Page {
            url: format!("https://example.com/long/{number}"),
            text: format!("Page {number} has much to say. ").repeat(5_000),
        })
        .collect();
    let big = corpus::jsonl(&long);
    assert!(big.len() > 5 << 20);
    let site = Site::start(vec![
        ("/small.jsonl.gz".to_owned(), corpus::gzip(&corpus::jsonl(&pages))),
        ("/big.jsonl".to_owned(), big),
        ("/c.parquet".to_owned(), corpus::parquet(&pages)),
    ]);
    site.be_simple();
    let scene = Scene::new();
    let paths = ["big.jsonl", "c.parquet", "small.jsonl.gz"].map(|file| format!("\"{}/{file}\"", site.url()));
    let stages = format!("pipeline:\n  - read: {{paths: [{}]}}\n  - clean: {{}}\n", paths.join(", "));
    scene.job("simple", &format!("target_bytes: 2 MiB\nmax_attempts: 1\n{stages}"));
    scene.run(&["run", "simple.yaml", "--workers", "2"]).ended(0);
    let output = scene.output("simple");
    output.check();
    assert!(output.manifest("clean").files.len() > 1, "several tasks shared the big file");
    let texts: Vec<String> = output.documents("clean").into_iter().map(|document| document.text).collect();
    let expected = long.iter().chain(&pages).chain(&pages).map(|page| page.text.trim_end().to_owned());
    assert_eq!(texts, expected.collect::<Vec<_>>());

    // Without entity tags the time of the last change tells.
    let site = Site::start(vec![("/a.jsonl".to_owned(), corpus::jsonl(&pages))]);
    site.be_simple();
    site.change_after(1);
    let ran = job(&scene, "changed", &format!("{}/a.jsonl", site.url())).ended(1);
    assert!(ran.stderr.contains("/a.jsonl") && ran.stderr.contains("changed"), "{}", ran.stderr);
}

#[test]
fn what_cannot_be_read_from_the_web_is_said_before_a_run() {
    let site = Site::start(Vec::new());
    let scene = Scene::new();
    let ran = job(&scene, "glob", &format!("{}/data/*.jsonl", site.url())).ended(2);
    assert!(ran.stderr.contains("lists no files"), "{}", ran.stderr);
    let ran = job(&scene, "absent", &format!("{}/data/a.jsonl", site.url())).ended(2);
    assert!(ran.stderr.contains("/data/a.jsonl"), "{}", ran.stderr);
    let ran = job(&scene, "plain", "http://example.invalid/a.jsonl").ended(2);
    assert!(ran.stderr.contains("https://"), "{}", ran.stderr);
}
