#!/usr/bin/env python3
"""The four FineWeb filters beside datatrove, and language scoring beside fastText, in CPU-seconds on one core.

    cargo build --release -p orchestrator-text --example speed
    python3 -m venv ENV && ENV/bin/pip install datatrove==0.10.1 spacy fasttext
    ENV/bin/python benches/compare/filters.py filters|language [--documents 300] [--rounds 5]

Each filter judges every document. Outputs are compared before anything is timed. The texts are English pages and
documentation of ../shared/data; ours are repeated until reading them costs little beside the work. Medians of interleaved
rounds.
"""

import argparse
import gzip
import json
import os
import pathlib
import resource
import statistics
import subprocess
import sys
import tempfile
import time

ROOT = pathlib.Path(__file__).resolve().parents[2]
DATA = ROOT.parent / "shared/data"
TARGET = pathlib.Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target"))
SPEED = TARGET / os.environ.get("PROFILE", "release") / "examples/speed"


def texts(documents):
    found = []
    with gzip.open(DATA / "web_text/c4_demo.jsonl.gz", "rt", encoding="utf-8") as lines:
        found += [json.loads(line)["text"] for line in lines]
    with gzip.open(DATA / "quality/dclm_majority_data.jsonl.gz", "rt", encoding="utf-8") as lines:
        found += [json.loads(line)["text"] for line in lines]
    return found[:documents]


def ours(what, path, times, *model):
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    run = subprocess.run([SPEED, what, path, str(times), *model], capture_output=True, text=True, check=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    seconds = after.ru_utime - before.ru_utime + after.ru_stime - before.ru_stime
    return run.stdout.splitlines(), seconds


def datatrove_filters():
    from datatrove.data import Document
    from datatrove.pipeline.filters import (
        C4QualityFilter,
        FineWebQualityFilter,
        GopherQualityFilter,
        GopherRepetitionFilter,
    )

    # FineWeb turned C4's rule on end marks off.
    filters = [
        GopherRepetitionFilter(),
        GopherQualityFilter(),
        C4QualityFilter(filter_no_terminal_punct=False),
        FineWebQualityFilter(),
    ]

    def judge(text):
        verdicts = []
        for one in filters:
            result = one.filter(Document(text=text, id="0"))
            verdicts.append("pass" if result is True else result[1] if isinstance(result, tuple) else "drop")
        return "\t".join(verdicts)

    return judge


def fasttext_language(model):
    import fasttext

    fasttext.FastText.eprint = lambda *_: None
    loaded = fasttext.load_model(str(model))

    def judge(text):
        # The binding's predict wants one line; the call below it is what it does, without the list it makes of it.
        found = loaded.f.predict(text.replace("\n", " ") + "\n", 1, 0.0, "strict")
        return f"{found[0][1]}\t{found[0][0]:.6f}" if found else ""

    return judge


def equal(what, ours, theirs):
    if what == "filters":
        return ours == theirs
    (label, score), (other, other_score) = ours.split("\t"), theirs.split("\t")
    return label == other and abs(float(score) - float(other_score)) < 1e-5


def main():
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("what", choices=["filters", "language"])
    arguments.add_argument("--documents", type=int, default=300)
    arguments.add_argument("--rounds", type=int, default=5)
    chosen = arguments.parse_args()
    documents = texts(chosen.documents)
    size = sum(len(text.encode()) for text in documents) / 1e6
    model = [str(DATA / "langid/lid.176.ftz")] if chosen.what == "language" else []
    judge = fasttext_language(model[0]) if model else datatrove_filters()
    times = max(2, int(60 / size))
    with tempfile.NamedTemporaryFile("w", suffix=".jsonl", encoding="utf-8") as file:
        file.writelines(json.dumps({"text": text}) + "\n" for text in documents)
        file.flush()
        found, _ = ours(chosen.what, file.name, 1, *model)
        peers = [judge(text) for text in documents]
        different = [(i, a, b) for i, (a, b) in enumerate(zip(found, peers)) if not equal(chosen.what, a, b)]
        print(f"{len(documents)} documents, {size:.2f} MB, {len(different)} with another outcome {different[:3]}")
        rounds = []
        for _ in range(chosen.rounds):
            start = time.process_time()
            for text in documents:
                judge(text)
            peer = time.process_time() - start
            _, reading = ours("read", file.name, 1)
            _, whole = ours(chosen.what, file.name, times, *model)
            rounds.append((size / peer, size * times / (whole - reading)))
            print(f"  peer {rounds[-1][0]:.3f} MB/s, ours {rounds[-1][1]:.2f} MB/s", flush=True)
    peer, own = (statistics.median(column) for column in zip(*rounds))
    print(f"median: peer {peer:.3f} MB/s, ours {own:.2f} MB/s, {own / peer:.1f} times")
    sys.exit(bool(different))


if __name__ == "__main__":
    main()
