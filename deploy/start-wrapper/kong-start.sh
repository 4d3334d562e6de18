#!/bin/sh
# Starts Kong from the file the importer left, if it left one, and as usual otherwise.
# With a KONG_DECLARATIVE_CONFIG that is always set, a restarting data plane would go back to it.
#
# KONG_FALLBACK_FILE        that file; by default /kong-fallback/kong.json
# KONG_FALLBACK_ENTRYPOINT  what starts Kong; by default the entrypoint of Kong's images
# KONG_PREFIX, KONG_LMDB_ENVIRONMENT_PATH   Kong's own; where its cache lies

file="${KONG_FALLBACK_FILE:-/kong-fallback/kong.json}"
cache="${KONG_LMDB_ENVIRONMENT_PATH:-dbless.lmdb}/data.mdb"
case "$cache" in
/*) ;;
*) cache="${KONG_PREFIX:-/usr/local/kong}/$cache" ;;
esac

# A container that crashed is restarted without a new import. If Kong has applied a config since,
# the file's or a later one, its cache holds it; the hash, `v02_...` after an incremental sync, is all zeros while it is empty.
cache_is_newer() {
  [ "$cache" -nt "$file" ] &&
    LC_ALL=C grep -q 'declarative_config:hash\(v02_\)\{0,1\}[0-9a-f]\{0,31\}[1-9a-f]' "$cache"
}
if [ -s "$file" ] && [ ! -r "$file" ]; then
  # Kong would not start at all; without the file it waits for its control plane.
  echo "kong-start: $file cannot be read by user $(id -u), starting Kong without it" >&2
elif [ -s "$file" ] && ! cache_is_newer; then
  export KONG_DECLARATIVE_CONFIG="$file"
fi

# The image `kong` has the first, `kong/kong` and `kong/kong-gateway` have the second.
entrypoint=/docker-entrypoint.sh
if [ ! -x "$entrypoint" ]; then entrypoint=/entrypoint.sh; fi
if [ $# -eq 0 ]; then set -- kong docker-start; fi
exec "${KONG_FALLBACK_ENTRYPOINT:-$entrypoint}" "$@"
