#!/usr/bin/env bash
# Target plug-in of the side-by-side benchmark: Portcullis, by what its users have. `portcullis init`, a policy document, the
# partner's authority as a trust anchor with its revocation list, clients and keys by bulk import, the OAuth client's secret by
# import. PORTCULLIS_BIN names the binary; docs/benchmarks.md tells how to run it.
#
#   prepare    makes the data folder (a short run of the server takes the imports in)
#   start      serves it
#   revoke     fetches the changed revocation list, as the refresh of an anchor does
set -euo pipefail
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
portcullis=${PORTCULLIS_BIN:-$root/target/dist/portcullis}
data=${BENCH_DIR:-.}/data
lists=$((${BENCH_PORT:-0} + 2)) admin=$((${BENCH_PORT:-0} + 3)) pki=$((${BENCH_PORT:-0} + 4))

settings() {
  # The listeners with the benchmark's own certificate; loopback is exempt from the limits of an address, as nginx here has none.
  cat >"$data/portcullis.toml" <<TOML
environment = "bench"
trust_domain = "bench.internal"
passphrase_file = "keys/passphrase"

[[listener]]
name = "mtls"
serves = "gateway"
address = "127.0.0.1:$BENCH_PORT"
client_certificates = "required"
hostnames = ["localhost"]
certificate = "$BENCH_PKI/server.pem"
key = "$BENCH_PKI/server.key"
networks = [$allowed]

[[listener]]
name = "keys"
serves = "gateway"
address = "127.0.0.1:$BENCH_PORT_KEY"
client_certificates = "none"
hostnames = ["localhost"]
certificate = "$BENCH_PKI/server.pem"
key = "$BENCH_PKI/server.key"
networks = [$allowed]

[[listener]]
name = "admin"
serves = "admin"
address = "127.0.0.1:$admin"
hostnames = ["127.0.0.1"]

[[listener]]
name = "pki"
serves = "pki"
address = "127.0.0.1:$pki"
hostnames = []

[oauth]
issuer = "https://localhost:$BENCH_PORT_KEY"
algorithm = "${BENCH_TOKEN_ALG:-ES256}"

[limits]
exempt = ["127.0.0.0/8"]
connections_max = 8192
connections_per_address_max = 8192

[audit]
allowed = "$([ "$BENCH_LOG" = on ] && echo all || echo none)"
TOML
}

policy() {
  cat <<TOML
[[resource_server]]
identifier = "hello"
name = "Hello"
scopes = [{ name = "read", description = "Read" }, { name = "write", description = "Write" }]

[[resource_server]]
identifier = "other"
name = "Other"
scopes = [{ name = "read", description = "Read" }]

[[network]]
name = "allowed"
cidrs = [$allowed]

[[usage_plan]]
name = "bench"
throttle = { rate = $BENCH_RATE_HIGH, burst = $BENCH_RATE_HIGH }
routes = [{ route = "limited", throttle = { rate = 1, burst = 1 } }]

[[partner]]
id = "bench"
name = "Bench"

[[route]]
name = "hello-world"
methods = ["GET"]
path = "/hello-world"
accept = [["mutual_tls"], ["api_key"]]
scopes = { any = ["hello/read"] }
networks = ["allowed"]
action = { mock = { status = 200, headers = { Content-Type = "application/json" }, body = '{"message":"hello world"}' } }

[[route]]
name = "limited"
methods = ["GET"]
path = "/limited"
accept = [["mutual_tls"], ["api_key"]]
scopes = { any = ["hello/read"] }
networks = ["allowed"]
action = { mock = { status = 200, headers = { Content-Type = "application/json" }, body = '{"message":"hello world"}' } }

[[route]]
name = "upstream"
methods = ["GET"]
path = "/upstream/{*rest}"
accept = [["mutual_tls"], ["api_key"]]
scopes = { any = ["hello/read"] }
networks = ["allowed"]
action = { proxy = { upstream = "http://$BENCH_UPSTREAM" } }
TOML
}

