"""Reading with SQL which logged models the versions of a model have, and what was logged for them."""

import re
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from pipeline.adapters.mlflow import statements as sql
from pipeline.adapters.mlflow.database import Query
from pipeline.adapters.mlflow.measured import (
    Link,
    Logged,
    Measured,
    Own,
    dataset_label,
    followed,
    linked,
    newest,
    runs_own,
)

MOST_IDS = 500
# A source that names a logged model, and the part of it that is the id.
DIRECT, DIRECT_ID = "models:/m-", slice(8, 42)
# Sources that may lead to one: a copy, a run, a folder of MLflow 3.
LED = re.compile(r"^models:/|^runs:/|/models/m-")
Numbers = Mapping[str, float | None]


@dataclass
class Links:
    """The logged models that are there, by id and by the run that logged them, newest first."""

    by_id: dict[str, Link] = field(default_factory=dict)
    by_run: dict[str | None, list[Link]] = field(default_factory=lambda: defaultdict(list))

    def add(self, rows: Iterable[Any]) -> None:
        for model_id, run_id, name, _ in rows:
            if model_id not in self.by_id:
                self.by_id[model_id] = link = Link(model_id, run_id, name)
                self.by_run[run_id].append(link)

    def of_run(self, run_id: str | None) -> Sequence[Link]:
        return self.by_run.get(run_id, ()) if run_id else ()


class TableModels:
    """The logged model of each version of a table, in a number of queries that does not grow with it."""

    def __init__(self, query: Query, model: str, rows: Sequence[tuple[str | None, str]]) -> None:
        """rows: run id and source of each version."""
        self._query, self._model = query, model
        self.links = Links()
        self.links.add(query(sql.LINKS, {"name": model}))
        ids = self._linked(rows)
        self._extend({each for each in ids if each and each not in self.links.by_id})
        self.ids = [each if each in self.links.by_id else None for each in ids]
        direct = {source[DIRECT_ID] for _, source in rows if source and source.startswith(DIRECT)}
        self._elsewhere = {each for each in self.ids if each} - direct
        pairs = zip(rows, self.ids, strict=True)
        self.shared = [bool(self.links.by_id) and self._is_shared(run, found) for (run, _), found in pairs]

    def _linked(self, rows: Sequence[tuple[str | None, str]]) -> list[str | None]:
        """Most sources name their model; only for the others more is looked up."""
        ids = [source[DIRECT_ID] if source and source.startswith(DIRECT) else None for _, source in rows]
        others = [i for i, (_, source) in enumerate(rows) if ids[i] is None and source and LED.search(source)]
        sources = followed((rows[i][1] for i in others), self._sources)
        for i, source in zip(others, sources, strict=True):
            ids[i] = linked(source, self.links.of_run(rows[i][0]))
        return ids

    def _is_shared(self, run_id: str | None, model_id: str | None) -> bool:
        of_run = self.links.of_run(run_id)
        if len(of_run) == 1 and of_run[0].model_id == model_id:
            return False
        return not runs_own(run_id, self.links.by_id.get(model_id or ""), of_run)

    def metrics(self, wanted: Sequence[str] | None) -> list[Numbers | None]:
        """Of each version's logged model, those wanted; None where it has no metric at all."""
        if not self.links.by_id:
            return [None] * len(self.ids)
        own: dict[str, dict[str, float | None]] = {}
        several: set[str] = set()
        rows = self._rows(sql.MODEL_METRICS, wanted)
        for model_id, name, _, _, value, dataset, digest in rows:
            held = own.setdefault(model_id, {})
            if name in held or dataset or digest:
                several.add(model_id)
            held[name] = value
        for model_id, measured in _measured(row for row in rows if row[0] in several).items():
            own[model_id] = newest(measured)[0]
        if wanted is not None and any(each and each not in own for each in self.ids):
            for (model_id,) in self._rows(sql.MEASURED_MODELS, None):
                own.setdefault(model_id, {})
        return [own.get(each) if each else None for each in self.ids]

    def params(self) -> list[Mapping[str, str] | None]:
        own: dict[str, dict[str, str]] = defaultdict(dict)
        for model_id, key, value in self._rows(sql.MODEL_PARAMS, None):
            own[model_id][key] = value
        return [own.get(each) if each else None for each in self.ids]

    def _rows(self, statement: str, wanted: Sequence[str] | None) -> list[Any]:
        names = {f"m{i}": name for i, name in enumerate(wanted or ())}
        where = "" if wanted is None else f"and metric_name in ({', '.join(f':{each}' for each in names) or 'null'})"
        found = self._query(statement.format(models=sql.OWN_MODELS, where=where), {"name": self._model, **names})
        for keys in _chunks(self._elsewhere):
            marks = ", ".join(f":{each}" for each in keys)
            found += self._query(statement.format(models=f"({marks})", where=where), {**keys, **names})
        return found

    def _extend(self, missing: set[str]) -> None:
        """Models that another version, or a folder, leads to."""
        for keys in _chunks(missing):
            marks = ", ".join(f":{each}" for each in keys)
            self.links.add(self._query(sql.SOME_LINKS.format(models=f"({marks})"), keys))

    def _sources(self, model: str) -> Mapping[int, str]:
        return dict(self._query(sql.SOURCES, {"name": model}))


def own_of(query: Query, source: str, run_id: str | None) -> Own:
    """Of one version."""
    links = Links()
    if run_id:
        links.add(query(sql.LINKS_OF_RUN, {"run": run_id}))
    of_run = tuple(links.of_run(run_id))
    (source,) = followed([source], lambda model: dict(query(sql.SOURCES, {"name": model})))
    found = linked(source, of_run)
    if found and found not in links.by_id:
        links.add(query(sql.SOME_LINKS.format(models="(:id)"), {"id": found}))
    if found not in links.by_id:
        return Own(None, Logged(), of_run)
    return Own(links.by_id[found], _logged(query, found), of_run)


def _logged(query: Query, model_id: str) -> Logged:
    rows = query(sql.MODEL_METRICS.format(models="(:id)", where=""), {"id": model_id})
    params = query(sql.MODEL_PARAMS.format(models="(:id)", where=""), {"id": model_id})
    return Logged(_measured(rows).get(model_id, []), {key: value for _, key, value in params})


def _measured(rows: Iterable[Any]) -> dict[str, list[Measured]]:
    found: dict[str, list[Measured]] = defaultdict(list)
    for model_id, name, time, step, value, dataset, digest in rows:
        found[model_id].append(Measured(name, time, step, value, dataset_label(dataset, digest)))
    return found


def _chunks(ids: Iterable[str]) -> Iterable[dict[str, str]]:
    ordered = sorted(ids)
    for start in range(0, len(ordered), MOST_IDS):
        yield {f"i{i}": each for i, each in enumerate(ordered[start : start + MOST_IDS])}
