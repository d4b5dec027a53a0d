"""Our classifiers beside the libraries': fastText, which must also read our models, and scikit-learn for TF-IDF.

    cargo build --release --workspace --examples
    python benches/compare/classifier.py --data ../shared/data

Needs PyPI `fasttext-wheel`, and `scikit-learn` for TF-IDF. Prints a line for each task and loss: the accuracy of both
(mean and extremes over folds and seeds), CPU-seconds of training, and the largest difference between the scores that
fastText and we give to our own model, over all labels and test texts. fastText runs on one thread. Sentence polarity and
DCLM's labels (254 documents that people judged) have no split of their own: row modulo 5 is the fold, and all five are
tested. Texts are lower-cased, with punctuation set apart, as fastText's tutorial does it; TF-IDF gets the same lines.
For DCLM's labels the agreement with people is printed too: the share of documents judged as most people did, by scores
of models that did not see them, Cohen's kappa (0 is chance, 1 is always) and the area under the ROC curve.
`--speed` measures scoring instead, of whole documents by lid.176 and by a model of word bigrams, in MB of text per
CPU-second: medians of five runs in turns, after the best labels were found equal and their scores close. Reading the
model does not count.
Exits 1 where, but for DCLM's few documents, our mean is lower by more than 0.5 points, or a score differs from fastText's by
more than 1e-5, or from scikit-learn's by more than 1e-3.
"""

import argparse
import csv
import gzip
import json
import pathlib
import re
import resource
import statistics
import subprocess
import sys
import tempfile

import fasttext

fasttext.FastText.eprint = lambda *_: None

# name: options by fastText's names
LOSSES = {
    "softmax": {"loss": "softmax"},
    "hierarchical_softmax": {"loss": "hs"},
    "negative_sampling": {"loss": "ns"},
    "one_vs_all": {"loss": "ova"},
}
COMMON = {"dim": 50, "bucket": 200_000, "lr": 0.5, "epoch": 10, "minCount": 1}
TASKS = {
    # word bigrams alone, and with character n-grams
    "polarity": {"wordNgrams": 2, "minn": 0, "maxn": 0, "epoch": 5},
    "polarity, characters": {"wordNgrams": 2, "minn": 3, "maxn": 5, "epoch": 5, "minCount": 2},
    "banking77": {"wordNgrams": 2, "minn": 0, "maxn": 0, "epoch": 25},
    "dclm": {"wordNgrams": 2, "minn": 0, "maxn": 0, "epoch": 25},
}
# the tree's branches are left where scores get below this, and their labels have none
FLOOR = 1e-5
# too few documents for half a point to mean anything
REPORTED = {"dclm"}
OURS = {"dim": "dimension", "bucket": "bucket", "lr": "learning_rate", "epoch": "epochs", "minCount": "min_count",
        "wordNgrams": "word_ngrams", "minn": "min_chars", "maxn": "max_chars"}


def normal(text):
    return " ".join(re.sub(r"([.!?,'/()])", r" \1 ", text.lower()).split())


def rows_of(path):
    return [json.loads(line) for line in gzip.open(path, "rt", encoding="utf-8")]


def polarity(data):
    rows = rows_of(data / "classification/sentence_polarity.jsonl.gz")
    return folds([(str(int(row["label"] == "pos")), normal(row["text"])) for row in rows])


def dclm(data):
    rows = rows_of(data / "quality/dclm_majority_data.jsonl.gz")
    return folds([(str(row["label"]), normal(row["text"])) for row in rows])


def folds(rows):
    for fold in range(5):
        yield ([row for at, row in enumerate(rows) if at % 5 != fold],
               [row for at, row in enumerate(rows) if at % 5 == fold])


def banking(data):
    def read(name):
        rows = csv.DictReader(open(data / "classification/banking77" / f"{name}.csv", encoding="utf-8"))
        return [(row["category"], normal(row["text"])) for row in rows]
    yield read("train"), read("test")


def shuffled(rows, seed):
    """fastText takes lines in order, so that a sorted file would end on one label: both get the same shuffled lines."""
    import random
    rows = rows.copy()
    random.Random(seed).shuffle(rows)
    return rows


def cpu(who):
    usage = resource.getrusage(who)
    return usage.ru_utime + usage.ru_stime


def train_theirs(train, options, seed):
    before = cpu(resource.RUSAGE_SELF)
    model = fasttext.train_supervised(str(train), thread=1, seed=seed, verbose=0, **options)
    return model, cpu(resource.RUSAGE_SELF) - before


def train_ours(binary, train, model, options, loss, seed):
    ours = {OURS[key]: value for key, value in options.items() if key in OURS}
    before = cpu(resource.RUSAGE_CHILDREN)
    subprocess.run([binary, "train", json.dumps(ours | {"loss": loss, "seed": seed}), train, model], check=True)
    return cpu(resource.RUSAGE_CHILDREN) - before


def predict(model, text):
    """(score, label) pairs, best first. The module's own `predict` fails with NumPy 2."""
    return model.f.predict(text + "\n", -1, 0.0, "strict")


