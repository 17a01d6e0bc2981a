"""The whole world on one machine: stand-ins for the outside services, and a clock that can be moved."""
