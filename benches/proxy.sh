#!/usr/bin/env bash
# Processor time of a proxied request, its slowest hundredth, and memory of an idle connection, beside nginx, HAProxy, Caddy and the
# least that a Pingora program can do:
#
#     benches/proxy.sh [--rounds 5] [--seconds 6] [--connections 64] [--rate 12000] [--turns 40] [--idle 2000] [--only ours,nginx]
#
# Needs wrk, h2load (nghttp2-client), nginx (it is the site, too) and taskset; of haproxy and caddy what is missing is left out, and said.
set -euo pipefail
cd "$(dirname "$0")/.."
cargo build --release --locked --quiet --bin real-streaming --example bare_pingora
exec python3 benches/proxy.py "$@"
