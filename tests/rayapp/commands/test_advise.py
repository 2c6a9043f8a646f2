"""``kirl advise`` on the graph of a run."""

from __future__ import annotations

import json
import shutil
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
import typer
from typer.testing import CliRunner, Result

from envs import InputError, InteractionTable, Scenario
from kg_actor import GraphSpec, Keyed, MergeKey, neighbourhood, queries, store
from kg_actor.store import GraphStore
from llm_actor.advisor import FLOOR
from llm_actor.text import Template
from rayapp.commands.advise import advise
from rayapp.config import AdviceSettings, TrainingSettings
from rayapp.runs.folder import RunFolder, RunManifest

APP = typer.Typer()
ENDPOINT = [
    *("--advisor", "endpoint", "--set", "advice.model=phi"),
    *("--set", "advice.url=http://127.0.0.1:9"),
]
APP.command()(advise)


def run(*arguments: object) -> Result:
    result = CliRunner().invoke(APP, list(map(str, arguments)), catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return result


def asked(*arguments: object) -> dict[str, Any]:
    answer: dict[str, Any] = json.loads(run(*arguments, "--json").stdout)
    return answer


def refused(*arguments: object) -> str:
    with pytest.raises(InputError) as refusal:
        CliRunner().invoke(APP, list(map(str, arguments)), catch_exceptions=False)
    return str(refusal.value)


@pytest.fixture(scope="module")
def trained(scenario: Scenario, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run that trained with the embedded model and has tried three actions per type."""
    folder = RunFolder(tmp_path_factory.mktemp("advise") / "run")
    scenario.copy_to(folder.scenario_folder)
    settings = TrainingSettings(flows=600, advice=AdviceSettings(advisor="embedded"))
    kind = (scenario.fingerprint, scenario.kind)
    folder.write(
        RunManifest(name="run-1", settings=settings, fingerprint=kind[0], kind=kind[1]),
    )
    signature, actual = scenario.test
    opened = GraphStore.open(folder.graph_folder, GraphSpec.of(scenario))
    for number in range(3):
        table = InteractionTable.tally(signature, (actual + number) % 15, actual)
        opened.merge([Keyed(MergeKey("run-1", number, 0), table)])
    opened.close()
    return folder.path


@pytest.fixture(scope="module")
def wrong(trained: Path) -> int:
    """The signature with the most misdetected flows."""
    graph, _ = store.read(trained / "graph")
    return queries.error_prone(graph, 1)[0].signature


def test_everything_behind_an_answer_is_told(trained: Path, wrong: int) -> None:
    told = asked("--run", trained, "--signature", wrong, "--advisor", "graph-reader")

    graph, _ = store.read(trained / "graph")
    records = neighbourhood(graph, wrong)
    assert told["records"]["confusions"][0]["actual"] == records.confusions[0].actual
    assert told["records"]["predicted"] == records.predicted
    assert f"Predicted type: {records.predicted}, confidence" in told["prompt"]
    assert all(one["action"] in told["prompt"] for one in told["candidates"])
    assert told["note"] == "Learnt on synthetic flows, not on real traffic."


def test_probabilities_are_the_reference_policy(trained: Path, wrong: int) -> None:
    told = asked("--run", trained, "--signature", wrong, "--advisor", "graph-reader")

    kept = [one["probability"] for one in told["candidates"]]
    left_out = [one["probability"] for one in told["left_out"]]
    assert left_out
    assert left_out == pytest.approx([FLOOR] * len(left_out), rel=0.01)
    assert sum(kept) + sum(left_out) == pytest.approx(1, abs=1e-5)
    assert told["chosen"]["probability"] == max(kept)
    assert told["chosen"]["promised_reward"] == max(
        one["promised_reward"] for one in told["candidates"]
    )


def test_the_runs_own_reference_policy_is_told_too(trained: Path, wrong: int) -> None:
    """``kl.reference=hard``, the default: one action, and a little for every other."""
    told = asked("--run", trained, "--signature", wrong, "--advisor", "graph-reader")

    every = [*told["candidates"], *told["left_out"]]
    assert told["reference"] == {"kind": "hard", "temperature": 1.0, "smoothing": 0.01}
    assert told["chosen"]["reference_probability"] == pytest.approx(0.99 + 0.01 / 15)
    others = [one["reference_probability"] for one in every if one != told["chosen"]]
    assert others == pytest.approx([0.01 / 15] * 14)


def test_where_the_model_computes_can_be_chosen_and_is_said(trained: Path, wrong: int) -> None:
    asking = ("--run", trained, "--signature", wrong, "--advisor", "embedded")

    scored = run(*asking, "--set", "advice.gpus=0", "--set", "advice.dtype=float32", "--json")
    written = asked(*asking, "--set", "advice.gpus=0", "--set", "advice.mode=generate")

    assert "embedded runs on CPU: its device is cpu" in scored.stderr
    assert written["chosen"]["probability"] > 0.99
    assert written["chosen"]["action"] == json.loads(scored.stdout)["chosen"]["action"]


def test_historic_rewards_are_those_on_record(trained: Path, wrong: int) -> None:
    told = asked("--run", trained, "--signature", wrong, "--advisor", "graph-reader")

    on_record = {one["action"]: one["mean_reward"] for one in told["records"]["actions"]}
    for one in (*told["candidates"], *told["left_out"]):
        assert one["mean_reward"] == on_record.get(one["action"])
    untried = [one for one in told["candidates"] if one["mean_reward"] is None]
    assert untried
    assert all(one["flows"] == 0 for one in untried)


def test_a_run_s_own_advisor_is_asked_by_default(trained: Path, wrong: int) -> None:
    told = asked("--run", trained, "--signature", wrong)

    assert told["advisor"]["kind"] == told["advisor"]["name"] == "embedded"
    assert told["advisor"]["answered"]
    assert len(told["advisor"]["revision"]) == 32
    assert told["prompt"].startswith("<|user|>Predicted type: ")
    assert told["prompt"].endswith("<|assistant|>")
    assert sum(one["probability"] for one in told["candidates"]) > 0.99


def test_a_graph_that_is_no_run_s_is_read_by_the_graph_reader(trained: Path, wrong: int) -> None:
    told = asked("--run", trained / "graph", "--signature", wrong)

    assert told["advisor"]["name"] == "graph-reader"


@pytest.fixture
def overloaded() -> Iterator[str]:
    """Address of a server that answers every request with 503."""

    class Overloaded(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self.send_response(503)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            """Says nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Overloaded) as server:
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}/v1"
        server.shutdown()


