"""The alerts and the dashboard that docs/monitoring keeps: as described, sound, and each fires when it should."""

import re
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from pipeline.settings import ROOT
from support.alerts import MAKE, dashboard_queries
from support.prometheus import program

OPERATIONS = (ROOT / "docs" / "operations.md").read_text(encoding="utf-8")
# By alert: series in which it holds after its time, one value a minute. All others are as they should be.
HOLDS = {
    "SignoffChampionNotAnswering": {"signoff_ready": "0x60"},
    "SignoffDegraded": {"signoff_degraded": "1x60"},
    "SignoffDrift": {'signoff_watch_severity{model="m",version="3",kind="column",column="Age"}': "0x10 1x50"},
    "SignoffAccuracyBelowApproved": {'signoff_watch_severity{model="m",version="3",kind="accuracy",column=""}': "2x60"},
    "SignoffHighFindingOpen": {'signoff_findings_open{model="m",severity="high"}': "2x60"},
    "SignoffNotWatched": {'signoff_watch_failed{model="m"}': "1x60"},
    "SignoffLogGap": {'signoff_log_gaps{model="m"}': "1x60"},
    "SignoffLogNotWritten": {"signoff_log_lost_total": "0+5x60"},
    "SignoffNotCompiled": {"signoff_compiled": "0x60"},
    "SignoffChangedPastTheDesk": {"signoff_out_of_band_changes": "1x60"},
    "SignoffDecisionPending": {"signoff_pending_decisions": "1x60"},
    "SignoffNotLooking": {"signoff_look_timestamp_seconds": "0x60"},
}
# Looks ended, though none failed.
SILENT = {'signoff_watch_timestamp_seconds{model="m"}': "0x60"}
CALM = {
    "signoff_ready": "1x60",
    "signoff_degraded": "0x60",
    'signoff_watch_severity{model="m",version="3",kind="column",column="Age"}': "0x60",
    'signoff_watch_severity{model="m",version="3",kind="accuracy",column=""}': "0x60",
    'signoff_findings_open{model="m",severity="high"}': "0x60",
    'signoff_findings_open{model="m",severity="medium"}': "3x60",
    'signoff_watch_failed{model="m"}': "0x60",
    'signoff_watch_timestamp_seconds{model="m"}': "0+60x60",
    'signoff_watch_every_seconds{model="m"}': "60x60",
    'signoff_log_gaps{model="m"}': "0x60",
    "signoff_log_lost_total": "7x60",
    "signoff_log_writing": "1x60",
    "signoff_compiled": "1x60",
    "signoff_out_of_band_changes": "0x60",
    "signoff_pending_decisions": "0x60",
    "signoff_look_timestamp_seconds": "0+60x60",
}


def test_the_files_are_what_the_description_gives() -> None:
    """Whoever changes docs/monitoring/make.py runs it."""
    assert MAKE.ALERTS.read_text(encoding="utf-8") == MAKE.alerts_text()
    assert MAKE.DASHBOARD.read_text(encoding="utf-8") == MAKE.dashboard_text()


def test_every_metric_that_is_asked_for_is_documented() -> None:
    """And every alert is, by its name."""
    queries = [*(rule.query for rule in MAKE.RULES), *(query for _, query in dashboard_queries())]
    names = {name.removesuffix("_bucket") for query in queries for name in re.findall(r"\bsignoff_\w+", query)}
    told = OPERATIONS.replace("`, `_", "`, `signoff_accuracy_")

    assert len(names) > 20
    assert sorted(name for name in names if f"`{name}`" not in told) == []
    assert [rule.name for rule in MAKE.RULES if f"`{rule.name}`" not in OPERATIONS] == []


def test_every_alert_fires_when_it_should_and_none_else(tmp_path: Path) -> None:
    """One that holds fires alone; where all is as it should be nothing fires, nor without log and dashboard."""
    cases = [_case({**CALM, **series}, [name]) for name, series in HOLDS.items()]
    cases.append(_case({**CALM, **SILENT}, ["SignoffNotWatched"]))
    lone = {name: values for name, values in CALM.items() if name == "signoff_ready"}
    file = tmp_path / "tests.yml"
    file.write_text(
        yaml.safe_dump({"rule_files": [str(MAKE.ALERTS)], "tests": [*cases, _case(CALM, []), _case(lone, [])]})
    )
    done = subprocess.run(
        [program("promtool"), "test", "rules", file], capture_output=True, text=True, check=False, cwd=tmp_path
    )

    assert set(HOLDS) == {rule.name for rule in MAKE.RULES}
    assert done.returncode == 0, done.stdout + done.stderr


def _case(series: dict[str, str], fires: list[str]) -> dict[str, Any]:
    """A test of promtool: which alerts fire after half an hour."""
    job = '{job="signoff"}'
    return {
        "interval": "1m",
        "input_series": [
            {"series": name.replace("{", '{job="signoff",') if "{" in name else name + job, "values": values}
            for name, values in series.items()
        ],
        "promql_expr_test": [
            {
                "expr": 'count by (alertname) (ALERTS{alertstate="firing"})',
                "eval_time": "30m",
                "exp_samples": [{"labels": f'{{alertname="{name}"}}', "value": 1} for name in fires],
            }
        ],
    }


@pytest.mark.parametrize("rule", MAKE.RULES, ids=lambda rule: rule.name)
def test_an_alert_says_what_is_so_and_what_to_do(rule: Any) -> None:
    """Each is one sentence with a full stop, and its severity is one of three."""
    assert rule.severity in {"critical", "warning", "info"}
    assert rule.summary.endswith(".")
    assert rule.action.endswith(".")
