#!/usr/bin/env bash
# Agreement of the device step with labelled user agents, weighted by hits:
#
#     benches/accuracy.sh [FILE.jsonl.gz]
#
# Each line of the file: {"ua", "weight", "bot", "browser", "os", "os_version", "device_type", "brand", …}, labels in the
# words of the Matomo device detector. By default the file beside the checkout.
set -euo pipefail
cd "$(dirname "$0")/.."
labels=${1:-../shared/data/ua_real_traffic.jsonl.gz}
cargo build --release --locked --quiet --bin real-streaming
binary=${CARGO_TARGET_DIR:-target}/release/real-streaming
answers=$(mktemp)
trap 'rm -f "$answers"' EXIT
gzip -dc "$labels" | "$binary" explain --user-agents - >"$answers"
python3 benches/accuracy.py "$labels" "$answers"
