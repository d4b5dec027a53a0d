"""Precision and recall of the `pii` stage, by kind, on sentences with gold spans; check digits; secrets.

    cargo build --release --workspace --examples
    python3 benches/compare/pii.py --data ../shared/data

Sentences are presidio-research's synthetic set (1,500 with spans of 17 types). A find counts as right where it overlaps a
gold span of its kind; a gold span counts as found where a find of its kind overlaps it. Types without a finder (names,
addresses, dates) are not looked for and not counted; a find on one of them is a false one and listed with its type. Of
FakeNameGenerator's identities only the e-mail addresses are counted: its card numbers lost digits to a spreadsheet, and
its telephone numbers have no country code.

Numbers with check digits are made here, from a fixed seed: as many sound ones as ones with one digit changed, which stand
for order numbers. A sound number that is not found and a broken one that is found are both printed.

Secrets are detect-secrets' own test files, which have no spans. With PyPI `detect-secrets` its finds (each a line and a
value) are the measure; ours are those of all kinds, also the two that are looked for on request.

Needs only the standard library, the command `zstd`, and for the last comparison `detect-secrets`. Exits 1 where a broken
number is found or a sound one is not.
"""

import argparse
import collections
import csv
import gzip
import json
import pathlib
import random
import subprocess
import sys
import tempfile

# presidio's types by our kinds; several of ours may answer one of theirs
TYPES = {
    "EMAIL_ADDRESS": {"email"},
    "CREDIT_CARD": {"credit_card"},
    "IBAN_CODE": {"iban"},
    "PHONE_NUMBER": {"phone", "chinese_mobile"},
    "US_SSN": {"us_ssn"},
    "IP_ADDRESS": {"ip_address"},
}
NUMBERS = 2000


def find(binary, texts, *options):
    lines = "".join(json.dumps(text) + "\n" for text in texts)
    result = subprocess.run([binary, *options], input=lines.encode(), capture_output=True, check=True)
    for text, line in zip(texts, result.stdout.splitlines(), strict=True):
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


def digits(chance, count):
    return "".join(str(chance.randrange(10)) for _ in range(count))


def card(chance):
    start = chance.choice(["4", "51", "55", "2221", "6011", "65"])
    body = start + digits(chance, 15 - len(start))
    total = sum(n if place % 2 else n * 2 // 10 + n * 2 % 10 for place, n in enumerate(map(int, body)))
    return body + str(-total % 10)


def chinese_id(chance):
    birthday = f"{chance.randrange(1930, 2020)}{chance.randrange(1, 13):02}{chance.randrange(1, 29):02}"
    body = chance.choice(["110105", "310104", "440305", "510107"]) + birthday + digits(chance, 3)
    weights = [7, 9, 10, 5, 8, 4, 2, 1, 6, 3, 7, 9, 10, 5, 8, 4, 2]
    return body + "10X98765432"[sum(int(n) * weight for n, weight in zip(body, weights)) % 11]


def iban(chance):
    body = digits(chance, 18)
    return f"DE{98 - int(body + '131400') % 97:02}{body}"


def broken(number, chance):
    """The number with one digit behind its prefix changed."""
    at = chance.choice([at for at, c in enumerate(number[:-1]) if at >= 10 and c.isdigit()])
    return number[:at] + chance.choice([d for d in "0123456789" if d != number[at]]) + number[at + 1:]


def check_digits(binary):
    print(f"\n{'check digits':<16} {'sound':>6} {'found':>6} {'broken':>7} {'found':>6}")
    exact = True
    for kind, make in (("credit_card", card), ("chinese_id", chinese_id), ("iban", iban)):
        chance = random.Random(7)
        sound = [make(chance) for _ in range(NUMBERS)]
        wrong = [broken(number, chance) for number in sound]
        hits = [sum(any(one[0] == kind for one in finds) for finds in find(binary, [f"Order {n} of May" for n in numbers]))
                for numbers in (sound, wrong)]
        exact &= hits == [NUMBERS, 0]
        print(f"{kind:<16} {len(sound):6} {hits[0]:6} {len(wrong):7} {hits[1]:6}")
    return exact


def secrets(binary, path, show):
    try:
        from detect_secrets import SecretsCollection
        from detect_secrets.settings import default_settings
    except ImportError:
        print("\nsecrets: skipped, there is no detect-secrets")
        return
    flagged, hit = collections.Counter(), collections.Counter()
    misses = collections.defaultdict(list)
    with tempfile.TemporaryDirectory() as directory:
        subprocess.run(["tar", "-I", "zstd", "-xf", path, "-C", directory], check=True)
        files = sorted(file for file in pathlib.Path(directory).rglob("*") if file.is_file())
        texts = [file.read_bytes().decode("utf-8", "replace") for file in files]
        ours = 0
        for file, text, finds in zip(files, texts, find(binary, texts, "--all")):
            ours += len(finds)
            theirs = SecretsCollection()
            with default_settings():
                theirs.scan_file(str(file))
            starts = [0]
            for line in text.splitlines(keepends=True):
                starts.append(starts[-1] + len(line))
            for _, secret in theirs:
                line = ("", starts[secret.line_number - 1], starts[secret.line_number])
                at = text.find(secret.secret_value or "", line[1], line[2])
                place = ("", at, at + len(secret.secret_value)) if secret.secret_value and at >= 0 else line
                flagged[secret.type] += 1
                if any(overlaps(one, place) for one in finds):
                    hit[secret.type] += 1
                else:
                    misses[secret.type].append(f"{file.name}:{secret.line_number} {secret.secret_value!r:.60}")
    print(f"\n{len(files)} files of secrets; {ours} finds of ours\n{'detect-secrets':<26} {'finds':>5} {'ours too':>8}")
    for kind in sorted(flagged):
        print(f"{kind:<26} {flagged[kind]:5} {hit[kind]:8}  missed: {misses[kind][:show]}")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=pathlib.Path, required=True)
    parser.add_argument("--binary", default="target/release/examples/pii")
    parser.add_argument("--show", type=int, default=4, help="how many misses and false finds to print for each")
    arguments = parser.parse_args()
    sentences(arguments.binary, arguments.data / "pii/presidio_synth_dataset_v2.json.gz", arguments.show)
    identities(arguments.binary, arguments.data / "pii/FakeNameGenerator.com_3000.csv.gz")
    exact = check_digits(arguments.binary)
    secrets(arguments.binary, arguments.data / "secrets/detect_secrets_test_data.tar.zst", arguments.show)
    sys.exit(not exact)


if __name__ == "__main__":
    main()
