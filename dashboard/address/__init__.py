"""What the address of a page says: which model and version it is about, and what its fields are set to.

picker.py (model and version) · in_address.py (the fields that it names).
"""
