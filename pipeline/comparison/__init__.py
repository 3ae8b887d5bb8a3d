"""Evidence as numbers: metrics, their differences on the same rows, and which rows flip.

rows.py (reading) · measures.py (the metrics) · bootstrap.py (intervals, tests) · agreement.py (flips, confusion,
calibration) · paired.py (PairedBootstrap, the port).
"""

from pipeline.comparison.comparer import PairedBootstrap as PairedBootstrap
