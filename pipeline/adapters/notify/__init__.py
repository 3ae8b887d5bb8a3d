"""Sending text to people outside."""
