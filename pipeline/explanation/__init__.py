"""Why a model predicts what it predicts: what each original column adds, exact where the model allows it.

explain.py (Explainer, explain, the summary document) · result.py (Explanation, JSON, npz) ·
wording.py (sentences) · sampling.py (sampled values, a second opinion) · side_by_side.py (two versions).
"""
