#!/bin/sh
# Makes sure of the system packages: as root on Debian or Ubuntu it installs what is missing, otherwise it says, in one
# line, what to install, and exits with 1. Silent when nothing is missing.
set -eu

die() {
    echo "$1" >&2
    exit 1
}

has_java() {
    version=$(java -version 2>&1 | sed -n 's/.* version "\([0-9]*\).*/\1/p')
    [ "${version:-0}" -ge 17 ]
}

command -v python3 >/dev/null || die "Please install Python 3.11 or newer."
python3 -c 'import sys; sys.exit(sys.version_info < (3, 11))' ||
    die "celeryscope needs Python 3.11 or newer; python3 is $(python3 -V 2>&1)."

missing=""
has_java || missing="$missing openjdk-17-jre-headless"
command -v mvn >/dev/null || missing="$missing maven"
command -v redis-server >/dev/null || missing="$missing redis-server"
# Not in the search path of everybody.
[ -x "${RABBITMQ_HOME:-/usr/lib/rabbitmq}/bin/rabbitmq-server" ] || missing="$missing rabbitmq-server"
# Draws the Kibana views in the tests.
command -v chromium >/dev/null || missing="$missing chromium"
python3 -c 'import ensurepip, venv' 2>/dev/null || missing="$missing python3-venv"
[ -z "$missing" ] && exit 0

if [ "$(id -u)" -ne 0 ] || ! command -v apt-get >/dev/null; then
    die "Please install (names of Debian packages):$missing"
fi
echo "Installing system packages:$missing ..."
export DEBIAN_FRONTEND=noninteractive
apt-get update -qq
# Newer releases have a newer Java only.
case "$missing" in
*openjdk-17*) apt-cache show openjdk-17-jre-headless >/dev/null 2>&1 ||
    missing=$(echo "$missing" | sed 's/openjdk-17-jre-headless/default-jre-headless/') ;;
esac
# shellcheck disable=SC2086 # a list of names
apt-get install -y -qq --no-install-recommends $missing >/dev/null ||
    die "apt-get could not install:$missing"
