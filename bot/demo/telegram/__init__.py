"""A stand-in for Telegram: the Bot API over HTTP, the people who use the bot, and their chat page."""

from bot.demo.telegram.acts import Paid, Refused
from bot.demo.telegram.client import Group, Person, Tap
from bot.demo.telegram.faults import Kind
from bot.demo.telegram.pace import Pace
from bot.demo.telegram.server import Call, Telegram
from bot.demo.telegram.view import Button, ChatMessage

__all__ = ["Button", "Call", "ChatMessage", "Group", "Kind", "Pace", "Paid", "Person", "Refused", "Tap", "Telegram"]
