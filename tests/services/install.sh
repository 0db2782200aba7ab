#!/usr/bin/env bash
# Brings the real servers that the tests talk to: Debian packages, where this user may install them. What cannot be brought
# is said loudly, and its tests are skipped; with CI=true that is a failure instead.
set -u
packages=()
[ -x /usr/sbin/clamd ] || packages+=(clamav-daemon)
[ -d /usr/share/clamav-testfiles ] || packages+=(clamav-testfiles)
[ -x /usr/bin/chromium ] || packages+=(chromium)
[ -x /usr/lib/postgresql/15/bin/postgres ] || packages+=(postgresql-15)
[ -x /usr/sbin/nginx ] || packages+=(nginx-light)
[ -x /usr/sbin/pgbouncer ] || packages+=(pgbouncer)
[ -x /usr/bin/redis-server ] || packages+=(redis-server)
[ -x /usr/bin/radosgw ] && [ -x /usr/bin/ceph-osd ] || packages+=(radosgw ceph-mon ceph-osd ceph-mgr ceph-common)
command -v curl >/dev/null || packages+=(curl)
command -v jq >/dev/null || packages+=(jq)
command -v openssl >/dev/null || packages+=(openssl)
command -v npm >/dev/null || packages+=(npm)
# JavaScript: clients that the tests run in Chromium, and an OpenID provider
node() {
    local folder wanted="tus-js-client@4.3.1 uppy@6.0.1 oidc-provider@9.13.3"
    folder="$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)/.node"
    [ -d "$folder/node_modules" ] && [ "$(cat "$folder/installed" 2>/dev/null)" = "$wanted" ] && return 0
    mkdir -p "$folder"
    # shellcheck disable=SC2086 - several words are meant
    if npm install --prefix "$folder" --no-audit --no-fund --no-save --ignore-scripts --loglevel error $wanted >/dev/null; then
        echo "$wanted" > "$folder/installed"
        return 0
    fi
    echo "!!! Not installed, so their tests will be SKIPPED: $wanted  (npm install)" >&2
    [ "${CI:-}" != true ]
}
if [ ${#packages[@]} -eq 0 ]; then
    node
    exit
fi
if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
    echo "Installing for the tests: ${packages[*]} …"
    export DEBIAN_FRONTEND=noninteractive
    # policy-rc.d keeps the packages from starting services of their own: the tests start what they need
    [ -e /usr/sbin/policy-rc.d ] || { printf '#!/bin/sh\nexit 101\n' > /usr/sbin/policy-rc.d && chmod +x /usr/sbin/policy-rc.d && made=1; }
    if apt-get update -qq >/dev/null && apt-get install -y -qq --no-install-recommends "${packages[@]}" >/dev/null; then done=1; fi
    [ "${made:-}" = 1 ] && rm -f /usr/sbin/policy-rc.d
    if [ "${done:-}" = 1 ]; then
        node
        exit
    fi
fi
echo "!!! Not installed, so their tests will be SKIPPED: ${packages[*]}  (as root: apt-get install ${packages[*]})" >&2
[ "${CI:-}" = true ] && exit 1
exit 0
