#!/usr/bin/env python3
"""MinHash signatures (14 bands of 8) from JSONL.zst to files beside datatrove and rensa, in CPU-seconds on one core.

    cargo build --release --workspace --examples
    python3 -m venv ENV && ENV/bin/pip install datatrove==0.10.1 orjson spacy tokenizers 'xxhash<4' zstandard rensa
    ENV/bin/python benches/compare/minhash.py [--megabytes 5] [--rounds 5]

The texts are the English ones of the documentation corpus and web pages of ../shared/data. Our files must be datatrove's,
byte for byte, before anything is timed. datatrove is measured inside its process, from the reader to its closed files, after
its word splitter was loaded; we are measured as a process, on twenty copies of the file. rensa has no splitter, no reader
and no files: it is given lists of 5-word shingles made in Python, which is counted. Medians of rounds in turns.
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

import zstandard

ROOT = pathlib.Path(__file__).resolve().parents[2]
DATA = ROOT.parent / "shared/data"
TARGET = pathlib.Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target"))
BINARY = TARGET / os.environ.get("PROFILE", "release") / "examples/signatures"
COPIES = 20


def lines_of(path):
    if path.suffix == ".gz":
        return gzip.open(path, "rt", encoding="utf-8")
    return io.TextIOWrapper(zstandard.ZstdDecompressor().stream_reader(open(path, "rb")), encoding="utf-8")


def corpus(most):
    names = ["web_text/c4_demo.jsonl.gz", "quality/dclm_majority_data.jsonl.gz"]
    names += [f"docs_corpus/{name}.jsonl.zst" for name in ("opentelemetry_io", "ethereum_eips", "tldr_pages")]
    texts, size = [], 0
    for name in names:
        with lines_of(DATA / name) as lines:
            for line in lines:
                text = json.loads(line)["text"]
                texts.append(text)
                size += len(text.encode())
                if size > most:
                    return texts, size
    return texts, size


def ours(path, folder, hash_name):
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run([BINARY, path, folder, hash_name], check=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime - before.ru_utime + after.ru_stime - before.ru_stime


def datatrove(path, folder, hash_fc):
    """CPU-seconds of the whole pipeline, in this process."""
    from datatrove.pipeline.dedup import MinhashDedupSignature
    from datatrove.pipeline.dedup.minhash import MinhashConfig
    from datatrove.pipeline.readers import JsonlReader
    from datatrove.utils.hashing import HashConfig
    from datatrove.utils.typeshelper import Languages

    config = MinhashConfig(
        n_grams=5, num_buckets=14, hashes_per_bucket=8, hash_config=HashConfig(hash_fc=hash_fc, precision=64)
    )
    reader = JsonlReader(str(path.parent), glob_pattern=path.name, compression="zstd")
    writer = MinhashDedupSignature(str(folder), config=config, language=Languages.english)
    writer.word_tokenizer.word_tokenize("The first words load the model.")
    start = time.process_time()
    writer.run(reader.run(rank=0, world_size=1), rank=0, world_size=1)
    return time.process_time() - start


def rensa(texts):
    from rensa import RMinHash

    start = time.process_time()
    for text in texts:
        words = text.lower().split()
        signature = RMinHash(num_perm=112, seed=1)
        signature.update([" ".join(words[i : i + 5]) for i in range(len(words) - 4)])
        signature.digest()
    return time.process_time() - start


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--megabytes", type=float, default=5)
    parser.add_argument("--rounds", type=int, default=5)
    arguments = parser.parse_args()
    if not BINARY.exists():
        sys.exit(f"{BINARY} is absent: cargo build --release --workspace --examples")
    if not DATA.exists():
        sys.exit(f"{DATA} is absent")
    texts, size = corpus(int(arguments.megabytes * 1e6))
    lines = b"".join(json.dumps({"text": text, "id": str(n)}).encode() + b"\n" for n, text in enumerate(texts))
    with tempfile.TemporaryDirectory() as folder:
        folder = pathlib.Path(folder)
        once, often = folder / "in/once.jsonl.zst", folder / "often/often.jsonl.zst"
        for path, copies in ((once, 1), (often, COPIES)):
            path.parent.mkdir()
            path.write_bytes(zstandard.compress(lines * copies))
        for name, hash_fc in (("sha1-64", "sha1"), ("xxh64", "xxhash")):
            datatrove(once, folder / f"theirs-{name}", hash_fc)
            ours(once, folder / f"ours-{name}", name)
            for band in range(14):
                found = sorted((folder / f"theirs-{name}/bucket_{band:03d}").glob("*.sig"))
                theirs = b"".join(path.read_bytes() for path in found)
                if theirs != (folder / f"ours-{name}/{band:03d}.minhash.sig").read_bytes():
                    sys.exit(f"{name}: band {band} is not datatrove's")
        print(f"{len(texts)} documents, {size / 1e6:.1f} MB: 14 files of each hash are datatrove's, byte for byte")
        seconds = {}
        for _ in range(arguments.rounds):
            for name, hash_fc in (("sha1-64", "sha1"), ("xxh64", "xxhash")):
                shutil.rmtree(folder / "timed", ignore_errors=True)
                seconds.setdefault(f"datatrove {name}", []).append(size / datatrove(once, folder / "timed", hash_fc))
            for name in ("sha1-64", "xxh64", "xxh3"):
                taken = ours(often, folder / "timed-ours", name)
                seconds.setdefault(f"ours {name}", []).append(COPIES * size / taken)
            seconds.setdefault("rensa", []).append(size / rensa(texts))
        for name, speeds in sorted(seconds.items()):
            speeds = [speed / 1e6 for speed in speeds]
            print(f"{name:20} {statistics.median(speeds):8.2f} MB/s ({min(speeds):.2f} to {max(speeds):.2f})")


main()
