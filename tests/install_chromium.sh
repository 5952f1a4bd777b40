#!/usr/bin/env bash
# Sees that the browser is there in which pages and the review app are tested; installs it if it may.
set -euo pipefail

if command -v chromium >/dev/null; then exit 0; fi

if ! command -v apt-get >/dev/null; then
    echo "chromium is missing, so tests in a browser are skipped. Install it with your system's package manager." >&2
    exit 0
fi
if [ "$(id -u)" = 0 ]; then as_root=(); elif sudo -n true 2>/dev/null; then as_root=(sudo -n); else
    echo "chromium is missing, so tests in a browser are skipped. Type:  sudo apt-get install -y chromium" >&2
    exit 0
fi
echo "Installing Debian's chromium ..." >&2
if ! { "${as_root[@]}" apt-get update -qq &&
    "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq chromium >/dev/null; }; then
    echo "chromium could not be installed, so tests in a browser are skipped." >&2
fi
