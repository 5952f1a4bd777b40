#!/usr/bin/env bash
# Checks for the ffmpeg program and FFmpeg's shared libraries (loaded by torchcodec); installs them if permitted.
set -euo pipefail
PATH=$PATH:/usr/sbin:/sbin  # of ldconfig, which is not on the PATH of every user

if command -v ffmpeg >/dev/null && ldconfig -p | grep -q 'libavcodec\.so'; then exit 0; fi

if ! command -v apt-get >/dev/null; then
    echo "FFmpeg 4 to 8 is missing, program and shared libraries. Install it with your system's package manager." >&2
    exit 1
fi
if [ "$(id -u)" = 0 ]; then as_root=(); elif sudo -n true 2>/dev/null; then as_root=(sudo -n); else
    echo "FFmpeg is missing. Type:  sudo apt-get update && sudo apt-get install -y ffmpeg" >&2
    exit 1
fi
echo "Installing Debian's ffmpeg ..." >&2
"${as_root[@]}" apt-get update -qq
"${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq ffmpeg >/dev/null
