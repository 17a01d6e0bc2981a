#!/usr/bin/env bash
# Installs the system packages that the demo or the tests want and this machine lacks.
#
#   packages.sh python INTERPRETER | demo | test | cluster
#
# As root on Debian or Ubuntu it installs them and says so in one line; elsewhere it says in one line what is
# missing, what that means and how to get it, and the caller goes on without. Says nothing when all is there.
set -euo pipefail
PATH=$PATH:/usr/local/sbin:/usr/sbin:/sbin

machines="qemu-system-x86 qemu-utils busybox-static dropbear-bin e2fsprogs nftables openssh-client"
declare -A meaning=(
  [python]="no virtual environment can be made"
  [demo]="machines are simulated"
  [test]="the tests that need them are skipped"
  [cluster]="the cluster cannot be made"
)

# Whether what a package is wanted for is here, wherever it came from.
have() {
  case $1 in
    python3*-venv) "$interpreter" -c 'import ensurepip, venv' ;;
    qemu-system-x86) command -v qemu-system-x86_64 ;;
    qemu-utils) command -v qemu-img ;;
    busybox-static) busybox=$(command -v busybox) && ! head -c 4096 "$busybox" | grep -aq /lib ;;  # names its loader
    dropbear-bin) command -v dropbear && command -v dropbearconvert ;;
    e2fsprogs) command -v mke2fs ;;
    iproute2) command -v ip ;;
    nftables) command -v nft ;;
    openssh-client) command -v ssh ;;
    poppler-utils) command -v pdftotext ;;
    postgresql) command -v initdb || compgen -G '/usr/lib/postgresql/*/bin/initdb' ;;
    fonts-noto-core) compgen -G '/usr/share/fonts/*/noto/NotoSansArabic*' ;;
    *) command -v "$1" ;;
  esac >/dev/null 2>&1
}

# The packages a purpose wants.
wanted() {
  case $1 in
    python) echo "python$("$interpreter" -c 'import sys; print("%d.%d" % sys.version_info[:2])')-venv" ;;
    demo) echo "$machines" ;;
    test) echo "$machines chromium poppler-utils postgresql fonts-noto-core" ;;
    cluster) echo "qemu-system-x86 qemu-utils e2fsprogs nftables iproute2 mmdebstrap" ;;
    *) echo "usage: $0 python INTERPRETER | demo | test | cluster" >&2; exit 2 ;;
  esac
}

install() {
  local log
  log=$(mktemp)
  trap 'rm -f "$log"' RETURN
  export DEBIAN_FRONTEND=noninteractive
  if ! { apt-get update -q && apt-get install -y -q --no-install-recommends -o DPkg::Lock::Timeout=120 "$@"; } \
    </dev/null >"$log" 2>&1; then
    tail -n 3 "$log" >&2
    return 1
  fi
}

purpose=${1:-}
interpreter=${2:-python3}
packages=$(wanted "$purpose")
missing=()
for package in $packages; do
  have "$package" || missing+=("$package")
done
# The guest's kernel is fetched by the demo itself, which works only where the lists of packages were loaded once.
if [[ $purpose != python ]] && ((EUID == 0)) && command -v apt-get >/dev/null \
  && ! compgen -G '/var/lib/apt/lists/*Packages*' >/dev/null; then
  apt-get update -q </dev/null >/dev/null 2>&1 || true
fi
((${#missing[@]})) || exit 0

# Ubuntu has Chromium as a snap only, which no script should start.
if [[ " ${missing[*]} " == *" chromium "* ]] && grep -qs '^ID=ubuntu' /etc/os-release; then
  echo "Ubuntu has no chromium package: the browser tests are skipped until a \`chromium\` command is there."
  missing=("${missing[@]/#chromium/}")
  read -ra missing <<<"${missing[*]}"
  ((${#missing[@]})) || exit 0
fi

why="without ${missing[*]} ${meaning[$purpose]}"
if ! command -v apt-get >/dev/null; then
  echo "Not on this machine: $why. Install what your system calls them."
elif ((EUID != 0)); then
  echo "Not on this machine: $why. To get them: sudo apt-get install ${missing[*]}"
else
  echo "Installing system packages, since without them ${meaning[$purpose]}: ${missing[*]}"
  install "${missing[@]}" || echo "They could not be installed: ${meaning[$purpose]}."
fi
