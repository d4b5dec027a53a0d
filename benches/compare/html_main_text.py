"""Main text of HTML pages: ours beside trafilatura's, on the same pages, by the benchmarks' own scores and CPU-seconds.

    python -m venv VENV && VENV/bin/pip install trafilatura lxml_html_clean
    cargo build --release -p orchestrator-text --example main_text
    VENV/bin/python benches/compare/html_main_text.py ../shared/data/html_extraction target/release/examples/main_text

Scores:
- the article extraction benchmark (Scrapinghub): shingles of four words, counted with their repetitions; precision and
  recall per page, averaged over pages; F1 of the averages;
- trafilatura's evaluation: the segments that must be in a text, and those that must not be.

Pages are split into halves by a hash of their file's name. Rules were written looking at the development half alone, so
a tuning to its pages would show as a gap between the halves. Both sides get bytes and find the charset by themselves.
"""

import argparse
import gzip
import hashlib
import json
import re
import resource
import subprocess
import tarfile
import tempfile
import time
from collections import Counter
from pathlib import Path

HALVES = ("development", "held out", "all")
MODES = {
    "default": {},
    "no comments": {"include_comments": False},
    "favour precision": {"include_comments": False, "favor_precision": True},
}


def half(name):
    return HALVES[hashlib.sha256(name.encode()).digest()[0] % 2]


def shingles(text):
    words = re.findall(r"\w+", text)
    return Counter(tuple(words[at : at + 4]) for at in range(max(1, len(words) - 3)))


def article_score(gold, text):
    """Precision and recall of one page."""
    gold, text = shingles(gold), shingles(text)
    right, extra, missing = (sum(count.values()) for count in (gold & text, text - gold, gold - text))
    precision = right / (right + extra) if right + extra else 1.0
    recall = right / (right + missing) if right + missing else 1.0
    return precision, recall


def read(data, pages):
    """Lays the pages out as files; gives the gold answers: file name to article, file name to segments."""
    articles, segments = {}, {}
    (pages / "articles").mkdir()
    for name, gold in json.loads((data / "scrapinghub/ground-truth.json").read_text()).items():
        articles[name + ".html"] = gold["articleBody"]
        page = gzip.decompress((data / f"scrapinghub/html/{name}.html.gz").read_bytes())
        (pages / f"articles/{name}.html").write_bytes(page)
    tar = subprocess.run(["zstd", "-dc", data / "trafilatura/html.tar.zst"], check=True, capture_output=True).stdout
    with tempfile.TemporaryFile() as file:
        file.write(tar)
        file.seek(0)
        with tarfile.open(fileobj=file) as archive:
            archive.extractall(pages, filter="data")
    (pages / "html").rename(pages / "segments")
    for item in json.loads((data / "trafilatura/evaldata.json").read_text()).values():
        segments[item["file"]] = item
    return articles, segments


def report(name, articles, segments, texts, pages_per_second):
    for part in HALVES:
        chosen = lambda file: part in (half(file), "all")  # noqa: E731
        scores = [article_score(gold, texts["articles"][file]) for file, gold in articles.items() if chosen(file)]
        precision, recall = (sum(column) / len(scores) for column in zip(*scores))
        f1 = 2 * precision * recall / (precision + recall)
        kept = [s in texts["segments"][file] for file, item in segments.items() if chosen(file) for s in item["with"]]
        left = [s in texts["segments"][file] for file, item in segments.items() if chosen(file) for s in item["without"]]
        right = (sum(kept) + len(left) - sum(left)) / (len(kept) + len(left))
        print(
            f"{name:28} {part:12} P {precision:.4f} R {recall:.4f} F1 {f1:.4f} | with {sum(kept)}/{len(kept)}"
            f" without {sum(left)}/{len(left)} right {right:.4f} | {pages_per_second:.0f} pages/s"
        )


def ours(binary, pages, repeat, options):
    """Our texts by part and file, and pages per CPU-second: the process's time with repetitions less that without."""
    texts, seconds, count = {}, 0.0, 0
    for part in ("articles", "segments"):
        with tempfile.TemporaryDirectory() as out:
            spent = []
            for times in (0, repeat):
                before = resource.getrusage(resource.RUSAGE_CHILDREN)
                command = [binary, pages / part, out, *options, "--repeat", str(times)]
                subprocess.run(command, check=True)
                after = resource.getrusage(resource.RUSAGE_CHILDREN)
                spent.append(after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)
            texts[part] = {file.name[:-4]: file.read_text() for file in Path(out).iterdir()}
            if part == "articles":
                seconds, count = (spent[1] - spent[0]) / repeat, len(texts[part])
    return texts, count / seconds


def theirs(pages, options):
    import trafilatura

    texts, speed = {}, 0.0
    for part in ("articles", "segments"):
        sources = {file.name: file.read_bytes() for file in (pages / part).iterdir()}
        begin = time.process_time()
        texts[part] = {name: trafilatura.extract(page, **options) or "" for name, page in sources.items()}
        if part == "articles":
            speed = len(sources) / (time.process_time() - begin)
    return texts, speed


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", type=Path, help="the folder with scrapinghub/ and trafilatura/")
    parser.add_argument("binary", type=Path, help="the example main_text, built with --release")
    parser.add_argument("--repeat", type=int, default=20, help="how often ours extracts each page when timed")
    parser.add_argument("--only-ours", action="store_true")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        pages = Path(folder)
        articles, segments = read(arguments.data, pages)
        print(f"{len(articles)} articles and {len(segments)} pages with segments; speed on the articles, by CPU time")
        report("ours", articles, segments, *ours(arguments.binary, pages, arguments.repeat, []))
        if arguments.only_ours:
            return
        import trafilatura

        for mode, options in MODES.items():
            name = f"trafilatura {trafilatura.__version__}, {mode}"
            report(name, articles, segments, *theirs(pages, options))


if __name__ == "__main__":
    main()
