"""Models are loaded as data, and only those that cannot run or read what they should not."""

import io
import os
import re
import shutil
import stat
import struct
import zipfile

import numpy as np
import pytest
import skops.io
from sklearn.decomposition import NMF, LatentDirichletAllocation
from sklearn.ensemble import RandomForestClassifier

from pipeline.governance.errors import Refused
from pipeline.serving.worker.allow_list import TRUST_MAKERS
from pipeline.serving.worker.load import NoInputExample, files_of, input_example, load_model
from pipeline.settings import read_settings
from support.hostile_models import (
    ALLOWED,
    ESTIMATORS,
    HOSTILE,
    PREDICTOR,
    TREE,
    change_nodes,
    describe,
    fitted,
    hostile,
    replace_model,
    rows,
    save,
)


@pytest.fixture(scope="module")
def clean(tmp_path_factory):
    """A folder per estimator, saved once."""
    place = tmp_path_factory.mktemp("clean")
    return {name: save(fitted(name), place / name) for name in ESTIMATORS}


@pytest.fixture
def folder(clean, tmp_path):
    """A copy of the clean forest to spoil."""
    return shutil.copytree(clean["random_forest"], tmp_path / "model")


def refusal(folder, allowed_types=ALLOWED) -> str:
    with pytest.raises(Refused) as caught:
        load_model(folder, allowed_types=allowed_types)
    return str(caught.value)


@pytest.mark.parametrize("name", ESTIMATORS)
def test_clean_models_predict_as_before(clean, name):
    """What was saved loads, and its probabilities are the same to the last bit."""
    loaded, original, (inputs, _) = load_model(clean[name], allowed_types=ALLOWED), fitted(name), rows()
    assert np.array_equal(loaded.model.predict_proba(inputs), original.predict_proba(inputs))
    assert loaded.model_type == type(original.named_steps["model"]).__name__


def test_allowed_types_are_those_that_the_estimators_need(clean):
    """The settings allow every type that the four estimators need."""
    needed = {kind for folder in clean.values() for kind in skops.io.get_untrusted_types(file=folder / "model.skops")}
    assert needed == {TREE, PREDICTOR}
    assert needed <= set(read_settings().serving.allowed_types)


@pytest.mark.parametrize("build", HOSTILE, ids=lambda build: build.__name__)
def test_hostile_models_are_refused(build, clean, tmp_path):
    """None of the seven is loaded, and none of their code runs."""
    folder, marker = hostile(build, clean["random_forest"], tmp_path)
    reasons = {
        "a1": "it comes with code; it asks for a loader of its own",
        "a2": "it comes with code",
        "a3": "it needs types that are not allowed: functools.partial, numpy.save; who trusts its makers adds "
        "the lines "
        '"- functools.partial", "- numpy.save" under serving.allowed_types in params.yaml',
        "a4": "it is not saved with skops; it names a file that is not in the model",
        "a5": "it is not saved with skops; " + TRUST_MAKERS,
        "a6": "its two flavors name different files",
        "a7": "it has a tree with nodes or columns that do not exist",
    }
    assert refusal(folder) == reasons[build.__name__[:2]]
    assert not marker.exists()


def test_mlflows_own_trust_list_is_not_read(folder):
    """What MLmodel lists as trusted makes no difference, neither more nor less."""
    describe(folder, lambda described: described["flavors"]["sklearn"].update(skops_trusted_types=[]))
    load_model(folder, allowed_types=ALLOWED)
    assert refusal(folder, allowed_types=()).startswith(f"it needs types that are not allowed: {TREE}; ")


def test_links_are_refused(folder, tmp_path):
    """A link in the folder, to a file or to a folder, is refused before anything is read."""
    (tmp_path / "outside").mkdir()
    (folder / "link").symlink_to(tmp_path / "outside")
    assert refusal(folder) == "the model has a link, which may point outside of it"