# The clients of both lists, each once: a name in identities.tsv is a client, and so is the OAuth client.
clients() {
  echo "id,partner,scopes,usage_plan"
  awk -F'\t' '{ print $1 ",bench," $3 ",bench" }' "$BENCH_PKI/identities.tsv"
  echo "$BENCH_CLIENT_ID,bench,$BENCH_SCOPE,bench"
}

keys() {
  echo "key,client"
  awk -F'\t' '{ print $1 "," $2 }' "$BENCH_PKI/apikeys.tsv"
}

serve() {
  "$portcullis" serve --data "$data" >"$BENCH_DIR/log" 2>&1 </dev/null &
  echo $! >"$BENCH_DIR/pid"
}

wait_for() {
  for _ in $(seq 6000); do
    # The commands below read there where the server is.
    [ -e "$data/endpoints.json" ] && curl --silent --fail --insecure "https://127.0.0.1:$admin/livez" >/dev/null && return
    kill -0 "$(cat "$BENCH_DIR/pid")" 2>/dev/null || break
    sleep 0.05
  done
  tail -5 "$BENCH_DIR/log" >&2
  return 1
}

# Lists are published as DER, as RFC 5280 §4.2.1.13 has it.
renew_list() {
  grep -v -- '-----' "$BENCH_CRL" | tr -d '\r' | base64 -d >"$BENCH_DIR/list.new"
  mkdir -p "$BENCH_DIR/lists"
  mv "$BENCH_DIR/list.new" "$BENCH_DIR/lists/bench.crl"
}

publish() {
  renew_list
  (cd "$BENCH_DIR/lists" && exec python3 -m http.server --bind 127.0.0.1 "$lists" >/dev/null 2>&1 </dev/null) &
  echo $! >"$BENCH_DIR/lists.pid"
}

prepare() {
  "$portcullis" init --data "$data" --hostname localhost --trust-domain bench.internal --environment bench \
    --gateway "127.0.0.1:$BENCH_PORT_KEY" --mtls "127.0.0.1:$BENCH_PORT" --admin "127.0.0.1:$admin" --pki "127.0.0.1:$pki" >&2
  allowed=$(awk '{ printf "%s\"%s\"", (NR > 1 ? ", " : ""), $1 }' "$BENCH_PKI/allow.txt")
  settings
  policy >"$BENCH_DIR/policy.toml"
  publish
  serve
  wait_for
  export PORTCULLIS_DATA=$data
  "$portcullis" policy apply "$BENCH_DIR/policy.toml" --yes >&2
  clients | "$portcullis" client import - >&2
  keys | "$portcullis" key import - >&2
  printf 'secret,client\n%s,%s\n' "$BENCH_CLIENT_SECRET" "$BENCH_CLIENT_ID" | "$portcullis" secret import - >&2
  "$portcullis" anchor import bench --partner bench --authority "$BENCH_PKI/ca.pem" --map 'cn:{name}={name}' \
    --crl-url "http://127.0.0.1:$lists/bench.crl" --allow-private-address >&2
  kill -TERM "$(cat "$BENCH_DIR/pid")"
  while kill -0 "$(cat "$BENCH_DIR/pid")" 2>/dev/null; do sleep 0.05; done
  kill "$(cat "$BENCH_DIR/lists.pid")"
}

case ${1:-} in
  caps) echo mtls resume h2 apikey proxy allow scope limit crl revoke scale token ;;
  version) "$portcullis" --version | tr ' ' / ;;
  prepare) prepare ;;
  start) publish; serve ;;
  revoke) renew_list; PORTCULLIS_DATA=$data "$portcullis" anchor refresh bench >&2 ;;
  stop) kill -TERM "$(cat "$BENCH_DIR/pid")"; kill "$(cat "$BENCH_DIR/lists.pid")" ;;
  token-path) echo /oauth2/token ;;
  *) echo "usage: $0 caps|version|prepare|start|revoke|stop|token-path" >&2; exit 2 ;;
esac
