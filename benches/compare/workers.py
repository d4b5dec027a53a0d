#!/usr/bin/env python3
"""The whole data path from WARC to tokens with one worker and with two, in wall seconds.

    cargo build --release --workspace --bins
    python3 -m venv ENV && ENV/bin/pip install warcio
    ENV/bin/python benches/compare/workers.py [--copies 12] [--rounds 5] [--files 8]

The pages of ../shared/data/html_extraction/scrapinghub, each copy with a word of its own in every paragraph so that no copy
is a duplicate, as gzipped WARC files written by warcio. The job is read, clean, language, filter, dedup, pii and a tokenizer
that is trained: its barriers (clusters of duplicates, the vocabulary) are one task each, and count. The digests of all stages
must be equal. Medians of rounds in turns; a machine with two free cores is needed.
"""

import argparse
import gzip
import io
import json
import os
import pathlib
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
import time

from warcio.statusandheaders import StatusAndHeaders
from warcio.warcwriter import WARCWriter

ROOT = pathlib.Path(__file__).resolve().parents[2]
PAGES = ROOT.parent / "shared/data/html_extraction/scrapinghub/html"
TARGET = pathlib.Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target"))
BINARY = TARGET / os.environ.get("PROFILE", "release") / "orchestrator"

JOB = """
name: workers
output: {output}
target_bytes: {target} MiB
pipeline:
  - read: {{paths: ["{inputs}/*.warc.gz"]}}
  - clean: {{}}
  - language: {{keep: [en]}}
  - filter: {{rules: [gopher-quality]}}
  - dedup: {{}}
  - pii: {{}}
  - tokenize: {{train: {{vocab_size: 8000, sample: 4 MiB}}}}
"""


def warcs(folder, copies, files):
    """Writes the files; returns the bytes of their pages."""
    pages = [gzip.decompress(path.read_bytes()) for path in sorted(PAGES.glob("*.html.gz"))]
    writers = []
    for number in range(files):
        writers.append(WARCWriter((folder / f"{number:03}.warc.gz").open("wb"), gzip=True))
    size = 0
    for copy in range(copies):
        for number, page in enumerate(pages):
            page = page.replace(b"<p>", f"<p>Edition {copy} of page {number}, {copy * 7919 + number}: ".encode())
            headers = StatusAndHeaders("200 OK", [("Content-Type", "text/html; charset=utf-8")], protocol="HTTP/1.1")
            writer = writers[(copy * len(pages) + number) % files]
            uri = f"http://example.org/{copy}/{number}"
            date = {"WARC-Date": "2026-01-01T00:00:00Z"}
            writer.write_record(
                writer.create_warc_record(
                    uri, "response", payload=io.BytesIO(page), http_headers=headers, warc_headers_dict=date
                )
            )
            size += len(page)
    for writer in writers:
        writer.out.close()
    return size


def run(job, output, workers):
    shutil.rmtree(output, ignore_errors=True)
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    start = time.monotonic()
    done = subprocess.run([BINARY, "run", job, "--workers", str(workers)], capture_output=True, text=True)
    wall = time.monotonic() - start
    if done.returncode:
        sys.exit(done.stderr)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    manifests = sorted(output.glob("stages/*/manifest.json"))
    digests = {path.parent.name: json.loads(path.read_text())["digest"] for path in manifests}
    return wall, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime, digests


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--copies", type=int, default=12)
    parser.add_argument("--files", type=int, default=8)
    parser.add_argument("--target", type=int, default=4, help="`target_bytes` in MiB: the size of a task")
    parser.add_argument("--rounds", type=int, default=5)
    arguments = parser.parse_args()
    for needed in (BINARY, PAGES):
        if not needed.exists():
            sys.exit(f"{needed} is absent")
    with tempfile.TemporaryDirectory() as folder:
        folder = pathlib.Path(folder)
        (folder / "in").mkdir()
        size = warcs(folder / "in", arguments.copies, arguments.files)
        job, output = folder / "job.yaml", folder / "out"
        job.write_text(JOB.format(output=output, inputs=folder / "in", target=arguments.target))
        rounds = []
        for _ in range(arguments.rounds):
            one, two = run(job, output, 1), run(job, output, 2)
            if one[2] != two[2]:
                sys.exit(f"one worker and two differ: {one[2]} {two[2]}")
            rounds.append((one[0], two[0]))
            print(
                f"  one {one[0]:.2f} s ({one[1]:.1f} CPU-s), two {two[0]:.2f} s ({two[1]:.1f} CPU-s): "
                f"{one[0] / two[0]:.2f} times",
                flush=True,
            )
        one, two = (statistics.median(column) for column in zip(*rounds))
        print(f"{size / 1e6:.1f} MB of pages: {one:.2f} s and {two:.2f} s, {one / two:.2f} times; digests equal")


if __name__ == "__main__":
    main()
