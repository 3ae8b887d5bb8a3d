"""What is answered on its way into the log.

recorder.py (the queue) · answered.py (tables of answers, packed) · kept.py (rows and counts) · batches.py (the port of
whoever writes) · shadow.py (a second version is asked too).
"""
