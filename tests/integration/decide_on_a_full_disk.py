"""Sets an alias in a process whose files may not grow beyond a size: `decide_on_a_full_disk.py FOLDER BYTES`."""

import json
import resource
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from ledgers.revision_0001 import FixedId
from pipeline.adapters.ledger.sql import SqlLedger
from pipeline.governance.lifecycle import Stage
from support.desks import GRACE, MODEL, REASON, TickingClock, build_desk, small_registry

folder, size = Path(sys.argv[1]), int(sys.argv[2])
registry = small_registry()
for version in (1, 2, 3):
    registry.set_stage(MODEL, version, Stage.STAGING)
ledger = SqlLedger(f"sqlite:///{folder / 'ledger.db'}", registry=FixedId("registry-1"), clock=TickingClock())
desk = build_desk(registry, ledger)
resource.setrlimit(resource.RLIMIT_FSIZE, (size, size))
outcome = desk.set_alias(MODEL, "challenger", 3, reason=REASON, actor=GRACE)
sys.stdout.write(json.dumps(outcome.as_json()))
