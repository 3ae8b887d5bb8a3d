"""WATCH: whether what serves is still what was approved.

profile.py (the held-out rows as counts) · reference.py (makes one) · prediction_log.py (the port) · recording (what is
answered goes there) · watch.py (reads it) · drift.py · estimate.py (accuracy without labels) · side_by_side.py.
"""