def test_pipes_are_refused(folder):
    """What is neither file nor folder would block the reader."""
    os.mkfifo(folder / "pipe")
    assert refusal(folder) == "the model has something that is neither a file nor a folder"


def test_very_large_files_are_refused(folder):
    """The size is looked at before the bytes."""
    with (folder / "large").open("wb") as stream:
        stream.truncate(501 * 2**20)
    assert refusal(folder) == "the model is larger than 500 MB"


def test_very_many_files_are_refused(folder):
    """A thousand files are more than any model has."""
    for index in range(1001):
        (folder / str(index)).touch()
    assert refusal(folder) == "the model has more than 1,000 files"


def test_digests_are_of_the_bytes(folder):
    """Each file is listed by its path with size and sha256."""
    (folder / "signoff").mkdir()
    (folder / "signoff" / "note.json").write_bytes(b"{}")
    found = {file.path: file for file in files_of(folder)}["signoff/note.json"]
    digest = "44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a"
    assert (found.size, found.sha256) == (2, digest)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("flavors: [", "MLmodel cannot be read: it is not valid YAML"),
        ("[" * 5000, "MLmodel cannot be read: it is nested too deep: more than 50 levels"),
        ("!!python/object/apply:os.system [exit]", "MLmodel cannot be read: it asks for a type of its own"),
        ("flavors: sklearn", "MLmodel lists no flavors"),
        ("flavors: {sklearn: 1}", "MLmodel describes no scikit-learn model"),
        (
            "flavors: {lightgbm: {}}",
            f"its flavor is lightgbm, which is not loaded under this trust policy; {TRUST_MAKERS}",
        ),
        (f"flavors: {{}} #{'x' * 2**20}", "MLmodel is missing or too large"),
    ],
    ids=["cut", "deep", "object", "no flavors", "no mapping", "foreign", "large"],
)
def test_descriptions_are_data(folder, text, reason):
    """MLmodel is parsed, within limits, and never obeyed."""
    (folder / "MLmodel").write_text(text)
    assert refusal(folder) == reason


def test_missing_description(folder):
    """A folder without MLmodel is no model."""
    (folder / "MLmodel").unlink()
    assert refusal(folder) == "MLmodel is missing or too large"


@pytest.mark.parametrize("version", ["9.9.0", "9.9"])
def test_other_minor_release_of_scikit_learn(folder, version):
    """A model of another minor release is refused with both numbers."""
    describe(folder, lambda described: described["flavors"]["sklearn"].update(sklearn_version=version))
    assert re.fullmatch(r"it needs scikit-learn 9\.9, have \d+\.\d+", refusal(folder))


def spoil(folder, change):
    path = folder / "model.skops"
    content = bytearray(path.read_bytes())
    path.write_bytes(change(content))


