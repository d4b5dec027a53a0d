#!/usr/bin/env bash
# The data path as a user runs it: read (JSONL.zst) -> clean -> language -> filter -> dedup, the whole command with its
# coordinator, journal, fsyncs and report. Prints a line for each size and number of workers.
#
#   benches/compare/data_path.sh [MEGABYTES...]        by default 100 1000
#
# MB/s per core is text over CPU-seconds (user and system), which other processes disturb less than wall time.
# ORCHESTRATOR names the binary (by default the release build), WORK a directory for corpora and outputs, REPEAT the runs of each.
# The corpus is made once a size and kept in WORK. `signed_%` is the share of
# the text that reaches the signatures: the figure means little where it is small. The digests printed last must not change with the number of workers.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
orchestrator=$(realpath "${ORCHESTRATOR:-${CARGO_TARGET_DIR:-$here/../../target}/release/orchestrator}")
work=${WORK:-${TMPDIR:-/tmp}/orchestrator-data-path}
repeat=${REPEAT:-1}
mkdir -p "$work"
sizes=("$@")
[ ${#sizes[@]} -gt 0 ] || sizes=(100 1000)

# Runs a command and prints wall seconds, CPU-seconds and the peak resident set in MiB.
measure() {
    python3 - "$@" <<'PYTHON'
import resource, subprocess, sys, time
started = time.monotonic()
result = subprocess.run(sys.argv[1:], stdout=subprocess.DEVNULL)
if result.returncode:
    sys.exit(f"{sys.argv[1]} ended with {result.returncode}")
usage = resource.getrusage(resource.RUSAGE_CHILDREN)
print(f"{time.monotonic() - started:.2f} {usage.ru_utime + usage.ru_stime:.2f} {usage.ru_maxrss / 1024:.0f}")
PYTHON
}

printf '%8s %8s %8s %8s %10s %12s %9s %9s  %s\n' MB workers wall_s cpu_s MB/s "MB/s/core" rss_MiB "signed_%" digests
for size in "${sizes[@]}"; do
    corpus=$work/corpus-$size
    if [ ! -f "$corpus/bytes" ]; then
        python3 "$here/make_corpus.py" --megabytes "$size" --output "$corpus" > "$work/bytes"
        mv "$work/bytes" "$corpus/bytes"
    fi
    bytes=$(cat "$corpus/bytes")
    cat > "$work/data_path.yaml" <<JOB
name: data-path
output: $work/output
seed: 1

pipeline:
  - read:
      paths: ["$corpus/*.jsonl.zst"]
  - clean: {}
  - language:
      keep: [en]
  - filter:
      # The thresholds of the quickstart: with the published ones 2.5 % of this text would reach the signatures, and the
      # figure would flatter us.
      rules: [gopher-repetition, gopher-quality]
      gopher_repetition:
        dup_para_frac: 0.5
        dup_line_frac: 0.5
        top_2_gram: 0.3
        top_3_gram: 0.25
        top_4_gram: 0.25
        duplicated_5_n_grams: 0.4
        duplicated_6_n_grams: 0.38
        duplicated_7_n_grams: 0.36
      gopher_quality:
        gopher_below_alpha_threshold: 0.5
        gopher_too_many_hashes: null
        gopher_too_many_bullets: null
  - dedup:
      method: minhash
JOB
    for workers in 1 2; do
        for _ in $(seq "$repeat"); do
            rm -rf "$work/output"
            read -r wall cpu rss < <(measure "$orchestrator" run "$work/data_path.yaml" --workers "$workers")
            digests=$(cat "$work"/output/stages/*/manifest.json | sha256sum | cut -c1-12)
            python3 - "$bytes" "$workers" "$wall" "$cpu" "$rss" "$digests" "$work/output/stages/03-filter/manifest.json" <<'PYTHON'
import json, sys
size, workers, wall, cpu, rss, digests, manifest = sys.argv[1:]
signed = 100 * json.load(open(manifest))["bytes_kept"] / int(size)
megabytes, wall, cpu = int(size) / 1e6, float(wall), float(cpu)
print(f"{megabytes:8.0f} {workers:>8} {wall:8.1f} {cpu:8.1f} {megabytes / wall:10.1f} {megabytes / cpu:12.1f} {rss:>9} {signed:9.0f}  {digests}")
PYTHON
        done
    done
done
