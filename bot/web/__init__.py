"""The web endpoints."""