@pytest.mark.parametrize("position", [0.1, 0.3, 0.5, 0.7, 0.9])
def test_flipped_bit(folder, position):
    """A bit that fell over inside a member fails the archive's checksum."""

    def flip(content):
        with zipfile.ZipFile(folder / "model.skops") as archive:
            members = archive.infolist()
        member = members[int(position * len(members))]
        content[member.header_offset + 30 + len(member.filename) + member.compress_size // 2] ^= 1
        return content

    spoil(folder, flip)
    assert refusal(folder).startswith("the model file cannot be read (BadZipFile: Bad CRC-32")


@pytest.mark.parametrize("share", [0, 0.5, 0.999])
def test_truncated_archive(folder, share):
    """Half an archive is damaged, and so is none."""
    spoil(folder, lambda content: content[: int(len(content) * share)])
    assert refusal(folder).startswith("the model file is damaged")


def test_archive_that_unpacks_to_too_much(folder):
    """The sizes in the archive's index are added up before anything is unpacked."""

    def declare(content):
        start = content.index(b"PK\x01\x02")  # the first entry of the index; its size in bytes stands at 24
        content[start + 24 : start + 28] = struct.pack("<I", 2**32 - 2)
        return content

    spoil(folder, declare)
    assert refusal(folder) == "the model file cannot be used: it unpacks to more than 500 MB"


def test_archive_with_very_many_members(folder):
    """An archive of empty members is refused by their number."""
    with zipfile.ZipFile(folder / "model.skops", "a") as archive:
        for index in range(100_001):
            archive.writestr(str(index), b"")
    assert refusal(folder) == "the model file cannot be used: it has more than 100,000 members"


def test_archive_that_is_packed_too_well(folder):
    """What unpacks to more than a hundred times its size is no model."""
    with zipfile.ZipFile(folder / "model.skops", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("schema.json", b"{}")
        archive.writestr("zeros.npy", bytes(60 * 2**20))
    assert refusal(folder) == "the model file cannot be used: it unpacks to more than 100 times its size"


def test_archive_with_a_very_long_description(folder):
    """Its size is looked at before it is parsed."""
    with zipfile.ZipFile(folder / "model.skops", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("schema.json", b"[" + b"[]," * (11 * 2**20) + b"[]]")
    assert refusal(folder) == "the model file describes itself in more than 32 MB"


def test_archive_with_an_array_larger_than_its_file(folder):
    """What a header promises is no reason to make room for it."""
    with zipfile.ZipFile(folder / "model.skops") as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    name = next(name for name in members if name.endswith(".npy"))
    members[name] = header_of((10**15,))
    with zipfile.ZipFile(folder / "model.skops", "w") as archive:
        for each, content in members.items():
            archive.writestr(each, content)
    with pytest.raises((Refused, MemoryError)):
        load_model(folder, allowed_types=ALLOWED)


def header_of(shape: tuple[int, ...]) -> bytes:
    stream = io.BytesIO()
    np.lib.format.write_array_header_1_0(stream, {"descr": "<f8", "fortran_order": False, "shape": shape})
    return stream.getvalue()


@pytest.mark.parametrize("schema", ["{}", "[]", "null", '{"protocol": 2, "__loader__": "x"}', "[" * 100_000, "\udcff"])
def test_skops_file_of_nonsense(folder, schema):
    """A well-formed archive with any other content is refused with the reason."""
    with zipfile.ZipFile(folder / "model.skops", "w") as archive:
        archive.writestr("schema.json", schema.encode(errors="surrogateescape"))
    assert refusal(folder).startswith("the model file cannot be read (")


BAD_TREES = {
    "child beyond the last node": {"left_child": 10**6},
    "child before the first node": {"left_child": -5},
    "child that is its own parent": {"left_child": 0},
    "two nodes with one child": {"left_child": 2, "right_child": 2},
    "column beyond the last one": {"feature": 10**6},
    "column before the first one": {"feature": -3},
    "leaf with a child": {"left_child": -1},
}


@pytest.mark.parametrize("fields", BAD_TREES.values(), ids=BAD_TREES)
@pytest.mark.parametrize("name", ["random_forest", "extra_trees"])
def test_trees_that_reach_outside(clean, tmp_path, name, fields):
    """A forest's tree must be a tree over columns that exist."""
    folder, model = shutil.copytree(clean[name], tmp_path / "model"), fitted(name)
    change_nodes(model.named_steps["model"].estimators_[-1].tree_, **fields)
    assert refusal(replace_model(folder, model)) == "it has a tree with nodes or columns that do not exist"


def test_tree_deeper_than_it_says(folder):
    """scikit-learn reserves memory for a path by the depth that a tree claims."""
    model = fitted("random_forest")
    tree = model.named_steps["model"].estimators_[0].tree_
    tree.__setstate__({**tree.__getstate__(), "max_depth": 1})
    assert refusal(replace_model(folder, model)) == "it has a tree that is deeper than it says"


def test_wider_tree_behind_a_narrow_one(folder):
    """Only a forest's first tree looks at the width of the rows: the others must be as wide."""
    model, wide = fitted("random_forest"), RandomForestClassifier(2, random_state=1)
    wide.fit(np.random.default_rng(1).normal(size=(50, 400)), [0, 1] * 25)
    model.named_steps["model"].estimators_[1] = wide.estimators_[0]
    assert refusal(replace_model(folder, model)) == "it has a tree with nodes or columns that do not exist"


@pytest.mark.parametrize("value", [None, 3, "9", 9.0])
def test_estimator_that_hides_its_width(folder, value):
    """scikit-learn skips the check of the width where n_features_in_ is missing, and trusts any other."""
    model = fitted("random_forest")
    for estimator in model.named_steps["model"].estimators_:
        estimator.n_features_in_ = value
    assert refusal(replace_model(folder, model)) in {
        "it does not say how many columns it takes",
        "it has a tree with nodes or columns that do not exist",
    }


BAD_PREDICTORS = {
    "child beyond the last node": {"left": 10**6},
    "child that is its own parent": {"right": 0},
    "column beyond the last one": {"feature_idx": 10**6},
    "column before the first one": {"feature_idx": -1},
    "leaf flag on the root": {"is_leaf": 1},
    "category without a table": {"is_categorical": 1},
    "category beyond the table": {"is_categorical": 1, "bitset_idx": 10**6},
}


@pytest.mark.parametrize("fields", BAD_PREDICTORS.values(), ids=BAD_PREDICTORS)
def test_boosting_that_reaches_outside(clean, tmp_path, fields):
    """The trees of histogram boosting are checked like a forest's, and look up no categories that are not there."""
    folder = shutil.copytree(clean["hist_gradient_boosting"], tmp_path / "model")
    model = fitted("hist_gradient_boosting")
    nodes = model.named_steps["model"]._predictors[-1][0].nodes
    for name, value in fields.items():
        nodes[name][0] = value
    assert refusal(replace_model(folder, model)) == "it has a tree with nodes or columns that do not exist"


def test_boosting_without_nodes(clean, tmp_path):
    """A stage without a first node has nothing to start from."""
    folder = shutil.copytree(clean["hist_gradient_boosting"], tmp_path / "model")
    model = fitted("hist_gradient_boosting")
    predictor = model.named_steps["model"]._predictors[0][0]
    predictor.nodes = predictor.nodes[:0]
    assert refusal(replace_model(folder, model)) == "it has a tree with nodes or columns that do not exist"


def test_boosting_with_a_preprocessor(clean, tmp_path):
    """What stands between the check of the width and the trees could change the width."""
    folder = shutil.copytree(clean["hist_gradient_boosting"], tmp_path / "model")
    model = fitted("hist_gradient_boosting")
    model.named_steps["model"]._preprocessor = model.named_steps["columns"]
    assert refusal(replace_model(folder, model)).startswith("histogram boosting with categories of its own")


def test_boosting_with_other_stages(clean, tmp_path):
    """A stage of histogram boosting is one of its own trees, nothing that only behaves like one."""
    folder = shutil.copytree(clean["hist_gradient_boosting"], tmp_path / "model")
    model = fitted("hist_gradient_boosting")
    model.named_steps["model"]._predictors[0][0] = model.named_steps["columns"]
    assert refusal(replace_model(folder, model)) == "it has histogram boosting with stages that are not trees"


def test_forest_of_other_members(folder):
    """A member of a forest is a fitted tree, nothing that only behaves like one."""
    model = fitted("random_forest")
    model.named_steps["model"].estimators_[0] = fitted("extra_trees").named_steps["model"]
    assert refusal(replace_model(folder, model)) == "it has a forest with members that are not trees"


def test_sparse_matrix_that_reaches_outside(folder):
    """The indexes of a sparse matrix, where the caller allows one, are looked at before they are used."""
    model = fitted("logistic_regression")
    model.named_steps["model"].sparsify()
    kind = "scipy.sparse._csr.csr_matrix"
    load_model(replace_model(folder, model), allowed_types=(*ALLOWED, kind))
    model.named_steps["model"].coef_.indices[0] = 10**6
    assert "ValueError" in refusal(replace_model(folder, model), allowed_types=(*ALLOWED, kind))


def test_attribute_in_place_of_a_method(folder):
    """The types of numpy are trusted and callable: one of them in place of a check would switch that check off."""
    model = fitted("random_forest")
    model.named_steps["model"]._validate_X_predict = np.float32
    assert refusal(replace_model(folder, model)) == "it replaces RandomForestClassifier._validate_X_predict"


@pytest.mark.parametrize("estimator", [NMF(2), LatentDirichletAllocation(2)], ids=lambda each: type(each).__name__)
def test_compiled_code_without_a_check(folder, estimator):
    """Estimators whose compiled code nobody checks are allowed by name only."""
    inputs, truth = rows()
    replace_model(folder, estimator.fit(inputs[["Age", "Weight"]], truth))
    name = f"{type(estimator).__module__}.{type(estimator).__qualname__}"
    assert refusal(folder).startswith(f"it needs types that are not allowed: {name}; ")
    assert load_model(folder, allowed_types=(*ALLOWED, name)).model_type == type(estimator).__name__


def test_input_example(clean):
    """The example comes back as the row that was saved."""
    example = input_example(load_model(clean["random_forest"], allowed_types=ALLOWED))
    assert example.equals(rows()[0].head(1))


@pytest.mark.parametrize(
    "content",
    [
        '{"columns": ["Age"], "data": [[24.0]]}',
        '{"dataframe_split": {"columns": ["Age"], "data": [[24.0]]}}',
        '{"dataframe_records": [{"Age": 24.0}]}',
        '[{"Age": 24.0}]',
    ],
)
def test_forms_of_input_example(folder, content):
    """Both of MLflow's forms of a table are read, bare or wrapped as for serving."""
    (folder / "input_example.json").write_text(content)
    assert input_example(load_model(folder, allowed_types=ALLOWED)).to_dict("list") == {"Age": [24.0]}


def test_array_as_input_example(folder):
    """A model that takes an array comes with one."""
    describe(folder, lambda described: described["saved_input_example_info"].update(type="ndarray"))
    (folder / "input_example.json").write_text("[[1, 2], [3, 4]]")
    assert input_example(load_model(folder, allowed_types=ALLOWED)).tolist() == [[1, 2], [3, 4]]


@pytest.mark.parametrize("content", ["", "{", "1", '{"columns": 3, "data": 4}', "[" * 100_000])
def test_unreadable_input_example(folder, content):
    """An example that is no table is refused with the reason."""
    (folder / "input_example.json").write_text(content)
    with pytest.raises(Refused, match="its input example cannot be read"):
        input_example(load_model(folder, allowed_types=ALLOWED))


def test_very_large_input_example(folder):
    """The size of the example is looked at before it is parsed."""
    with (folder / "input_example.json").open("wb") as stream:
        stream.truncate(11 * 2**20)
    with pytest.raises(Refused, match="its input example is too large"):
        input_example(load_model(folder, allowed_types=ALLOWED))


@pytest.mark.parametrize(
    "path", [None, "", "gone.json", "../outside.json", "/etc/hostname", "\0", ["input_example.json"]]
)
def test_input_example_that_is_not_there(folder, path):
    """A path that is missing, or not one of the model's files, is no example."""
    (folder.parent / "outside.json").write_text("[]")
    describe(folder, lambda described: described["saved_input_example_info"].update(artifact_path=path))
    with pytest.raises(NoInputExample, match="has no input example to try"):
        input_example(load_model(folder, allowed_types=ALLOWED))


def test_private_folder_stays_as_it_was(folder):
    """Loading writes nothing."""
    before = files_of(folder), stat.S_IMODE(folder.stat().st_mode)
    load_model(folder, allowed_types=ALLOWED)
    assert (files_of(folder), stat.S_IMODE(folder.stat().st_mode)) == before
