#!/bin/sh
# Builds Kubernetes as one program from Debian's source package. Runs inside the workshop, see ../workshop.py:
# /src holds the source package and main.go, the program is left at /src/hyperkube.
set -eu
export GOPATH=/go GOCACHE=/go/cache GO111MODULE=off CGO_ENABLED=0 HOME=/root
export PATH="/usr/lib/go-1.19/bin:$PATH"
tree=/go/src/k8s.io/kubernetes

rm -rf /go
mkdir -p /go/src/k8s.io
dpkg-source --no-check -x /src/kubernetes_*.dsc "$tree"
cd "$tree"

# The one that Kubernetes carries is older than Go 1.18, and crashes with it.
rm -r vendor/github.com/modern-go/reflect2
cp -r /usr/share/gocode/src/github.com/modern-go/reflect2 vendor/github.com/modern-go/

make generated_files

version=v$(dpkg-parsechangelog -S Version | sed 's/.*really//; s/-.*//')
flags="-s -w"
for package in client-go/pkg/version component-base/version; do
  name=k8s.io/kubernetes/vendor/k8s.io/$package
  flags="$flags -X $name.gitVersion=$version -X $name.gitMajor=1 -X $name.gitMinor=$(echo "$version" | cut -d. -f2)"
  flags="$flags -X $name.gitTreeState=clean -X $name.gitCommit=debian"
done
mkdir cmd/hyperkube
cp /src/main.go cmd/hyperkube/
go build -tags "providerless dockerless" -ldflags "$flags" -o /src/hyperkube ./cmd/hyperkube
rm -rf /go
