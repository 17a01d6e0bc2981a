"""Screens: data in, View out. No session, no clock, no network."""
