"""Which version is better: metrics, their differences on the same evaluation rows, and which rows flip.

comparer.py (PairedBootstrap, the port) · rows.py (reading) · metrics.py (defined once, for training too) ·
intervals.py (bootstrap, tests) · slices.py (categories, age bands) · search.py (slices that
nobody listed) · agreement.py (flips, confusion, calibration) · performance.py (curves and errors by kind).
"""

from pipeline.comparison.comparer import PairedBootstrap as PairedBootstrap
