"""WATCH: whether what serves is still what was approved.

profile.py (the held-out rows as counts) · reference.py (makes one) · prediction_log.py (the port) · recorder.py (writes
to it) · watch.py (reads it) · drift.py · estimate.py (accuracy without labels) · shadow.py, side_by_side.py.
"""