def accuracy(predicted, test):
    return 100 * statistics.mean(label == "__label__" + row[0] for label, row in zip(predicted, test))


def compare(binary, folds, options, loss, seeds, work):
    theirs, ours, seconds, worst = [], [], [[], []], 0.0
    for fold, (train, test) in enumerate(folds):
        texts = work / "texts"
        texts.write_text("".join(text + "\n" for _, text in test))
        for seed in range(seeds):
            lines, path = work / "train", work / "model.bin"
            lines.write_text("".join(f"__label__{label} {text}\n" for label, text in shuffled(train, seed)))
            model, spent = train_theirs(lines, options, seed)
            seconds[0].append(spent)
            theirs.append(accuracy([predict(model, text)[0][1] for _, text in test], test))
            seconds[1].append(train_ours(binary, lines, path, options, loss, seed))
            scored = subprocess.run([binary, "predict", path, texts], check=True, capture_output=True, text=True)
            scored = [json.loads(line) for line in scored.stdout.splitlines()]
            ours.append(accuracy([row[0][0] for row in scored], test))
            loaded = fasttext.load_model(str(path))
            for row, (_, text) in zip(scored, test):
                expected, found = {label: score for score, label in predict(loaded, text)}, dict(row)
                worst = max([worst] + [abs(expected.get(label, FLOOR) - found.get(label, FLOOR))
                                       for label in expected.keys() | found.keys()])
    return theirs, ours, seconds, worst


def compare_tfidf(binary, folds, work):
    """The same for TF-IDF: scikit-learn with the words, weights and penalty that `quality` uses."""
    from sklearn.feature_extraction.text import TfidfVectorizer
    from sklearn.linear_model import LogisticRegression
    theirs, ours, seconds, worst = [], [], [[], []], 0.0
    for train, test in folds:
        lines, texts = work / "train", work / "texts"
        lines.write_text("".join(f"__label__{label} {text}\n" for label, text in train))
        texts.write_text("".join(text + "\n" for _, text in test))
        before = cpu(resource.RUSAGE_SELF)
        vectors = TfidfVectorizer(token_pattern=r"[^\W_]+", ngram_range=(1, 2), min_df=2, sublinear_tf=True)
        model = LogisticRegression(C=1.0, tol=1e-8, max_iter=1000)
        model.fit(vectors.fit_transform([text for _, text in train]), [label for label, _ in train])
        seconds[0].append(cpu(resource.RUSAGE_SELF) - before)
        expected = model.predict_proba(vectors.transform([text for _, text in test]))[:, 1]
        before = cpu(resource.RUSAGE_CHILDREN)
        scored = subprocess.run([binary, "tfidf", "{}", lines, texts], check=True, capture_output=True, text=True)
        seconds[1].append(cpu(resource.RUSAGE_CHILDREN) - before)
        found = [float(line) for line in scored.stdout.splitlines()]
        worst = max([worst] + [abs(a - b) for a, b in zip(expected, found, strict=True)])
        for scores, into in ((expected, theirs), (found, ours)):
            into.append(accuracy([f"__label__{int(score >= 0.5)}" for score in scores], test))
    return theirs, ours, seconds, worst


def scores_of(binary, train, test, options, work):
    """Scores of the label 1 by each classifier, softmax where there is a choice."""
    lines, texts, path = work / "train", work / "texts", work / "model.bin"
    lines.write_text("".join(f"__label__{label} {text}\n" for label, text in shuffled(train, 0)))
    texts.write_text("".join(text + "\n" for _, text in test))
    run = lambda *what: subprocess.run([binary, *what], check=True, capture_output=True, text=True).stdout.splitlines()
    model, _ = train_theirs(lines, options, 0)
    train_ours(binary, lines, path, options, "softmax", 0)
    return {
        "fastText": [{label: score for score, label in predict(model, text)}["__label__1"] for _, text in test],
        "ours, fastText's kind": [dict(json.loads(line))["__label__1"] for line in run("predict", path, texts)],
        "ours, tfidf": [float(line) for line in run("tfidf", "{}", lines, texts)],
    }


def agreement(binary, folds, options, work):
    people, by_model = [], {}
    for train, test in folds:
        people += [row[0] == "1" for row in test]
        for name, scores in scores_of(binary, train, test, options, work).items():
            by_model.setdefault(name, []).extend(scores)
    good = sum(people)
    print(f"\nagreement with people on {len(people)} documents, of which most called {good} good")
    print(f"{'classifier':<22} {'agrees %':>9} {'kappa':>6} {'AUC':>6}")
    for name, scores in by_model.items():
        said = [score >= 0.5 for score in scores]
        agrees = statistics.mean(a == b for a, b in zip(said, people, strict=True))
        yes, likely = good / len(people), statistics.mean(said)
        chance = yes * likely + (1 - yes) * (1 - likely)
        pairs = [(a > b) + (a == b) / 2 for a, is_good in zip(scores, people) if is_good
                 for b, other in zip(scores, people) if not other]
        kappa = (agrees - chance) / (1 - chance)
        print(f"{name:<22} {100 * agrees:9.1f} {kappa:6.3f} {statistics.mean(pairs):6.3f}", flush=True)


