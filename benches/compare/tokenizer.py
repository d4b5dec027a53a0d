#!/usr/bin/env python3
"""Documents to `.bin` and `.idx` beside Hugging Face's tokenizers, in CPU-seconds, with GPT-2's vocabulary and a trained one.

    cargo build --release --workspace --bins
    python3 -m venv ENV && ENV/bin/pip install tokenizers numpy zstandard
    ENV/bin/python benches/compare/tokenizer.py [--rounds 5] [--copies 4]

All of ../shared/data/docs_corpus (English, Chinese and much else). Ours is the whole command, `orchestrator run` of a job
that reads and tokenizes, coordinator, Parquet between the stages, index, journal and report included. The library gets the
texts in memory, in batches, on one thread, and its ids are written to one file as they come; loading the tokenizer does not
count. Its training runs once, over the same texts, and ours is given its file: the vocabularies are one. The token ids of
every document are compared before anything is printed. Medians of rounds in turns.
"""

import argparse
import collections
import hashlib
import json
import os
import pathlib
import resource
import shutil
import statistics
import struct
import subprocess
import sys
import tempfile
import time

os.environ["TOKENIZERS_PARALLELISM"] = "false"
import numpy
import zstandard
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

ROOT = pathlib.Path(__file__).resolve().parents[2]
DATA = ROOT.parent / "shared/data"
TARGET = pathlib.Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target"))
BINARY = TARGET / os.environ.get("PROFILE", "release") / "orchestrator"
END = "<|endoftext|>"

JOB = """
name: tokens
output: {output}
pipeline:
  - read: {{paths: ["{inputs}/*.jsonl.zst"]}}
  - tokenize: {{tokenizer: "{tokenizer}"}}
"""


def texts():
    found = []
    for path in sorted((DATA / "docs_corpus").glob("*.jsonl.zst")):
        lines = zstandard.ZstdDecompressor().stream_reader(path.open("rb")).read().decode().splitlines()
        # The reader takes a byte order mark off.
        found += [json.loads(line)["text"].removeprefix("\ufeff") for line in lines]
    return found


def trained(corpus, path):
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=32_000,
        special_tokens=[END],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(corpus, trainer)
    tokenizer.save(str(path))


def published(path):
    folder = DATA / "tokenizer/gpt2"
    tokenizer = Tokenizer(models.BPE.from_file(str(folder / "vocab.json"), str(folder / "merges.txt")))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.add_special_tokens([END])
    tokenizer.save(str(path))


def theirs(tokenizer, corpus, path):
    end = tokenizer.token_to_id(END)
    start = time.process_time()
    with open(path, "wb") as out:
        for first in range(0, len(corpus), 256):
            batch = tokenizer.encode_batch_fast(corpus[first : first + 256], add_special_tokens=False)
            for encoding in batch:
                out.write(numpy.array(encoding.ids + [end], dtype=numpy.uint16).tobytes())
    return time.process_time() - start


def ours(job, output):
    shutil.rmtree(output, ignore_errors=True)
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    run = subprocess.run([BINARY, "run", job, "--workers", "1"], capture_output=True, text=True)
    if run.returncode:
        sys.exit(run.stderr)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime - before.ru_utime + after.ru_stime - before.ru_stime


def documents(output):
    """How often each sequence of ids is there, read from the index as Megatron does."""
    found = collections.Counter()
    for index in sorted((output / "tokens").glob("*.idx")):
        data = index.read_bytes()
        assert data[:9] == b"MMIDIDX\x00\x00", index
        _, code, sequences, ends = struct.unpack_from("<QBQQ", data, 9)
        width = {8: numpy.uint16, 4: numpy.int32}[code]
        lengths = numpy.frombuffer(data, numpy.int32, sequences, 34)
        tokens = numpy.fromfile(index.with_suffix(".bin"), width)
        at = 0
        for length in lengths:
            found[hashlib.sha256(tokens[at : at + length].astype(numpy.uint32).tobytes()).digest()] += 1
            at += length
        assert at == len(tokens), index
    return found


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--copies", type=int, default=4, help="of the corpus, for ours alone")
    arguments = parser.parse_args()
    for needed in (BINARY, DATA):
        if not needed.exists():
            sys.exit(f"{needed} is absent")
    corpus = texts()
    size = sum(len(text.encode()) for text in corpus) / 1e6
    with tempfile.TemporaryDirectory() as folder:
        folder = pathlib.Path(folder)
        (folder / "in").mkdir()
        rows = b"".join(json.dumps({"text": text}).encode() + b"\n" for text in corpus)
        for copy in range(arguments.copies):
            (folder / f"in/{copy}.jsonl.zst").write_bytes(zstandard.compress(rows))
        trained(corpus, folder / "trained.json")
        published(folder / "gpt2.json")
        files = {"gpt2": folder / "gpt2.json", "trained 32k": folder / "trained.json"}
        wrong = False
        for name, path in files.items():
            tokenizer = Tokenizer.from_file(str(path))
            output, job = folder / "out", folder / "job.yaml"
            job.write_text(JOB.format(output=output, inputs=folder / "in", tokenizer=path))
            ours(job, output)
            end = tokenizer.token_to_id(END)
            expected = collections.Counter()
            for text in corpus:
                ids = tokenizer.encode(text, add_special_tokens=False).ids + [end]
                expected[hashlib.sha256(numpy.array(ids, dtype=numpy.uint32).tobytes()).digest()] += arguments.copies
            found = documents(output)
            different = sum((expected - found).values())
            wrong |= found != expected
            print(f"{name}: {len(corpus)} documents, {size:.1f} MB, {different} with other ids", flush=True)
            speeds = [
                (size / theirs(tokenizer, corpus, folder / "ids.bin"), arguments.copies * size / ours(job, output))
                for _ in range(arguments.rounds)
            ]
            peer, own = (statistics.median(column) for column in zip(*speeds))
            print(f"  tokenizers {peer:.2f} MB/s, ours {own:.2f} MB/s of text per CPU-second: {own / peer:.1f} times")
            for peer, own in speeds:
                print(f"    {peer:.2f} {own:.2f}")
    sys.exit(wrong)


if __name__ == "__main__":
    main()
