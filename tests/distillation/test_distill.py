"""A smaller model learns from a larger one, is measured beside it, and registered."""

import json
import shutil
from pathlib import Path

import pytest
from sentence_transformers import CrossEncoder, SentenceTransformer
from sentence_transformers.base.modules import Dense

from jobs.distill import DistillJob
from medembed.config import load_config
from medembed.data.config import SourceConfig, SplitConfig
from medembed.data.prepare import prepare
from medembed.distillation.config import TeacherLayers
from medembed.encoding.model_files import model_fingerprint
from medembed.errors import ConfigError, MedEmbedError
from medembed.registry.config import RegistryConfig
from medembed.registry.models import open_registry
from tests.cross import make_cross_encoder
from tests.kinds import KINDS, save_kind
from tests.loop import finish
from tests.tiny import SIGNS, SUBJECTS, WIDTH, make_xlm_roberta

SETTINGS = [
    "training.batch_size=16",
    "training.epochs=2",
    "training.learning_rate=2e-3",
    "training.checkpoint_steps=1000",
    "training.cpus_per_worker=1",
    "training.dev_documents=60",
    "encoding.backend=torch",
    "encoding.workers=1",
    "evaluation.bootstrap_samples=200",
    "keep=0.3",
]


def arguments(root: Path, teacher: Path, student: str, data: str, *more: str) -> list[str]:
    return [
        f"teacher={teacher}",
        f"student={student}",
        f"data={root}/{data}",
        f"output={root}/out-{data}",
        f"registry.workspace={root}/workspace",
        *SETTINGS,
        *more,
    ]


