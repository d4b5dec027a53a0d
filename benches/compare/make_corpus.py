"""Makes a corpus of a given size from real text: the Markdown files of Cargo's registry, repeated and perturbed.

    python3 benches/compare/make_corpus.py --megabytes 100 --output /tmp/corpus-100

Writes `corpus-NNNNN.jsonl.zst` of about 32 MB of text each and prints the bytes of text. The same registry, size and seed
give the same bytes: files are taken in the order of their paths, and each round replaces one word in twenty by a word of
another place in the corpus, so that no two rounds hold the same document but many hold similar ones.
Needs only the standard library and the command `zstd`.
"""

import argparse
import json
import os
import pathlib
import random
import subprocess

SHARD_BYTES = 32_000_000
DOCUMENT_BYTES = (200, 500_000)


def documents(registry):
    """The registry's Markdown as lists of words, in a fixed order; lines stay, since only blanks separate words here."""
    paths = sorted(registry.glob("src/*/*/**/*.md"), key=lambda path: path.parts[len(registry.parts) + 2:])
    for path in paths:
        if DOCUMENT_BYTES[0] <= path.stat().st_size <= DOCUMENT_BYTES[1]:
            yield path.read_text(encoding="utf-8", errors="replace").split(" ")


def perturbed(words, vocabulary, generator):
    words = words.copy()
    for _ in range(len(words) // 20):
        words[int(generator.random() * len(words))] = vocabulary[int(generator.random() * len(vocabulary))]
    return " ".join(words)


def records(registry, target, seed):
    """Yields (line, bytes of text) until the texts hold `target` bytes."""
    texts = list(documents(registry))
    if not texts:
        raise SystemExit(f"no Markdown under {registry}: build the workspace once")
    vocabulary = [word for words in texts for word in words if word.isalpha()]
    generator = random.Random(seed)
    written, number = 0, 0
    while True:
        for words in texts:
            text = perturbed(words, vocabulary, generator)
            size = len(text.encode())
            yield json.dumps({"id": f"{number:08}", "text": text}, ensure_ascii=False) + "\n", size
            number, written = number + 1, written + size
            if written >= target:
                return


class Shard:
    def __init__(self, directory, number):
        path = directory / f"corpus-{number:05}.jsonl.zst"
        self.process = subprocess.Popen(
            ["zstd", "-q", "-3", "-T1", "-f", "-o", str(path)], stdin=subprocess.PIPE)
        self.written = 0

    def write(self, line, size):
        self.process.stdin.write(line.encode())
        self.written += size

    def close(self):
        self.process.stdin.close()
        if self.process.wait() != 0:
            raise SystemExit("zstd failed")


def main():
    home = pathlib.Path(os.environ.get("CARGO_HOME", pathlib.Path.home() / ".cargo"))
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--megabytes", type=int, default=100)
    parser.add_argument("--output", type=pathlib.Path, required=True)
    parser.add_argument("--registry", type=pathlib.Path, default=home / "registry")
    parser.add_argument("--seed", type=int, default=1)
    arguments = parser.parse_args()
    arguments.output.mkdir(parents=True, exist_ok=True)
    shards, total = [Shard(arguments.output, 0)], 0
    for line, size in records(arguments.registry, arguments.megabytes * 1_000_000, arguments.seed):
        if shards[-1].written >= SHARD_BYTES:
            shards[-1].close()
            shards.append(Shard(arguments.output, len(shards)))
        shards[-1].write(line, size)
        total += size
    shards[-1].close()
    print(total)


if __name__ == "__main__":
    main()
