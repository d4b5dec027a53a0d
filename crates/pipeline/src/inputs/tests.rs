use super::*;

fn corpus() -> tempfile::TempDir {
    let directory = tempfile::tempdir().expect("a temporary directory");
    for (path, text) in [("a/1.md", "one"), ("a/b/2.md", "two"), ("a/b/3.txt", "three"), ("c.bin", "?")] {
        let path = directory.path().join(path);
        std::fs::create_dir_all(path.parent().expect("it has one")).expect("a directory");
        std::fs::write(path, text).expect("a file");
    }
    directory
}

fn read(directory: &tempfile::TempDir, paths: &[&str]) -> ReadConfig {
    let base = directory.path().to_str().expect("UTF-8");
    ReadConfig { paths: paths.iter().map(|path| format!("{base}/{path}")).collect(), ..ReadConfig::default() }
}

#[test]
fn globs_find_files_in_bytewise_order_and_name_them_below_the_root() {
    let corpus = corpus();
    let freeze = |paths: &[&str]| freeze(&read(&corpus, paths), "/out").expect("they are there").files;
    let inputs = freeze(&["**/*.md", "a/b/3.txt"]);
    let sources: Vec<&str> = inputs.iter().map(|input| input.source.as_str()).collect();
    assert_eq!(sources, ["a/1.md", "a/b/2.md", "a/b/3.txt"]);
    assert_eq!(inputs[0].bytes, 3);
    // One star does not cross a directory.
    assert_eq!(freeze(&["a/*.md"]).len(), 1);
    // Braces that hold a directory stand for more than one level.
    assert_eq!(freeze(&["a/{1.md,b/2.md}"]).len(), 2);
}

/// The key and the words of what is wrong.
fn fault(read: &ReadConfig) -> (String, String) {
    let fault = freeze(read, "/out").expect_err("it cannot be");
    (fault.key, fault.error.to_string())
}

#[track_caller]
fn says(read: &ReadConfig, key: &str, wanted: &str) {
    let (found, message) = fault(read);
    assert_eq!(found, key, "{message}");
    assert!(message.contains(wanted), "`{wanted}` in `{message}`");
}

#[test]
fn lists_name_files_beside_them_or_objects_of_their_bucket() {
    for (list, base) in [
        ("/data/lists/a.txt", "/data/lists"),
        ("https://host/crawl-data/x/warc.paths.gz", "https://host"),
        ("s3://bucket/x/list", "s3://bucket"),
    ] {
        assert_eq!(list_base(list), base);
    }
    let corpus = corpus();
    let list = "a/1.md\n\n  a/b/2.md\r\n";
    std::fs::write(corpus.path().join("list"), list).expect("a file");
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    std::io::Write::write_all(&mut gzip, list.as_bytes()).expect("write");
    std::fs::write(corpus.path().join("list.gz"), gzip.finish().expect("finish")).expect("a file");
    let base = corpus.path().to_str().expect("UTF-8");
    for list in ["list", "list.gz"] {
        let read = ReadConfig { paths: vec![format!("@{base}/{list}")], ..ReadConfig::default() };
        let inputs = freeze(&read, "/out").expect("they are there").files;
        let urls: Vec<&str> = inputs.iter().map(|input| input.url.as_str()).collect();
        assert_eq!(urls, [format!("{base}/a/1.md"), format!("{base}/a/b/2.md")], "{list}");
    }
}

#[test]
fn what_is_not_there_or_not_known_is_named_with_its_key() {
    let corpus = corpus();
    says(&read(&corpus, &["a/1.md", "nothing/*.md"]), "paths[1]", "nothing/*.md` matches no file");
    says(&read(&corpus, &["a/0.md"]), "paths[0]", "a/0.md` matches no file");
    says(&read(&corpus, &["a"]), "paths[0]", "is a directory");
    says(&read(&corpus, &["c.bin"]), "paths[0]", "set `format`");
    says(&read(&corpus, &["a/[z-a].md"]), "paths[0]", "is no glob: ");
    let exclude = |glob: &str| ReadConfig { exclude: vec![glob.to_owned()], ..read(&corpus, &["**/*.md"]) };
    says(&exclude("{a"), "exclude[0]", "`{a` is no glob");
    says(&exclude("*"), "exclude", "leaves no file");
    let elsewhere = ReadConfig { root: Some("/nowhere".to_owned()), ..read(&corpus, &["a/1.md"]) };
    says(&elsewhere, "root", "does not lie below `root`");
    let run =
        ReadConfig { run: Some("/nowhere".into()), stage: Some("read".into()), ..ReadConfig::default() };
    says(&run, "run", "no finished stage lies there");
}

#[test]
fn exclusions_match_the_end_of_paths_and_idle_ones_are_said() {
    let corpus = corpus();
    let freeze = |exclude: &str| {
        let read = ReadConfig { exclude: vec![exclude.to_owned()], ..read(&corpus, &["**/*.md"]) };
        let frozen = freeze(&read, "/out").expect("something is left");
        (frozen.files.into_iter().map(|file| file.source).collect::<Vec<_>>(), frozen.remarks)
    };
    for exclude in ["**/2*", "2.md", "b/*.md", "a/b/**"] {
        assert_eq!(freeze(exclude), (vec!["a/1.md".to_owned()], vec![]), "{exclude}");
    }
    let (files, remarks) = freeze("x*");
    assert_eq!((files.len(), remarks.len()), (2, 1));
    assert!(remarks[0].contains("`x*`, which matches none"), "{remarks:?}");
}

