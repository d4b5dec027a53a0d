#!/usr/bin/env python3
"""Makes what tests/e2e/compat.rs compares runs with: a small corpus, and what datatrove and Dolma themselves make of it.

    python3 -m venv ENV1 && ENV1/bin/pip install datatrove==0.10.1 orjson pyarrow spacy nltk tldextract tokenizers numba xxhash
    python3 -m venv ENV2 && ENV2/bin/pip install --no-deps dolma==1.2.1 fasttext-numpy2-wheel && ENV2/bin/pip install \\
        anyascii blingfire boto3 msgspec necessary nltk 'numpy<2' omegaconf platformdirs pyyaml requests rich smart-open \\
        tokenizers tqdm uniseg zstandard fsspec jq jsonpath-ng python-dotenv
    ENV1/bin/python tests/peers/make.py corpus
    ENV1/bin/python tests/peers/make.py datatrove
    ENV2/bin/python tests/peers/make.py dolma

The texts are ours, written for this file; nothing here is anybody's web page. The peers' code is in their packages: here they
are only called. Two runs differ in the times that gzip and `stats.json` keep, and in nothing that is compared.
"""

import gzip
import json
import pathlib
import shutil
import subprocess
import sys

HERE = pathlib.Path(__file__).resolve().parent
CORPUS = HERE / "corpus/pages.jsonl"

ADJECTIVES = "old careful quiet narrow famous painted wooden northern hollow early patient crooked".split()
PEOPLE = "ferryman baker surveyor gardener weaver teacher carpenter librarian fisherman miller painter postman".split()
THINGS = "ledger map clock bridge kettle lantern orchard window ladder letter violin harvest tower boat".split()
PLACES = "estuary valley market chapel harbour school mountain museum station village college coast".split()
DEEDS = "repairs describes borrows carries measures remembers sells paints counts guards follows loses".split()
TIMES = "winter noon dinner sunrise spring midnight Monday autumn breakfast Easter dusk summer".split()


class Dice:
    """A generator that is equal in every version of Python."""

    def __init__(self, seed):
        self.state = seed

    def below(self, bound):
        self.state = (self.state * 6364136223846793005 + 1442695040888963407) % 2**64
        return (self.state >> 33) % bound


def sentence(dice):
    one = lambda words: words[dice.below(len(words))]
    forms = [
        lambda: f"The {one(ADJECTIVES)} {one(PEOPLE)} {one(DEEDS)} a {one(THINGS)} near the {one(PLACES)} before {one(TIMES)}.",
        lambda: f"After {one(TIMES)} every {one(PEOPLE)} of our {one(PLACES)} {one(DEEDS)} that {one(ADJECTIVES)} {one(THINGS)}.",
        lambda: f"Nobody with a {one(THINGS)} {one(DEEDS)} the {one(PLACES)} when {one(TIMES)} comes to the {one(ADJECTIVES)} {one(PEOPLE)}.",
        lambda: f"It is said that her {one(ADJECTIVES)} {one(THINGS)} and his {one(THINGS)} have been seen at the {one(PLACES)} since {one(TIMES)}.",
        lambda: f"If a {one(PEOPLE)} {one(DEEDS)} one {one(THINGS)}, then another {one(DEEDS)} the {one(THINGS)} from the {one(ADJECTIVES)} {one(PLACES)}.",
    ]
    return forms[dice.below(len(forms))]()


def prose(dice, paragraphs=4, sentences=4):
    return "\n".join(" ".join(sentence(dice) for _ in range(sentences)) for _ in range(paragraphs))


def pages():
    """Texts for the rules of both peers; what each is for stands in its id."""
    dice = Dice(20240811)
    for number in range(14):
        yield f"good-{number}", prose(dice, 4 + number % 3)
    yield "short", sentence(dice)
    yield "no-letters", " ".join(str(dice.below(900)) for _ in range(160)) + "."
    yield "long-words", " ".join("internationalisation-and-localisation" for _ in range(80)) + " the of."
    yield "hashes", prose(dice).replace(" the ", " # the # ")
    yield "bullets", "\n".join(f"- {sentence(dice)}" for _ in range(16))
    yield "ellipsis", "\n".join(f"{sentence(dice)[:-1]}…" for _ in range(16))
    yield "same-line", prose(dice, 2) + "\n" + "\n".join(["The same line stands here again and again."] * 12)
    yield "same-paragraph", "\n\n".join([prose(dice, 1, 3)] * 5)
    yield "no-stop-words", " ".join(
        f"{PEOPLE[dice.below(12)]} {DEEDS[dice.below(12)]} {ADJECTIVES[dice.below(12)]} {THINGS[dice.below(14)]}." for _ in range(40)
    )
    yield "braces", prose(dice) + "\nfunction bake(loaf) { return loaf; } is not a recipe of the baker."
    yield "lorem", prose(dice) + "\nLorem ipsum dolor sit amet is what the printer had set before the text came."
    yield "javascript", prose(dice) + "\nPlease enable JavaScript to see the page of the ferry."
    yield "few-sentences", " ".join(sentence(dice).lower().rstrip(".") for _ in range(9)) + "."
    yield "no-end-marks", "\n".join(sentence(dice)[:-1] for _ in range(14)) + "\n" + sentence(dice)
    yield "short-lines", "\n".join(f"The {PEOPLE[n % 12]} of the {n}." for n in range(70))
    yield "cookies", prose(dice) + "\nThis site uses cookies to remember the tide tables."
    copy = prose(dice, 6)
    yield "original", copy
    yield "copy", copy
    yield "near-copy", copy + "\n" + sentence(dice)


