#!/usr/bin/env python3
"""Verdicts of the profiles `dolma` and `curator` beside the projects' own packages, document by document.

    cargo build --release -p orchestrator-text --example speed
    python3 -m venv ENV && ENV/bin/pip install regex xxhash zstandard && ENV/bin/pip install --no-deps dolma==1.2.1 nemo-curator==1.4.0
    ENV/bin/python benches/compare/profiles.py dolma|curator [--documents 500]

The documents are those of ../shared/data/golden/datatrove_verdicts.tsv.gz. Of the packages only the modules with the rules are
loaded, beside stand-ins for what those import: the rest needs a cluster's libraries. Prints how many documents have the same
verdict and first reason, and every other one.
"""

import argparse
import collections
import gzip
import importlib.util
import io
import json
import os
import pathlib
import subprocess
import sys
import sysconfig
import tempfile
import types

import xxhash
import zstandard

ROOT = pathlib.Path(__file__).resolve().parents[2]
DATA = ROOT.parent / "shared/data"
TARGET = pathlib.Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target"))
SPEED = TARGET / os.environ.get("PROFILE", "release") / "examples/speed"
PACKAGES = pathlib.Path(sysconfig.get_paths()["purelib"])


def documents(most):
    rows = collections.defaultdict(set)
    with gzip.open(DATA / "golden/datatrove_verdicts.tsv.gz", "rt") as lines:
        next(lines)
        for line in lines:
            name, row = line.split("\t")[:2]
            rows[name].add(int(row))
    found = []
    for name in sorted(rows):
        paths = (DATA / folder / name for folder in ("web_text", "docs_corpus", "lm_text"))
        path = next(path for path in paths if path.exists())
        raw = path.read_bytes()
        if path.suffix == ".gz":
            raw = gzip.decompress(raw)
        elif path.suffix == ".zst":
            raw = zstandard.ZstdDecompressor().stream_reader(io.BytesIO(raw)).read()
        lines = raw.decode().split("\n")
        found += [(f"{name}:{row}", json.loads(lines[row]).get("text") or "") for row in sorted(rows[name])]
    # A share of every set, not the first ones.
    return found[:: max(1, len(found) // most)]


def stand_in(name, **content):
    module = types.ModuleType(name)
    module.__dict__.update(content)
    module.__path__ = []
    sys.modules[name] = module


def load(name, path):
    spec = importlib.util.spec_from_file_location(name, PACKAGES / path)
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module


def dolma():
    class Span:
        def __init__(self, start, end, type, score=1.0):
            self.start, self.end, self.type, self.score = start, end, type, score

    class Registry:
        @classmethod
        def add(cls, *_):
            return lambda tagger: tagger

    for name in ("dolma", "dolma.core", "dolma.taggers"):
        stand_in(name)
    stand_in("dolma.core.data_types", DocResult=object, Document=object, Span=Span)
    stand_in("dolma.core.registry", TaggerRegistry=Registry)
    stand_in("dolma.core.taggers", BaseTagger=object)
    gopher = load("dolma.taggers.gopher", "dolma/taggers/gopher.py")
    c4 = load("dolma.taggers.c4", "dolma/taggers/c4.py")
    # The bounds of Dolma's mixer, in the order of our rules.
    bounds = [
        ("word_count", 50, 100_000),
        ("median_word_length", 3, 10),
        ("symbol_to_word_ratio", 0, 0.1),
        ("fraction_of_words_with_alpha_character", 0.8, 1),
        ("required_word_count", 2, float("inf")),
        ("fraction_of_lines_starting_with_bullet_point", 0, 0.9),
        ("fraction_of_lines_ending_with_ellipsis", 0, 0.3),
        ("fraction_of_duplicate_lines", 0, 0.3),
        ("fraction_of_characters_in_duplicate_lines", 0, 0.3),
    ]
    most_common = {2: 0.2, 3: 0.18, 4: 0.16}
    duplicate = {5: 0.15, 6: 0.14, 7: 0.13, 8: 0.12, 9: 0.11, 10: 0.10}

    def rules(text):
        found = gopher.get_attributes(text)
        for name, least, most in bounds:
            if not least <= getattr(found, name) <= most:
                return name
        for n, share in found.fraction_of_characters_in_most_common_ngram:
            if share > most_common[n]:
                return f"fraction_of_characters_in_most_common_{n}grams"
        for n, share in found.fraction_of_characters_in_duplicate_ngrams:
            if share > duplicate[n]:
                return f"fraction_of_characters_in_duplicate_{n}grams"
        return "pass"

    def lines(text):
        left, at = "", 0
        for span in c4.get_attributes(text).lines_with_no_ending_punctuation:
            left += text[at : span.start]
            at = span.end
        left += text[at:]
        return f"pass\t{xxhash.xxh64_hexdigest(left.encode())}" if left.strip() else "empty"

    return {"dolma-gopher": rules, "dolma-c4": lines}


def curator():
    text = "nemo_curator.stages.text"
    for name in ("nemo_curator", "nemo_curator.stages", text, f"{text}.filters", f"{text}.utils"):
        stand_in(name)
    folder = "nemo_curator/stages/text"
    load(f"{text}.utils.constants", f"{folder}/utils/constants.py")
    load(f"{text}.utils.text_utils", f"{folder}/utils/text_utils.py")
    load(f"{text}.filters.doc_filter", f"{folder}/filters/doc_filter.py")
    one = load("curator_string", f"{folder}/filters/heuristic/string.py")
    many = load("curator_repetition", f"{folder}/filters/heuristic/repetition/repetition.py")
    # The chain of heuristic_filter_english_pipeline.yaml.
    chain = [
        one.NonAlphaNumericFilter(0.25),
        one.SymbolsToWordsFilter(0.1),
        one.NumbersFilter(0.15),
        one.UrlsFilter(0.2),
        one.WhiteSpaceFilter(0.25),
        one.ParenthesesFilter(0.1),
        one.BoilerPlateStringFilter(True, 0.4),
        many.RepeatedLinesFilter(0.7),
        many.RepeatedParagraphsFilter(0.7),
        many.RepeatedLinesByCharFilter(0.8),
        many.RepeatedParagraphsByCharFilter(0.8),
        one.WordCountFilter(50, 100_000),
        one.PunctuationFilter(0.85),
        one.WordsWithoutAlphabetsFilter(0.8),
        one.CommonEnglishWordsFilter(2, True),
        one.MeanWordLengthFilter(3, 10),
        one.LongWordFilter(1000),
        one.EllipsisFilter(0.3),
    ]
    chain += [many.RepeatingTopNGramsFilter(n, share) for n, share in ((2, 0.2), (3, 0.18), (4, 0.16))]
    chain += [
        many.RepeatingDuplicateNGramsFilter(n, share)
        for n, share in ((5, 0.15), (6, 0.14), (7, 0.13), (8, 0.12), (9, 0.11), (10, 0.10))
    ]
    chain.append(one.BulletsFilter(0.9))

    def rules(text):
        for one_filter in chain:
            try:
                keep = one_filter.keep_document(one_filter.score_document(text))
            except ZeroDivisionError:
                # A text without words or lines ends Curator's task; ours drops it by that rule.
                keep = False
            if not keep:
                return one_filter._name
        return "pass"

    return {"curator": rules}


def main():
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("project", choices=["dolma", "curator"])
    arguments.add_argument("--documents", type=int, default=4487)
    chosen = arguments.parse_args()
    found = documents(chosen.documents)
    with tempfile.NamedTemporaryFile("w", suffix=".jsonl", encoding="utf-8") as file:
        file.writelines(json.dumps({"text": text}) + "\n" for _, text in found)
        file.flush()
        for name, judge in {"dolma": dolma, "curator": curator}[chosen.project]().items():
            run = subprocess.run([SPEED, name, file.name, "1"], capture_output=True, text=True, check=True)
            different = 0
            for (place, text), ours in zip(found, run.stdout.splitlines(), strict=True):
                theirs = judge(text)
                # The measured value is ours alone; a text that is left must be equal.
                same = ours == theirs if "\t" in theirs else ours.split("\t")[0] == theirs
                if not same:
                    different += 1
                    print(f"  {place}: ours {ours}, theirs {theirs}")
            print(f"{name}: {len(found) - different} of {len(found)} documents have the same verdict")


if __name__ == "__main__":
    main()
