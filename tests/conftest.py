"""What several test files share: small hand-made flows, and one local Ray."""

from __future__ import annotations

import logging
import os
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from http.client import HTTPConnection
from types import ModuleType

import numpy as np
import pytest
from hypothesis import settings

from envs import Catalogue, Contexts, Flows, FlowSet, Scenario
from envs.datasets.cicflowmeter import SCHEMA
from envs.flows import Provenance

PAPER = Catalogue.named("paper")
FEATURES = SCHEMA.names

# Two files of tests share two processors, and so do Ray's processes. Threads of torch, which is
# not imported yet, would wait for each other there longer than they compute.
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

# Machines that run tests are shared; a slow example there is not a failure.
settings.register_profile("kirl", deadline=None, max_examples=40)
settings.load_profile("kirl")

MakeFlows = Callable[..., Flows]

ESCAPED_BYTES = 10
"""The most escaped bytes in a test's name."""


def named_by_bytes(names: Iterable[str]) -> list[str]:
    """The tests whose names spell out a parameter's bytes.

    Compressed bytes may hold the time of day. Two workers then collect tests of other names, and
    refuse to begin.
    """
    return [name for name in names if len(re.findall(r"\\x[0-9a-f]{2}", name)) > ESCAPED_BYTES]


# The first ones have the long files: in the end, all workers are left with short ones.
FOLDERS = ("rayapp", "docs", "llm_actor", "kg_actor", "envs")


def place(item: pytest.Item) -> int:
    """Where a test stands in the order in which files are handed out."""
    folder = item.nodeid.removeprefix("tests/").partition("/")[0]
    return FOLDERS.index(folder) if folder in FOLDERS else len(FOLDERS)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    items.sort(key=place)
    if found := named_by_bytes(item.nodeid for item in items):
        shown = "\n".join(found)
        raise pytest.UsageError(f"give these parameters ids, which hold bytes now:\n{shown}")


@pytest.fixture(scope="session")
def flow_set() -> FlowSet:
    """Ten flows of three signatures: 'DoS' is always right, 'Benign' errs once, 'Web' twice."""
    named = {name: PAPER.class_index(name) for name in PAPER.class_names}
    met = [
        (0, "DoS"),
        (0, "DoS"),
        (0, "DoS"),
        (1, "Benign"),
        (1, "Benign"),
        (1, "Benign"),
        (1, "DDoS"),
        (2, "Web"),
        (2, "Infiltration"),
        (2, "Infiltration"),
    ]
    predicted = np.array([named["DoS"], named["Benign"], named["Web"]], np.int8)
    return FlowSet(
        context=np.array([signature for signature, _ in met], np.int32),
        actual=np.array([named[name] for _, name in met], np.int8),
        contexts=Contexts.of_signatures(predicted),
        catalogue=PAPER,
    )


@pytest.fixture(scope="session")
def make_flows() -> MakeFlows:
    """Makes flows of given numbers per class, whose classes overlap so that trees err."""

    def make(counts: Mapping[str, int], seed: int = 0) -> Flows:
        rng = np.random.default_rng(seed)
        classes = [PAPER.class_index(name) for name in counts]
        actual = np.repeat(classes, list(counts.values())).astype(np.int8)
        features = rng.normal(actual[:, None], 4.0, (len(actual), len(FEATURES)))
        return Flows(
            features.astype(np.float32),
            actual,
            Provenance("synthetic", {"seed": seed}, rows_read=len(actual), synthetic=True),
            PAPER,
            SCHEMA,
        )

    return make


@pytest.fixture(scope="session")
def flows(make_flows: MakeFlows) -> Flows:
    """Three hundred overlapping flows of three classes."""
    return make_flows({"Benign": 200, "DoS": 70, "Web": 30})


@pytest.fixture(scope="session")
def scenario(flows: Flows, tmp_path_factory: pytest.TempPathFactory) -> Scenario:
    """A scenario on disk that tests only read."""
    return Scenario.prepare(flows, tmp_path_factory.mktemp("prepared") / "scenario", seed=0)


@pytest.fixture(scope="session")
def opinion_scenario(flows: Flows, tmp_path_factory: pytest.TempPathFactory) -> Scenario:
    """The same with a second opinion, so that flows are met in contexts."""
    folder = tmp_path_factory.mktemp("prepared") / "scenario"
    return Scenario.prepare(flows, folder, seed=0, opinion="boosted")


@dataclass(frozen=True)
class ObjectStore:
    """A server that speaks S3's language; the environment points to it."""

    url: str

    def create(self, bucket: str) -> None:
        """Makes a bucket."""
        self._send(f"/{bucket}", "PUT", b"")

    def lock(self, *, locked: bool) -> None:
        """From now on checks credentials, of which it knows none, or lets everybody in."""
        self._send("/moto-api/reset-auth", "POST", b"0" if locked else b"inf")

    def _send(self, path: str, method: str, body: bytes) -> None:
        wire = HTTPConnection(self.url.removeprefix("http://"), timeout=30)
        wire.request(method, path, body)
        assert wire.getresponse().status == 200
        wire.close()


@pytest.fixture(scope="session")
def object_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ObjectStore]:
    """A server of moto's, and a cache of our own."""
    server = pytest.importorskip("moto.server").ThreadedMotoServer("127.0.0.1", 0, verbose=False)
    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    server.start()
    store = ObjectStore("http://{}:{}".format(*server.get_host_and_port()))
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("AWS_ENDPOINT_URL", store.url)
        patch.setenv("AWS_ACCESS_KEY_ID", "AKIATHEKEY")
        patch.setenv("AWS_SECRET_ACCESS_KEY", "the-secret")
        patch.setenv("KIRL_CACHE", str(tmp_path_factory.mktemp("cache")))
        yield store
    server.stop()


@pytest.fixture(scope="module")
def object_store(object_server: ObjectStore) -> ObjectStore:
    """The server with a bucket named kirl: tests that simulate AWS in this process empty it."""
    object_server.create("kirl")
    return object_server


@pytest.fixture(scope="session")
def ray_local() -> Iterator[ModuleType]:
    """One Ray of two processors on this machine, for all tests that need a real one."""
    ray = pytest.importorskip("ray")
    ray.init(
        address="local",
        num_cpus=2,
        num_gpus=0,
        include_dashboard=False,
        log_to_driver=False,
        configure_logging=False,
        object_store_memory=200 * 2**20,
    )
    yield ray
    ray.shutdown()
