"""Settings of the clouds of others; those of the one that `COMPUTE` names must be there."""

from pathlib import Path
from typing import Annotated, Self

from pydantic import BeforeValidator, Field, SecretStr, model_validator
from pydantic_settings import BaseSettings, NoDecode

from bot import setting_types as types
from bot.setting_types import Compute, LibcloudProvider
from cloud import k3s

Words = Annotated[tuple[str, ...], NoDecode, BeforeValidator(types.words)]
Url = Annotated[str, BeforeValidator(types.api_url)]

_REQUIRED = {
    Compute.PROXMOX: {
        "proxmox_url": "the address of a node, https://pve.example.com:8006",
        "proxmox_token_id": types.A_PROXMOX_TOKEN,
        "proxmox_token_secret": "the token's secret",
        "proxmox_template": "the id of the virtual machine that is cloned",
    },
    Compute.HETZNER: {"hetzner_token": "an API token that may read and write"},
    Compute.LIBCLOUD: {
        "libcloud_provider": "one of " + ", ".join(LibcloudProvider),
        "libcloud_key": "an access key, a user or an API token",
        "libcloud_image": "the id of an image with cloud-init",
    },
}
_ALSO_REQUIRED = {
    LibcloudProvider.EC2: {"libcloud_secret": "the secret of the access key", "libcloud_region": "us-east-1, say"},
    LibcloudProvider.OPENSTACK: {
        "libcloud_secret": "the user's password",
        "libcloud_url": "the address of the identity service",
        "libcloud_project": "the project's name",
    },
    LibcloudProvider.DIGITALOCEAN: {"libcloud_region": "fra1, say"},
    LibcloudProvider.VULTR: {"libcloud_region": "fra, say"},
    LibcloudProvider.LINODE: {"libcloud_region": "eu-central, say"},
}


class CloudSettings(BaseSettings):
    """Where machines are made, and what each cloud must be told."""

    compute: Compute = Compute.QEMU

    k3s_version: Annotated[str, BeforeValidator(types.k3s_version)] = k3s.VERSION
    k3s_mirror: Url = k3s.MIRROR

    proxmox_url: Url = ""
    proxmox_token_id: Annotated[str, BeforeValidator(types.proxmox_token)] = ""
    proxmox_token_secret: SecretStr | None = None
    proxmox_template: int | None = None
    proxmox_nodes: Words = ()
    proxmox_storage: str = ""
    proxmox_iso_storage: str = "local"
    proxmox_bridge: str = "vmbr0"
    proxmox_public_bridge: str = ""
    proxmox_first_id: Annotated[int, Field(ge=100)] = 100_000
    proxmox_reserve_mb: Annotated[int, Field(ge=0)] = 1024
    proxmox_ca: Path | None = None
    """The file of the authority that signed its certificate; none: one of those that everybody knows."""

    hetzner_token: SecretStr | None = None
    hetzner_api_url: Url = "https://api.hetzner.cloud/v1"
    hetzner_image: str = "debian-13"
    hetzner_location: str = "fsn1"
    hetzner_types: Words = ()

    libcloud_provider: LibcloudProvider | None = None
    libcloud_key: SecretStr | None = None
    libcloud_secret: SecretStr | None = None
    libcloud_image: str = ""
    libcloud_region: str = ""
    libcloud_url: Url = ""
    libcloud_project: str = ""
    libcloud_domain: str = "Default"
    libcloud_network: str = ""
    libcloud_public_network: str = ""
    libcloud_sizes: Words = ()

    @model_validator(mode="after")
    def _cloud_is_known(self) -> Self:
        required = dict(_REQUIRED.get(self.compute, {}))
        if self.compute is Compute.LIBCLOUD and self.libcloud_provider:
            required |= _ALSO_REQUIRED[self.libcloud_provider]
        for name, expected in required.items():
            if not getattr(self, name):
                raise ValueError(f"{name.upper()} is missing: with COMPUTE={self.compute}, expected {expected}")
        return self


def plain(secret: SecretStr | None) -> str:
    """Return a secret's text, empty when there is none."""
    return "" if secret is None else secret.get_secret_value()