def test_it_is_told_when_an_endpoint_did_not_answer(
    trained: Path, wrong: int, overloaded: str
) -> None:
    asking = ("--run", trained, "--signature", wrong, "--advisor")

    reader = asked(*asking, "graph-reader")
    told = asked(
        *asking, "endpoint", "--set", "advice.model=phi", "--set", f"advice.url={overloaded}",
        "--set", "advice.retries=0", "--set", "advice.timeout_seconds=5",
    )  # fmt: skip

    assert told["advisor"]["name"] == "phi"
    assert not told["advisor"]["answered"]
    assert told["chosen"] == reader["chosen"]


def test_people_get_a_table(trained: Path, wrong: int) -> None:
    arguments = ("--run", trained, "--signature", wrong, "--advisor", "graph-reader")

    shown, told = run(*arguments).stdout, asked(*arguments)

    assert "Actions and their rewards:" in shown
    assert f"Chosen: {told['chosen']['action']}" in shown
    assert f"Left out by their records, {FLOOR:g} each (0.00067 in the reference policy): " in shown
    assert f"Said by graph-reader (graph-reader, revision {told['advisor']['revision']})" in shown


@pytest.mark.parametrize(
    ("options", "settings", "message"),
    [
        # The run's own advisor is the embedded model.
        ([], ["model=phi"], "embedded has no use for model"),
        (["--advisor", "oracle"], [], "there is no advisor 'oracle'. Expected one of graph-reader"),
        (["--advisor", "embedded"], ["retries=1"], "embedded has no use for retries"),
        (["--advisor", "embedded"], ["retries"], "'advice.retries' is not key=value"),
        (ENDPOINT, ["retries=-1"], "advice.retries"),
        (ENDPOINT, ["timeout_seconds=0"], "advice.timeout_seconds"),
        (ENDPOINT, ["api_key_env=KIRL_NO_SUCH_KEY"], "variable KIRL_NO_SUCH_KEY"),
        (ENDPOINT, ["gpus=0"], "endpoint has no use for gpus"),
        (["--advisor", "graph-reader"], ["mode=generate"], "no use for mode"),
        (["--advisor", "embedded"], ["mode=shout"], "advice.mode"),
        (["--advisor", "embedded"], ["modell=phi"], "advice.modell"),
        (["--advisor", "endpoint"], ["model=phi"], "endpoint needs url"),
        (["--advisor", "transformers"], ["model=no such/model/at all"], "neither a folder"),
        ([], ["replicas=2"], "--set advice.replicas changes nothing here"),
        (["--set", "learning.epochs=4"], [], "--set learning changes nothing here"),
    ],
)
def test_options_that_make_no_sense_are_refused(
    trained: Path, options: list[str], settings: list[str], message: str
) -> None:
    given = [word for setting in settings for word in ("--set", f"advice.{setting}")]

    assert message in refused("--run", trained, "--signature", 0, *options, *given)


def test_the_runs_own_advisor_can_be_asked_otherwise(trained: Path, wrong: int) -> None:
    asking = ("--run", trained, "--signature", wrong)

    told, written = asked(*asking), asked(*asking, "--set", "advice.mode=generate")

    assert told["advisor"]["kind"] == written["advisor"]["kind"] == "embedded"
    assert written["chosen"]["probability"] > 0.99 > told["chosen"]["probability"]


def test_unknown_signatures_and_runs_are_refused(trained: Path, tmp_path: Path) -> None:
    assert "no signature 99999" in refused(
        "--run", trained, "--signature", 99999, "--advisor", "graph-reader"
    )
    assert "holds no knowledge graph" in refused("--run", tmp_path, "--signature", 0)


def test_another_template_is_warned_of_where_the_small_model_reads_it(
    trained: Path, wrong: int, tmp_path: Path
) -> None:
    folder = RunFolder(tmp_path / "run")
    shutil.copytree(trained, folder.path)
    default = Template.read()
    same, other = tmp_path / "same.toml", tmp_path / "other.toml"
    for place, user in ((same, default.user), (other, f"{default.user} Think.")):
        parts = {"system": default.system, "user": user, "assistant": ""}
        place.write_text("".join(f"{key} = {json.dumps(text)}\n" for key, text in parts.items()))

    def said(template: Path) -> str:
        manifest = folder.manifest()
        advice = AdviceSettings(advisor="embedded", template=template)
        manifest.settings = manifest.settings.model_copy(update={"advice": advice})
        folder.write(manifest)
        return run("--run", folder.path, "--signature", wrong).stderr

    assert "Warning: the embedded model was trained on" in said(other)
    assert "Warning" not in said(same)
