"""The allow-list: what of a model may be loaded under `serving.trust: allow_list`, read as data before anything runs.

A model is loaded where its MLmodel asks for nothing but a skops file of scikit-learn, where every type in that file is
on skops' own list or under `serving.allowed_types`, and where compiled code of its types has been checked (structure).
"""

import importlib.metadata
from collections.abc import Collection, Mapping
from typing import Any

from pipeline.governance.errors import Refused

MODEL_DESCRIPTION = "MLmodel"
NOT_SKOPS = "it is not saved with skops"
TRUST_MAKERS = 'who trusts its makers sets "trust: producers" under serving in params.yaml'
# Compiled prediction code whose fitted attributes nobody has written a check for; allowed by name only.
UNCHECKED = {
    "sklearn.cluster._birch.Birch",
    "sklearn.cluster._bisect_k_means.BisectingKMeans",
    "sklearn.decomposition._dict_learning._BaseSparseCoding",
    "sklearn.decomposition._lda.LatentDirichletAllocation",
    "sklearn.decomposition._nmf._BaseNMF",
    "sklearn.manifold._isomap.Isomap",
    "sklearn.manifold._locally_linear.LocallyLinearEmbedding",
    "sklearn.preprocessing._polynomial.SplineTransformer",
}


class OutsidePolicy(Refused):
    """The model would need more than the allow-list permits; nothing is known to be broken."""


class NotHere(Refused):
    """The model needs a library, or another version of one, that is not installed; nothing is known to be broken."""


def model_file(description: Mapping[str, Any], names: Collection[str]) -> str:
    """The path of the skops file, if the description asks for nothing that would run.

    Raises OutsidePolicy where it does, NotHere where the installed scikit-learn is another one.
    """
    flavors = description["flavors"]
    if "sklearn" not in flavors:
        others = sorted(str(name) for name in flavors if name != "python_function")
        named = ", ".join(others) or "python_function"
        raise OutsidePolicy(f"its flavor is {named}, which is not loaded under this trust policy; {TRUST_MAKERS}")
    sklearn, pyfunc = flavors["sklearn"], flavors.get("python_function") or {}
    if not isinstance(sklearn, dict) or not isinstance(pyfunc, dict):
        raise Refused(f"{MODEL_DESCRIPTION} describes no scikit-learn model")
    name = sklearn.get("pickled_model")
    reasons = {
        NOT_SKOPS: sklearn.get("serialization_format") != "skops",
        "it comes with code": bool(sklearn.get("code") or pyfunc.get("code")),
        "it asks for a loader of its own": pyfunc.get("loader_module", "mlflow.sklearn") != "mlflow.sklearn",
        "its two flavors name different files": pyfunc.get("model_path", name) != name,
        "it names a file that is not in the model": not isinstance(name, str) or name not in names,
    }
    if against := [reason for reason, holds in reasons.items() if holds]:
        raise OutsidePolicy("; ".join([*against, TRUST_MAKERS] if against == [NOT_SKOPS] else against))
    check_scikit_learn(str(sklearn.get("sklearn_version")))
    return str(name)


def check_scikit_learn(needed: str) -> None:
    """Checks the model's scikit-learn: fitted attributes and tree layouts may change with each minor release.

    Raises NotHere where the installed one is another.
    """
    installed = importlib.metadata.version("scikit-learn")
    minor, ours = (".".join(version.split(".")[:2]) for version in (needed, installed))
    if minor != ours:
        raise NotHere(f"it needs scikit-learn {minor}, have {ours}")


def not_allowed(types: Collection[str]) -> OutsidePolicy:
    """The refusal of a model with types outside the allow-list, and what an operator can do about it."""
    named = sorted(types)
    lines = ", ".join(f'"- {name}"' for name in named)
    add = f"{'the line' if len(named) == 1 else 'the lines'} {lines} under serving.allowed_types in params.yaml"
    return OutsidePolicy(f"it needs types that are not allowed: {', '.join(named)}; who trusts its makers adds {add}")


def check_known(part: object, allowed_types: Collection[str]) -> None:
    """Raises OutsidePolicy for an object whose compiled code nobody has checked, unless its type is allowed by name."""
    bases = {_name(base) for base in type(part).__mro__}
    if bases & UNCHECKED and _name(type(part)) not in allowed_types:
        raise not_allowed([_name(type(part))])


def _name(kind: type) -> str:
    return f"{kind.__module__}.{kind.__qualname__}"
