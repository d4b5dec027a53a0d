"""Precision and recall of the `pii` stage, by kind, on sentences with gold spans.

    cargo build --release -p orchestrator-text --example pii
    python3 benches/compare/pii.py --data ../shared/data

Sentences are presidio-research's synthetic set (1,500 with spans of 17 types). A find counts as right where it overlaps a gold span of its
kind; a gold span counts as found where a find of its kind overlaps it. Types without a finder (names, addresses, dates)
are not looked for and not counted; a find on one of them is a false one and listed with its type. `card` and `e-mail`
lines of FakeNameGenerator's identities give recall on more values; its card numbers lost digits to a spreadsheet, so only
e-mail addresses, which are whole, are counted. detect-secrets' test files have no spans: what is found there is printed.
Needs only the standard library, and the command `zstd` for the last.
"""

import argparse
import collections
import csv
import gzip
import json
import pathlib
import subprocess

# presidio's types by our kinds; several of ours may answer one of theirs
TYPES = {
    "EMAIL_ADDRESS": {"email"},
    "CREDIT_CARD": {"credit_card"},
    "IBAN_CODE": {"iban"},
    "PHONE_NUMBER": {"phone", "chinese_mobile"},
    "US_SSN": {"us_ssn"},
    "IP_ADDRESS": {"ip_address"},
}


def find(binary, texts, *options):
    lines = "".join(json.dumps(text) + "\n" for text in texts)
    result = subprocess.run([binary, *options], input=lines.encode(), capture_output=True, check=True)
    for text, line in zip(texts, result.stdout.splitlines()):
        data = text.encode()
        yield [(kind, len(data[:start].decode()), len(data[:end].decode())) for kind, start, end in json.loads(line)]


def overlaps(a, b):
    return a[1] < b[2] and b[1] < a[2]


def sentences(binary, path, show):
    rows = json.load(gzip.open(path))
    gold, right, found, hit = (collections.Counter() for _ in range(4))
    misses, wrong = collections.defaultdict(list), collections.defaultdict(list)
    for row, finds in zip(rows, find(binary, [row["full_text"] for row in rows])):
        spans = [(span["entity_type"], span["start_position"], span["end_position"]) for span in row["spans"]]
        for span in spans:
            kinds = TYPES.get(span[0])
            if not kinds:
                continue
            gold[span[0]] += 1
            if any(one[0] in kinds and overlaps(one, span) for one in finds):
                hit[span[0]] += 1
            else:
                misses[span[0]].append(row["full_text"][span[1]:span[2]])
        for one in finds:
            found[one[0]] += 1
            if any(one[0] in TYPES.get(span[0], ()) and overlaps(one, span) for span in spans):
                right[one[0]] += 1
            else:
                on = [span[0] for span in spans if overlaps(one, span)] or ["nothing"]
                wrong[one[0]].append(f"{row['full_text'][one[1]:one[2]]} ({', '.join(on)})")
    print(f"{'type':<16} {'gold':>5} {'found':>6} {'recall':>7}")
    for kind in TYPES:
        share = hit[kind] / gold[kind] if gold[kind] else float("nan")
        print(f"{kind:<16} {gold[kind]:5} {hit[kind]:6} {share:7.3f}  missed: {misses[kind][:show]}")
    print(f"\n{'kind':<16} {'finds':>5} {'right':>6} {'precision':>9}")
    for kind in sorted(found):
        print(f"{kind:<16} {found[kind]:5} {right[kind]:6} {right[kind] / found[kind]:9.3f}  wrong: {wrong[kind][:show]}")


def identities(binary, path):
    rows = list(csv.DictReader(gzip.open(path, "rt", encoding="utf-8-sig")))
    texts = [f"Write to {row['EmailAddress']}, or call." for row in rows]
    hits = sum(any(kind == "email" for kind, _, _ in finds) for finds in find(binary, texts))
    print(f"\ne-mail addresses of identities: {hits} of {len(rows)}")


def secrets(binary, path):
    listed = subprocess.run(["tar", "-I", "zstd", "-tf", path], capture_output=True, check=True, text=True).stdout.split()
    print("\ndetect-secrets' test files (with the kinds on request):")
    for name in listed:
        text = subprocess.run(["tar", "-I", "zstd", "-xOf", path, name], capture_output=True, check=True).stdout.decode()
        for finds in find(binary, [text], "--all"):
            for kind, start, end in finds:
                print(f"  {name}: {kind}: {text[start:end][:48]!r}")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=pathlib.Path, required=True)
    parser.add_argument("--binary", default="target/release/examples/pii")
    parser.add_argument("--show", type=int, default=4, help="how many misses and false finds to print for each")
    arguments = parser.parse_args()
    sentences(arguments.binary, arguments.data / "pii/presidio_synth_dataset_v2.json.gz", arguments.show)
    identities(arguments.binary, arguments.data / "pii/FakeNameGenerator.com_3000.csv.gz")
    secrets(arguments.binary, arguments.data / "secrets/detect_secrets_test_data.tar.zst")


if __name__ == "__main__":
    main()