def speed(binary, data, work):
    texts = []
    for name in ("ethereum_eips", "opentelemetry_io"):
        rows = subprocess.run(["zstd", "-dc", data / f"docs_corpus/{name}.jsonl.zst"], check=True, capture_output=True)
        texts += [" ".join(json.loads(row)["text"].split()) for row in rows.stdout.splitlines()]
    size = sum(len(text.encode()) for text in texts) / 1e6
    lines, path, file, empty = work / "train", work / "model.bin", work / "texts", work / "empty"
    file.write_text("".join(text + "\n" for text in texts))
    empty.write_text("")
    train, _ = next(polarity(data))
    lines.write_text("".join(f"__label__{label} {text}\n" for label, text in shuffled(train, 0)))
    train_ours(binary, lines, path, COMMON | TASKS["polarity"], "softmax", 0)
    print(f"{len(texts)} documents, {size:.1f} MB\n{'model':<14} {'fastText MB/s':>14} {'ours MB/s':>10} {'ratio':>6}")
    worst = 0.0
    for name, model in (("lid.176.ftz", data / "langid/lid.176.ftz"), ("word bigrams", path)):
        theirs, seconds = fasttext.load_model(str(model)), [[], []]
        for _ in range(5):
            before = cpu(resource.RUSAGE_SELF)
            expected = [theirs.f.predict(text + "\n", 1, 0.0, "strict") for text in texts]
            seconds[0].append(cpu(resource.RUSAGE_SELF) - before)
            spent = []
            for what in (empty, file):
                before = cpu(resource.RUSAGE_CHILDREN)
                scored = subprocess.run([binary, "predict", model, what, "1"], check=True, capture_output=True, text=True)
                spent.append(cpu(resource.RUSAGE_CHILDREN) - before)
            seconds[1].append(spent[1] - spent[0])
        for text, one, line in zip(texts, expected, scored.stdout.splitlines(), strict=True):
            (label, score), = json.loads(line)
            if label != one[0][1] and abs(score - one[0][0]) > 1e-5:
                sys.exit(f"{name}: {label} and {one[0][1]} for {text[:80]!r}")
            worst = max(worst, abs(score - one[0][0]))
        rates = [size / statistics.median(x) for x in seconds]
        print(f"{name:<14} {rates[0]:14.1f} {rates[1]:10.1f} {rates[1] / rates[0]:6.2f}", flush=True)
    print(f"largest difference of scores: {worst:.1e}")
    return worst > 1e-5


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=pathlib.Path, required=True)
    parser.add_argument("--binary", default="target/release/examples/classifier")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--folds", type=int, default=5, help="test only so many of the folds")
    parser.add_argument("--only", action="append", help="a task to do, in place of all")
    parser.add_argument("--speed", action="store_true", help="measure how fast documents are scored, and no accuracy")
    arguments = parser.parse_args()
    if arguments.speed:
        with tempfile.TemporaryDirectory() as directory:
            sys.exit(int(speed(arguments.binary, arguments.data, pathlib.Path(directory))))
    failed = False
    print(f"{'task':<21} {'loss':<21} {'fastText %':>22} {'ours %':>22} {'points':>7} {'cpu s':>12} {'score diff':>11}")
    with tempfile.TemporaryDirectory() as directory:
        work = pathlib.Path(directory)

        def report(task, loss, result, most):
            nonlocal failed
            theirs, ours, seconds, worst = result
            points = statistics.mean(ours) - statistics.mean(theirs)
            failed |= task not in REPORTED and points < -0.5 or worst > most
            shown = [f"{statistics.mean(x):6.2f} ({min(x):.2f} to {max(x):.2f})" for x in (theirs, ours)]
            spent = " ".join(f"{statistics.median(x):.2f}" for x in seconds)
            print(f"{task:<21} {loss:<21} {shown[0]:>22} {shown[1]:>22} {points:+7.2f} {spent:>12} {worst:11.1e}",
                  flush=True)

        for task, of_task in TASKS.items():
            if arguments.only and task not in arguments.only:
                continue
            read = {"banking77": banking, "dclm": dclm}.get(task, polarity)
            parts = list(read(arguments.data))[:arguments.folds]
            for loss, of_loss in LOSSES.items():
                result = compare(arguments.binary, parts, COMMON | of_task | of_loss, loss, arguments.seeds, work)
                report(task, loss, result, 1e-5)
            if task in ("polarity", "dclm"):
                report(task, "tfidf", compare_tfidf(arguments.binary, parts, work), 1e-3)
            if task == "dclm":
                agreement(arguments.binary, parts, COMMON | of_task | LOSSES["softmax"], work)
    sys.exit(int(failed))


if __name__ == "__main__":
    main()
