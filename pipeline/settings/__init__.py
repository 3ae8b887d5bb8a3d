"""`params.yaml` and the environment, read once into one frozen value.

settings.py (the fields, read_settings) · policy.py and schema.py (their sections) · file.py (YAML with line numbers).
Older commits are rebuilt through ROOT, Settings and read_settings here: those names stay.
"""

from pipeline.settings.settings import ROOT as ROOT
from pipeline.settings.settings import VAR as VAR
from pipeline.settings.settings import CandidateSettings as CandidateSettings
from pipeline.settings.settings import Environment as Environment
from pipeline.settings.settings import EvaluationSettings as EvaluationSettings
from pipeline.settings.settings import HttpSettings as HttpSettings
from pipeline.settings.settings import ServingSettings as ServingSettings
from pipeline.settings.settings import Settings as Settings
from pipeline.settings.settings import params_file as params_file
from pipeline.settings.settings import read_settings as read_settings
