#!/bin/sh
# Makes this machine a node of a Kubernetes cluster: fetches k3s, checks it, writes down what it must know, starts it.
# What it is told stands in /etc/vmbot/k3s.env: VERSION MIRROR ROLE TOKEN SERVER PRIVATE.
set -eu
exec >>/var/log/vmbot-k3s.log 2>&1
. /etc/vmbot/k3s.env

doing="start"
trap 'status=$?; [ $status -eq 0 ] || echo "Kubernetes could not be installed: failed to $doing." >/run/vmbot-k3s.failed' EXIT

fetch() { # URL FILE
  if command -v curl; then
    curl --fail --silent --show-error --location --retry 8 --retry-delay 5 --retry-all-errors --output "$2" "$1"
  else
    wget --quiet --tries=8 --waitretry=5 --retry-connrefused --output-document="$2" "$1"
  fi
}

case $(uname -m) in
  x86_64) arch=amd64 binary=k3s ;;
  aarch64) arch=arm64 binary=k3s-arm64 ;;
  *) doing="find k3s for this processor"; exit 1 ;;
esac
release=$MIRROR/$(echo "$VERSION" | sed 's/+/%2B/g')
work=$(mktemp -d)
doing="download k3s $VERSION"
fetch "$release/sha256sum-$arch.txt" "$work/sums"
fetch "$release/$binary" "$work/$binary"
doing="verify k3s $VERSION"
grep " $binary\$" "$work/sums" >"$work/sum"
(cd "$work" && sha256sum -c sum)
install -m 0755 "$work/$binary" /usr/local/bin/k3s
rm -r "$work"

# A private network is ours to number: 10.x. Elsewhere it is the way to the control plane that counts.
doing="find its address in the network of the cluster"
address=""
if [ "$PRIVATE" = 1 ]; then
  for _ in $(seq 60); do
    address=$(ip -o -4 addr show scope global | awk '$4 ~ /^10\./ { sub("/.*", "", $4); print $4; exit }')
    [ -z "$address" ] || break
    sleep 2
  done
  [ -n "$address" ]
elif [ -n "$SERVER" ]; then
  address=$(ip -o route get "$SERVER" | sed -n 's/.* src \([^ ]*\).*/\1/p')
fi

doing="configure k3s"
umask 077
mkdir -p /etc/rancher/k3s
{
  echo "token: \"$TOKEN\""
  if [ -n "$address" ]; then
    echo "node-ip: \"$address\""
    echo "flannel-iface: \"$(ip -o addr show to "$address" | awk '{ print $2; exit }')\""
  fi
  if [ "$ROLE" = server ]; then
    echo "tls-san:"
    for own in $(hostname -I); do echo "  - \"$own\""; done
  else
    case $SERVER in *:*) SERVER="[$SERVER]" ;; esac
    echo "server: \"https://$SERVER:6443\""
    echo "with-node-id: true"  # a worker that is made again is another node
  fi
} >/etc/rancher/k3s/config.yaml

cat >/etc/systemd/system/k3s.service <<'UNIT'
[Unit]
Description=Kubernetes
Wants=network-online.target
After=network-online.target

[Service]
Type=notify
EnvironmentFile=/etc/vmbot/k3s.env
ExecStartPre=-/sbin/modprobe br_netfilter
ExecStartPre=-/sbin/modprobe overlay
ExecStart=/usr/local/bin/k3s ${ROLE}
KillMode=process
Delegate=yes
LimitNOFILE=1048576
LimitNPROC=infinity
LimitCORE=infinity
TasksMax=infinity
TimeoutStartSec=0
Restart=always
RestartSec=5s

[Install]
WantedBy=multi-user.target
UNIT
doing="start k3s"
systemctl daemon-reload
systemctl enable k3s.service
systemctl start --no-block k3s.service
