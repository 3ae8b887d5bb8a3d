"""The verbs of what serves: what it met, and what somebody must look at."""