#[test]
fn a_directory_with_the_name_of_a_glob_is_a_directory() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let odd = directory.path().join("dir [v2]");
    std::fs::create_dir(&odd).expect("a directory");
    std::fs::write(odd.join("a.jsonl"), "{}").expect("a file");
    let base = escape(odd.to_str().expect("UTF-8"));
    for name in ["a.jsonl", "*.jsonl"] {
        let read = ReadConfig { paths: vec![format!("{base}/{name}")], ..ReadConfig::default() };
        let files = freeze(&read, "/out").expect("it is there").files;
        assert_eq!((files.len(), files[0].source.as_str()), (1, "a.jsonl"), "{name}");
    }
}

#[test]
fn what_the_job_itself_writes_is_no_input() {
    let corpus = corpus();
    let output = corpus.path().join("out");
    std::fs::create_dir_all(output.join(".orchestrator")).expect("a directory");
    std::fs::write(output.join(".orchestrator/owner.md"), "x").expect("a file");
    let frozen = freeze(&read(&corpus, &["**/*.md"]), output.to_str().expect("UTF-8")).expect("others");
    assert_eq!(frozen.files.len(), 2);
    let own = read(&corpus, &["out/.orchestrator/owner.md"]);
    let fault = freeze(&own, output.to_str().expect("UTF-8")).expect_err("its own file");
    assert!(matches!(fault.error, InputError::OwnOutput { .. }));
}

#[cfg(unix)]
#[test]
fn links_to_directories_and_files_on_their_way_are_said() {
    let corpus = corpus();
    std::os::unix::fs::symlink(corpus.path().join("a"), corpus.path().join("linked")).expect("a link");
    std::fs::write(corpus.path().join("a/.tmp-9.md"), "x").expect("a file");
    let frozen = freeze(&read(&corpus, &["**/*.md"]), "/out").expect("others");
    assert_eq!(frozen.files.len(), 2);
    let [temporary, linked] = frozen.remarks.as_slice() else { panic!("{:?}", frozen.remarks) };
    assert!(temporary.contains(".tmp-9.md") && linked.contains("linked` is a link"), "{temporary} {linked}");
    // Neither could match here.
    assert!(
        freeze(&read(&corpus, &["*/b/*.txt"]), "/out")
            .expect("one")
            .remarks
            .iter()
            .all(|remark| remark.contains("linked"))
    );
    assert_eq!(freeze(&read(&corpus, &["a/1.*"]), "/out").expect("one").remarks, Vec::<String>::new());
}

#[cfg(unix)]
#[test]
fn what_matches_and_is_no_file_is_said() {
    let corpus = corpus();
    std::fs::create_dir(corpus.path().join("d.md")).expect("a directory");
    std::fs::write(corpus.path().join("d.md/part-0"), "x").expect("a file");
    std::os::unix::fs::symlink("nowhere", corpus.path().join("gone.md")).expect("a link");
    let _socket = std::os::unix::net::UnixListener::bind(corpus.path().join("s.md")).expect("a socket");
    let frozen = freeze(&read(&corpus, &["**/*.md"]), "/out").expect("others");
    assert_eq!(frozen.files.len(), 2);
    let [gone, socket, directory] = frozen.remarks.as_slice() else { panic!("{:?}", frozen.remarks) };
    assert!(gone.contains("/gone.md` is left out: it is a link to what is not there"), "{gone}");
    assert!(socket.contains("s.md` is left out: it is a pipe, a socket"), "{socket}");
    assert!(directory.contains("d.md` is a directory, and no file in it matches"), "{directory}");
    says(&read(&corpus, &["d.*"]), "paths[0]", "matches no file; passed by: `");
    // A directory whose files match is what the pattern is for, and what does not match is nobody's concern.
    for pattern in ["a/**", "a/1.*"] {
        assert_eq!(
            freeze(&read(&corpus, &[pattern]), "/out").expect("some").remarks,
            Vec::<String>::new(),
            "{pattern}"
        );
    }
    let remarks = freeze(&read(&corpus, &["a/[1b]*"]), "/out").expect("one").remarks;
    assert!(remarks.len() == 1 && remarks[0].contains("a/b` is a directory"), "{remarks:?}");
}

#[test]
fn only_directories_that_can_hold_a_match_are_looked_into() {
    let level = |glob: &str| Some(matcher(glob).expect("a glob"));
    let levels = [level("x*"), level("b"), None];
    for (path, holds) in [("xa", true), ("y", false), ("xa/b", true), ("xa/c", false), ("xa/b/c/d", true)] {
        assert_eq!(may_hold(&levels, path), holds, "{path}");
    }
    assert!(!may_hold(&[level("*.md")], "secret"));
}
