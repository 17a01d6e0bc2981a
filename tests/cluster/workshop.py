"""Makes a k3s that can be had here: a stand-in with its command line, and Debian's own Kubernetes inside.

Everything is built in a Debian of its own, the *workshop*, so that the host needs no compiler and gets none. What is
made is kept, and made again when its recipe changes.
"""

import gzip
import hashlib
import io
import json
import logging
import os
import shutil
import subprocess
import tarfile
import time
from dataclasses import dataclass
from pathlib import Path

from cloud.drivers.files import locked
from cloud.drivers.qemu.tools import need

log = logging.getLogger(__name__)

VERSION = "v1.20.2+k3s0"
"""What the stand-in is called: no k3s of this name exists."""
CACHE = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "vmbot-tests" / "cluster"

_HERE = Path(__file__).parent
_SUITE = "bookworm"  # the last Debian with a Kubernetes that is whole
_SOURCES = [f"{kind} http://deb.debian.org/debian {_SUITE} main" for kind in ("deb", "deb-src")]
_BUILDERS = "ca-certificates,dpkg-dev,golang-1.19-go,golang-github-modern-go-reflect2-dev,libc6-dev,make,rsync"
_CARRIED = {
    "etcd-server": ["usr/bin/etcd"],
    "containerd": ["usr/bin/containerd", "usr/bin/containerd-shim-runc-v2", "usr/bin/ctr"],
    "runc": ["usr/sbin/runc"],
    "containernetworking-plugins": [f"usr/lib/cni/{name}" for name in ("bridge", "host-local", "loopback")],
}
_PARTS = ("kube-apiserver", "kube-controller-manager", "kube-proxy", "kube-scheduler", "kubelet", "kubectl")
IMAGE = "localhost/busybox:debian"
"""The one container image that nodes have; what a node's sandboxes are made from, too."""


@dataclass(frozen=True)
class Made:
    """What comes out of the workshop.

    Attributes:
        mirror: a folder to be served as `K3S_MIRROR`.
        kubectl: Kubernetes' own client, for this host.
        packages: what of Debian is in it, with versions.
        seconds: how long it took, 0 if it was there.
    """

    mirror: Path
    kubectl: Path
    packages: str
    seconds: float


def make(cache: Path = CACHE) -> Made:
    """Return what there is, after making what is not. Blocks, up to half an hour the first time; needs root.

    Raises:
        MissingTools: a program is missing.
        RuntimeError: something cannot be loaded or built.
    """
    need("mmdebstrap", "unshare")
    cache.mkdir(parents=True, exist_ok=True)
    with locked(cache / ".lock"):
        since = time.monotonic()
        workshop, built = _workshop(cache)
        mirror, bundled = _mirror(cache, workshop)
    return Made(
        mirror=mirror,
        kubectl=workshop / "src" / "kubectl",
        packages=(workshop / "src" / "packages.txt").read_text(),
        seconds=time.monotonic() - since if built or bundled else 0.0,
    )


def _workshop(cache: Path) -> tuple[Path, bool]:
    """Return the workshop with Kubernetes built in it, and whether that had to be done."""
    sources = [_HERE / "kubernetes" / name for name in ("build.sh", "main.go")]
    root = cache / f"workshop-{_recipe(*(path.read_bytes() for path in sources), repr((_BUILDERS, _SOURCES)).encode())}"
    if (root / "src" / "kubectl").exists():
        return root, False
    log.info("loading what Kubernetes is built with")
    shutil.rmtree(root, ignore_errors=True)
    fetch = 'cd "$1"/src && APT_CONFIG="$MMDEBSTRAP_APT_CONFIG" apt-get source --download-only kubernetes'
    _run(
        "mmdebstrap",
        "--variant=minbase",
        f"--include={_BUILDERS},{','.join(_CARRIED)},busybox-static",
        '--customize-hook=mkdir "$1"/src',
        f"--customize-hook={fetch}",
        _SUITE,
        root,
        *_SOURCES,
    )
    for path in sources:
        shutil.copy(path, root / "src")
    log.info("building Kubernetes; five minutes alone on two cores")
    _inside(root, "/src/build.sh")
    names = ["${Package} ${Version}\n", *_CARRIED, "golang-1.19-go"]
    (source,) = (root / "src").glob("kubernetes_*.dsc")
    packages = _inside(root, "dpkg-query", "-W", "-f", *names)
    (root / "src" / "packages.txt").write_text(f"{source.stem.replace('_', ' ')}\n{packages}")
    os.link(root / "src" / "hyperkube", root / "src" / "kubectl")  # last: it says that all is there
    return root, True


