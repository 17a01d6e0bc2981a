"""The methods by subject; importing this package declares them all."""

from bot.demo.telegram.methods import chats, edits, media, payments, profile, receiving, sending

__all__ = ["chats", "edits", "media", "payments", "profile", "receiving", "sending"]