@pytest.fixture(scope="module")
def root(pairs_file: Path, empty_registry: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with pairs, documents alone, too few of them, and an empty registry."""
    root = tmp_path_factory.mktemp("distill")
    shutil.copytree(empty_registry, root / "workspace")
    prepare(SourceConfig(path=str(pairs_file)), SplitConfig(test=0.3), f"{root}/pairs")
    texts = [f"{sign} of the {subject}" for subject in SUBJECTS for sign in SIGNS]
    for name, count in (("texts", 120), ("few", 40)):
        rows = []
        for number in range(count):
            text = f"{texts[number]}, and {texts[-number % 60]}"
            rows.append(json.dumps({"document_id": f"d{number}", "text": text}) + "\n")
        (root / f"{name}.jsonl").write_text("".join(rows))
        prepare(SourceConfig(path=f"{root}/{name}.jsonl"), SplitConfig(), f"{root}/{name}")
    return root


@pytest.mark.ray
@pytest.mark.usefixtures("ray_local", "no_actors")
def test_a_layer_of_the_teacher_learns_is_measured_beside_it_and_names_it_in_its_lineage(
    root: Path, encoder_folder: Path
):
    given = arguments(root, encoder_folder, "layers:1", "pairs")
    summary = finish("distill", given)
    assert summary["metric"] == "ndcg@10"
    for dimension, share in summary["kept"].items():
        of_student = summary["student"]["quality"][dimension]
        assert share == of_student / summary["teacher"]["quality"][dimension]
    assert summary["student"]["parameters"] < summary["teacher"]["parameters"]
    assert summary["student"]["texts_per_s"] > summary["teacher"]["texts_per_s"]
    assert (root / "out-pairs/report.html").stat().st_size > 10_000
    checkpoint = summary["checkpoint"]
    student = SentenceTransformer(checkpoint["uri"], device="cpu")
    assert student[0].model.config.num_hidden_layers == 1
    teacher = model_fingerprint(encoder_folder)
    assert checkpoint["parent"] == checkpoint["teacher"]
    assert checkpoint["teacher"] == {
        "fingerprint": teacher,
        "uri": str(encoder_folder),
        "version": None,
    }
    registry = open_registry(RegistryConfig(workspace=str(root / "workspace")), on_cluster=False)
    version = registry.resolve(summary["registered"]["model"])
    assert version.tags["teacher"] == teacher
    assert version.lineage.table.fingerprint == checkpoint["fingerprint"]
    lines = finish("lineage", [f"of={version.reference}", f"registry.workspace={root}/workspace"])
    (line,) = [line for line in lines["lines"] if line.startswith("  teacher ")]
    assert line.split()[1:] == [f"{encoder_folder}:", teacher]
    again = finish("distill", given)
    assert again["registered"] == summary["registered"]
    assert again["checkpoint"] == checkpoint


@pytest.mark.ray
@pytest.mark.usefixtures("ray_local", "no_actors")
def test_a_student_with_another_tokenizer_learns_from_documents_alone_and_takes_the_prompts(
    root: Path, prompted_folder: Path, tmp_path: Path
):
    student = make_xlm_roberta(tmp_path / "xlm")
    summary = finish("distill", arguments(root, prompted_folder, str(student), "texts"))
    assert summary["metric"] == "recall@10"
    assert summary["teacher"]["quality"]["32"] == 1, "what it ranks first is what counts as right"
    assert summary["kept"]["32"] == summary["student"]["quality"]["32"] > 0.3
    assert summary["report"] is None
    loaded = SentenceTransformer(summary["checkpoint"]["uri"], device="cpu")
    assert loaded.prompts == {"query": "query: ", "document": "passage: "}
    assert summary["checkpoint"]["parent"]["fingerprint"] == model_fingerprint(student)


@pytest.mark.ray
@pytest.mark.usefixtures("ray_local", "no_actors")
def test_a_student_that_keeps_too_little_is_not_registered(root: Path, encoder_folder: Path):
    registry = open_registry(RegistryConfig(workspace=str(root / "workspace")), on_cluster=False)
    before = registry.client.search_model_versions("name = 'medembed'")
    with pytest.raises(MedEmbedError, match="keeps .* expected 100.0% or more; it is not regist"):
        finish("distill", arguments(root, encoder_folder, "layers:1", "pairs", "keep=1"))
    assert registry.client.search_model_versions("name = 'medembed'") == before


def make_student(name: str, encoder: Path, folder: Path) -> str:
    """Return a reference of this kind of student, made if it is a model."""
    if name == "itself":
        return str(encoder)
    if name == "wider":
        modules = [*KINDS["pooling mean"](encoder), Dense(WIDTH, 40)]
        return str(save_kind(folder / "wider", modules))
    if name == "cross-encoder":
        model = CrossEncoder(str(make_cross_encoder(folder / "cross", encoder)))
        model.save_pretrained(str(folder / "saved"))
        return str(folder / "saved")
    return name


@pytest.mark.parametrize("student", ["layers:0", "layers:many", "layers:-1", "layers:", ""])
def test_layers_that_are_no_number_are_refused_with_the_config(student: str):
    with pytest.raises(ConfigError, match=r"student: expected a model, or layers:N .*, found"):
        load_config(DistillJob, ["teacher=t", f"student={student}", "data=d"])


@pytest.mark.parametrize(
    ("setting", "fault"),
    [
        ("encoding.precision=int8", "encoding.precision: found int8"),
        ("training.loss.guide=g", "training.loss.guide: found g, but the guide is the teacher"),
    ],
)
def test_what_no_distillation_can_heed_is_refused_with_the_config(setting: str, fault: str):
    with pytest.raises(ConfigError, match=fault):
        load_config(DistillJob, ["teacher=t", "student=s", "data=d", setting])


def test_a_student_is_written_as_it_was_named():
    job = load_config(DistillJob, ["teacher=t", "student=layers:3", "data=d"])
    assert job.student == TeacherLayers(3)
    assert DistillJob.model_validate(job.model_dump(mode="json")) == job


@pytest.mark.ray  # the data set is prepared by Ray
@pytest.mark.usefixtures("ray_local")
@pytest.mark.parametrize(
    ("student", "data", "fault"),
    [
        ("must-rank", "pairs", "must-rank.yaml: document id 'absent' is not in the corpus"),
        ("itself", "pairs", "is the teacher itself"),
        ("wider", "pairs", "has 40 dimensions, its teacher only 32"),
        ("cross-encoder", "pairs", "it is a CrossEncoder; expected a SentenceTransformer"),
        ("layers:7", "pairs", "found layers:7, but teacher .* has 2 layers"),
        ("layers:1", "few", "found 40 texts, and no judged queries of dev and test, expected 120 "),
        ("layers:1", "absent", "expected a finished data set"),
    ],
)
def test_what_does_not_fit_is_one_line_and_nothing_is_made(
    student: str, data: str, fault: str, root: Path, encoder_folder: Path, tmp_path: Path
):
    place = make_student(student, encoder_folder, tmp_path)
    given = arguments(root, encoder_folder, place, data, f"output={tmp_path}/out")
    if student == "must-rank":
        cases = tmp_path / "must-rank.yaml"
        cases.write_text("- {query: heart, above: {id: absent}, below: rash}")
        given += ["student=layers:1", f"evaluation.must_rank={cases}"]
    with pytest.raises(MedEmbedError, match=fault) as raised:
        finish("distill", given)
    assert "\n" not in str(raised.value)
    assert not (tmp_path / "out").exists()
