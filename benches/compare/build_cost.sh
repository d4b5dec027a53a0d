#!/usr/bin/env bash
# The cold build of the whole workspace from an empty target directory, debug and release: crates, wall and CPU-seconds.
#
#   benches/compare/build_cost.sh [debug|release...]      by default both
#
# Takes tens of minutes on two cores. Crates are fetched first, so that the network is not measured.
set -euo pipefail
cd "$(dirname "$0")/../.."
profiles=("$@")
[ ${#profiles[@]} -gt 0 ] || profiles=(debug release)
cargo fetch --locked --quiet
target=$(mktemp -d)
trap 'rm -rf "$target"' EXIT

printf '%8s %8s %8s %8s %8s\n' profile crates wall_s cpu_s size_MiB
for profile in "${profiles[@]}"; do
    case $profile in
        debug) flags=() ;;
        release) flags=(--release) ;;
        *) echo "unknown profile \`$profile\`: expected \`debug\` or \`release\`" >&2; exit 2 ;;
    esac
    CARGO_TARGET_DIR=$target/$profile python3 - "$profile" "$target/$profile/$profile/orchestrator" \
        cargo build --locked --offline --workspace --message-format json "${flags[@]}" <<'PYTHON'
import json, os, resource, subprocess, sys, time
profile, binary, *command = sys.argv[1:]
started = time.monotonic()
result = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
wall = time.monotonic() - started
if result.returncode:
    sys.exit(f"the {profile} build ended with {result.returncode}")
messages = (json.loads(line) for line in result.stdout.splitlines() if line.startswith("{"))
crates = {message["package_id"] for message in messages if message["reason"] == "compiler-artifact"}
usage = resource.getrusage(resource.RUSAGE_CHILDREN)
cpu, size = usage.ru_utime + usage.ru_stime, os.path.getsize(binary) / 2**20
print(f"{profile:>8} {len(crates):8} {wall:8.0f} {cpu:8.0f} {size:8.0f}")
PYTHON
done
