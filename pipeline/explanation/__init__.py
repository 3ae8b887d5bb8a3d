"""WHY: what each original column adds to what a model says, exact where the model allows it.

explain.py (Explainer, explain) · summary.py (rows to explain, the document) · result.py (Explanation, JSON, npz) ·
wording.py (sentences) · surrogate.py (a second opinion).
"""
