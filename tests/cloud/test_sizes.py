"""Sizes are what the owner sells (B3)."""

from cloud.sizes import SIZES


def test_sizes() -> None:
    assert [(s.name, s.vcpus, s.memory_mb, s.disk_gb) for s in SIZES.values()] == [
        ("small", 1, 2048, 25),
        ("medium", 2, 4096, 50),
        ("large", 4, 8192, 100),
    ]
    assert str(SIZES["large"]) == "4 vCPU / 8 GB / 100 GB"