def _mirror(cache: Path, workshop: Path) -> tuple[Path, bool]:
    """Return the folder of the mirror, laid out as k3s's own releases are, and whether it had to be made."""
    sources = sorted((_HERE / "k3s").glob("*.go"))
    contents = (path.read_bytes() for path in sources)
    folder = cache / f"mirror-{_recipe(workshop.name.encode(), Path(__file__).read_bytes(), *contents)}"
    if folder.exists():
        return folder, False
    log.info("packing k3s")
    place = workshop / "src" / "k3s"
    shutil.rmtree(place, ignore_errors=True)
    place.mkdir()
    for path in sources:
        shutil.copy(path, place)
    settings = ("GO111MODULE=off", "CGO_ENABLED=0", "GOCACHE=/tmp/go", "HOME=/root")
    build = "cd /src/k3s && exec /usr/lib/go-1.19/bin/go build -ldflags='-s -w' -o k3s ."
    _inside(workshop, "env", *settings, "sh", "-c", build)
    draft = folder.with_suffix(".draft")
    shutil.rmtree(draft, ignore_errors=True)
    release = draft / VERSION
    release.mkdir(parents=True)
    (release / "k3s").write_bytes(_bundle((place / "k3s").read_bytes(), workshop))
    checksum = hashlib.sha256((release / "k3s").read_bytes()).hexdigest()
    (release / "sha256sum-amd64.txt").write_text(f"{checksum}  k3s\n")
    draft.rename(folder)
    return folder, True


def _bundle(program: bytes, workshop: Path) -> bytes:
    """Return the program with an archive of all others behind it; how long that is stands at the end."""
    plain = io.BytesIO()
    with tarfile.open(fileobj=plain, mode="w") as archive:
        _add(archive, "hyperkube", (workshop / "src" / "hyperkube").read_bytes())
        for part in _PARTS:
            _link(archive, part, "hyperkube")
        for path in (path for paths in _CARRIED.values() for path in paths):
            _add(archive, Path(path).name, (workshop / path).read_bytes())
        _add(archive, "busybox.tar", _image((workshop / "bin" / "busybox").read_bytes()))
    packed = gzip.compress(plain.getvalue(), compresslevel=6, mtime=0)
    return program + packed + hashlib.sha256(packed).digest() + len(packed).to_bytes(8, "big")


def _image(busybox: bytes) -> bytes:
    """Return a container image, in the format of `docker save`, that holds busybox and waits."""
    layer = io.BytesIO()
    with tarfile.open(fileobj=layer, mode="w") as archive:
        _add(archive, "bin/busybox", busybox)
        for name in ("sh", "sleep", "httpd", "wget", "hostname", "mkdir", "ip"):
            _link(archive, f"bin/{name}", "busybox")
    content = layer.getvalue()
    config = {
        "architecture": "amd64",
        "os": "linux",
        "config": {"Env": ["PATH=/bin"], "Cmd": ["/bin/sleep", "2147483647"]},
        "rootfs": {"type": "layers", "diff_ids": [f"sha256:{hashlib.sha256(content).hexdigest()}"]},
    }
    manifest = [{"Config": "config.json", "RepoTags": [IMAGE], "Layers": ["layer.tar"]}]
    image = io.BytesIO()
    with tarfile.open(fileobj=image, mode="w") as archive:
        _add(archive, "layer.tar", content)
        _add(archive, "config.json", json.dumps(config).encode())
        _add(archive, "manifest.json", json.dumps(manifest).encode())
    return image.getvalue()


def _add(archive: tarfile.TarFile, name: str, content: bytes) -> None:
    entry = tarfile.TarInfo(name)
    entry.size, entry.mode = len(content), 0o755
    archive.addfile(entry, io.BytesIO(content))


def _link(archive: tarfile.TarFile, name: str, to: str) -> None:
    entry = tarfile.TarInfo(name)
    entry.type, entry.linkname = tarfile.SYMTYPE, to
    archive.addfile(entry)


def _inside(root: Path, *command: str) -> str:
    """Run a command in the workshop, with processes of its own that end with it, and return what it printed."""
    alone = ("unshare", "--mount", "--pid", "--fork", "--kill-child", f"--root={root}", "--mount-proc")
    return _run("nice", "-n", "10", *alone, *command)


def _run(*command: str | Path) -> str:
    done = subprocess.run(  # noqa: S603 -- no shell, nothing from outside
        command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False
    )
    if done.returncode:
        raise RuntimeError(f"{command[0]} failed:\n{done.stdout[-4000:]}")
    return done.stdout


def _recipe(*parts: bytes) -> str:
    digest = hashlib.sha256()
    for part in parts:
        digest.update(hashlib.sha256(part).digest())
    return digest.hexdigest()[:12]
