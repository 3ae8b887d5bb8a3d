"""What an auditor takes home: one decision as a zip that is checked without Signoff.

pack.py (what is in it) · report.py (what the approver saw, as HTML) · verify.py (goes along, on the standard library).
"""

from pipeline.evidence_pack.pack import evidence_pack as evidence_pack
from pipeline.evidence_pack.pack import file_name as file_name
