"""The chat, the web endpoints, the clockwork."""