def corpus():
    CORPUS.parent.mkdir(exist_ok=True)
    with CORPUS.open("w", encoding="utf-8") as out:
        for name, text in pages():
            page = {"id": name, "text": text, "url": f"https://town.example/{name}", "source": "town"}
            out.write(json.dumps(page, ensure_ascii=False) + "\n")


def datatrove():
    from datatrove.executor import LocalPipelineExecutor
    from datatrove.pipeline.dedup import MinhashDedupBuckets, MinhashDedupCluster, MinhashDedupSignature
    from datatrove.pipeline.dedup.minhash import MinhashConfig
    from datatrove.pipeline.filters import (
        C4QualityFilter,
        FineWebQualityFilter,
        GopherQualityFilter,
        GopherRepetitionFilter,
    )
    from datatrove.pipeline.readers import JsonlReader
    from datatrove.pipeline.writers import JsonlWriter, ParquetWriter
    from datatrove.utils.hashing import HashConfig

    target, work = HERE / "datatrove", HERE / "work"
    for folder in (target, work):
        shutil.rmtree(folder, ignore_errors=True)

    def run(name, steps, tasks=1):
        LocalPipelineExecutor(pipeline=steps, tasks=tasks, logging_dir=str(work / name)).run()

    # One filter writes Parquet, the others lines: a user may mix them.
    run(
        "filters",
        [
            JsonlReader(str(CORPUS.parent), add_file_path=False),
            GopherRepetitionFilter(exclusion_writer=JsonlWriter(f"{target}/removed/1_gopher_repetition")),
            GopherQualityFilter(exclusion_writer=ParquetWriter(f"{target}/removed/2_gopher_quality")),
            C4QualityFilter(
                filter_no_terminal_punct=False, exclusion_writer=JsonlWriter(f"{target}/removed/3_c4")
            ),
            FineWebQualityFilter(exclusion_writer=JsonlWriter(f"{target}/removed/4_fineweb")),
            JsonlWriter(f"{target}/output"),
        ],
    )
    shutil.copy(work / "filters/stats.json", target / "stats.json")
    config = MinhashConfig(hash_config=HashConfig(precision=64, hash_fc="sha1"), num_buckets=14, hashes_per_bucket=8)
    run("signatures", [JsonlReader(f"{target}/output", add_file_path=False), MinhashDedupSignature(f"{work}/signatures.d", config)])
    run("buckets", [MinhashDedupBuckets(f"{work}/signatures.d", f"{work}/buckets.d", config=config)], tasks=14)
    run("clusters", [MinhashDedupCluster(f"{work}/buckets.d", f"{target}/minhash", config=config)])
    shutil.rmtree(work)


# The thresholds of Dolma 1.5's mixer, for the attributes that `gopher_v1` writes.
BOUNDS = [
    ("word_count", "<", 50),
    ("word_count", ">", 100000),
    ("median_word_length", "<", 3),
    ("median_word_length", ">", 10),
    ("symbol_to_word_ratio", ">", 0.1),
    ("fraction_of_words_with_alpha_character", "<", 0.8),
    ("required_word_count", "<", 2),
    ("fraction_of_lines_starting_with_bullet_point", ">", 0.9),
    ("fraction_of_lines_ending_with_ellipsis", ">", 0.3),
    ("fraction_of_duplicate_lines", ">", 0.3),
    ("fraction_of_characters_in_duplicate_lines", ">", 0.3),
    ("fraction_of_characters_in_most_common_2grams", ">", 0.2),
    ("fraction_of_characters_in_most_common_3grams", ">", 0.18),
    ("fraction_of_characters_in_most_common_4grams", ">", 0.16),
    *((f"fraction_of_characters_in_duplicate_{n}grams", ">", (20 - n) / 100) for n in range(5, 11)),
]


def dolma():
    target = HERE / "dolma"
    shutil.rmtree(target, ignore_errors=True)
    (target / "documents").mkdir(parents=True)
    with gzip.open(target / "documents/pages.json.gz", "wt", encoding="utf-8") as out:
        for line in CORPUS.open(encoding="utf-8"):
            page = json.loads(line)
            page["metadata"] = {"url": page.pop("url")}
            out.write(json.dumps(page, ensure_ascii=False) + "\n")
    tool = pathlib.Path(sys.executable).parent / "dolma"
    documents = str(target / "documents/*.gz")
    tag = [tool, "tag", "--documents", documents, "--taggers", "gopher_v1", "c4_v1", "--processes", "1"]
    subprocess.run(tag, check=True)

    def exclude(part, sign, bound):
        name = f"@.gopher_v1__gopher_v1__{part}"
        return f"$.attributes[?({name} && {name}[0] && {name}[0][2] {sign} {bound})]"

    config = {
        "streams": [
            {
                "name": "town",
                "documents": ["tests/peers/dolma/documents/*.gz"],
                "attributes": ["gopher_v1", "c4_v1"],
                "output": {"path": "tests/peers/dolma/mixed", "max_size_in_bytes": 1000000000, "discard_fields": ["attributes"]},
                "filter": {"exclude": [exclude(*bound) for bound in BOUNDS]},
                "span_replacement": [
                    {
                        "span": "$.attributes.c4_v1__c4_v1__lines_with_no_ending_punctuation",
                        "min_score": 0.5,
                        "replacement": "",
                    }
                ],
            }
        ],
        "processes": 1,
    }
    mixer = HERE / "mixer.json"
    mixer.write_text(json.dumps(config, indent=1) + "\n")
    subprocess.run([tool, "-c", str(mixer), "mix"], check=True, cwd=HERE.parents[1])


if __name__ == "__main__":
    steps = {"corpus": corpus, "datatrove": datatrove, "dolma": dolma}
    if len(sys.argv) != 2 or sys.argv[1] not in steps:
        sys.exit(__doc__)
    steps[sys.argv[1]]()
