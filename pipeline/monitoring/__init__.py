"""WATCH: whether what serves is still what was approved.

profile.py (the held-out rows as counts) · reference.py (makes one).
"""
