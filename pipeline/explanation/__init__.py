"""Why a model predicts what it predicts: what each original column adds, exact where the model allows it.

explain.py (Explainer, explain) · summary.py (rows to explain, the document) · result.py (Explanation, JSON, npz) ·
wording.py (sentences) · surrogate.py (a second opinion).
"""
