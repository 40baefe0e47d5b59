"""The benchmark of the step: it refuses what would be unfair to time, times what it says, and says what it found."""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
import timeit
from dataclasses import replace
from importlib import resources
from pathlib import Path

import jsonschema
import numpy as np
import pytest
import threadpoolctl

from handgrad import UsageError, backends
from handgrad.backend import Parameters
from handgrad.benchmarks import bench, machine, paired, trust
from handgrad.benchmarks.arms import Work, load, names
from handgrad.benchmarks.worker import ArmError, Worker, _Served
from handgrad.commands import run

SCHEMA = json.loads((resources.files("handgrad.benchmarks") / "schema.json").read_text())


def settings(**changes):
    options = dict(arms=("numpy",), features=(512,), examples=(64,), rounds=5, threads=1) | changes
    return bench.Settings(**options)


def work(n=300, m=50, **changes):
    rng = np.random.default_rng(0)
    X = rng.integers(0, 256, (m, n), np.uint8).T
    start = Parameters.random(n)
    options = dict(loss="cross_entropy", input_scale=1 / 255, dtype="float32", device="cpu") | changes
    return Work(X, rng.integers(0, 2, (1, m)).astype(np.uint8), start.W, np.asarray(0.25), **options)


def placed(arm, given):
    worker = Worker(arm, 1)
    try:
        return worker.place(given)
    finally:
        worker.close()


EVERY = [(name, loss) for name in names() for loss in ("cross_entropy", "squared_error")]
EVERY.remove(("torch_compiled", "squared_error"))  # which compiles for seconds what torch_eager computes


@pytest.mark.parametrize(("name", "loss"), EVERY)
def test_every_arm_does_the_work(name, loss):
    given = work(loss=loss)
    if name == "torch_compiled" and not shutil.which("g++"):
        pytest.skip("torch.compile needs a C++ compiler")
    if name == "sklearn" and loss == "squared_error":
        with pytest.raises(ArmError, match="no neuron with loss"):
            placed(name, given)
        return
    dtype = load(name).dtype or given.dtype
    assert bench.refusal(placed(name, given), bench.reference(given, dtype), given, dtype) is None


HEAD = "import numpy as np\nimport time\nfrom handgrad.benchmarks.arms import article, backend as ours, jax_plain\n\n\n"
FAULTY = {
    "a planted fault": (
        "class Arm(ours.Arm):\n    def step(self):\n        J, dW, db = super().step()\n        dW = dW.copy()\n"
        "        dW[0, 3] *= 1.01\n        return J, dW, db\n",
        "dW is wrong",
    ),
    "a cost without the mean": (
        "class Arm(ours.Arm):\n    def step(self):\n        J, dW, db = super().step()\n"
        "        return J * np.float32(2), dW, db\n",
        "J is wrong",
    ),
    "float64 that says so": (
        "class Arm(article.Arm):\n    dtype = None\n",
        "J is float64; expected float32",
    ),
    "float64 posing as float32": (
        "class Arm(article.Arm):\n    dtype = None\n    def step(self):\n"
        "        return tuple(np.float32(V) for V in super().step())\n",
        "held as float64",
    ),
    "float64 hidden": (
        "class Arm(article.Arm):\n    dtype = None\n    def place(self, work):\n        super().place(work)\n"
        "        self.hidden = {'X': self.X}\n        del self.X\n"
        "    def step(self):\n        self.X = self.hidden['X']\n"
        "        found = tuple(np.float32(V) for V in super().step())\n        del self.X\n        return found\n",
        "computes in float64",
    ),
    "bfloat16 products": (
        "class Arm(ours.Arm):\n    def place(self, work):\n        super().place(work)\n"
        "        self.X = (self.X.view(np.uint32) & np.uint32(0xFFFF0000)).view(np.float32)\n"
        "        self.parameters = self.parameters._replace(\n"
        "            W=(self.parameters.W.view(np.uint32) & np.uint32(0xFFFF0000)).view(np.float32))\n"
        "        self.examples = self.neuron.place(self.X, self.Y, block=0)\n",
        "is wrong",
    ),
    "one that does not synchronise": (
        "class Late:\n    dtype = np.dtype('float32')\n    def __init__(self, value):\n        self.value = value\n"
        "        self.shape = np.shape(value)\n    def __array__(self, dtype=None, copy=None):\n"
        "        time.sleep(0.02 if self.value is not None and not getattr(self, 'came', False) else 0)\n"
        "        self.came = True\n        return np.asarray(self.value)\n\n\n"
        "class Arm(ours.Arm):\n    def step(self):\n        return tuple(Late(V) for V in super().step())\n"
        "    def wait(self, result):\n        pass\n",
        "does not synchronise",
    ),
}


def test_a_faulty_arm_is_refused_with_a_reason(tmp_path):
    files = [tmp_path / f"{fault.replace(' ', '_')}.py" for fault in FAULTY]
    for file, (source, _) in zip(files, FAULTY.values(), strict=True):
        file.write_text(HEAD + source)
    result = bench.run(settings(arms=("numpy", *map(str, files)), features=(256,)))
    right, *wrong = result["sizes"][0]["arms"]
    assert right["refused"] is None
    assert len(right["rounds"]) == 5
    for arm, (_, reason) in zip(wrong, FAULTY.values(), strict=True):
        assert reason in arm["refused"], arm["arm"]
        assert "rounds" not in arm
    jsonschema.validate(result, SCHEMA)


def test_jax_without_its_wait_is_refused_and_with_it_is_not(tmp_path):
    (tmp_path / "hasty.py").write_text(HEAD + "class Arm(jax_plain.Arm):\n    def wait(self, result):\n        pass\n")
    given = work(n=4096, m=8192)
    expected = bench.reference(given, "float32")
    assert "does not synchronise" in bench.refusal(
        placed(str(tmp_path / "hasty.py"), given), expected, given, "float32"
    )
    assert bench.refusal(placed("jax_plain", given), expected, given, "float32") is None


def test_an_arm_on_the_wrong_device_is_refused():
    given = work(device="cpu")
    found = placed("numpy", given)
    asked = work(device="cuda")
    assert bench.refusal(found, bench.reference(given, "float32"), asked, "float32") == "dW is on cpu; expected cuda"


def test_an_arm_that_dies_or_raises_is_refused(tmp_path):
    (tmp_path / "dies.py").write_text(
        HEAD + "import os\nclass Arm(ours.Arm):\n    def step(self):\n        os._exit(3)\n"
    )
    (tmp_path / "raises.py").write_text(HEAD + "class Arm(ours.Arm):\n    def step(self):\n        return 1 / 0\n")
    result = bench.run(settings(arms=(str(tmp_path / "dies.py"), str(tmp_path / "raises.py"))))
    dies, raises = result["sizes"][0]["arms"]
    assert "died (exit code 3)" in dies["refused"]
    assert "ZeroDivisionError" in raises["refused"]


def test_threads_are_those_asked_for():
    found = placed("torch", work())
    assert found.settings["pools"]["torch"] == 1
    assert found.settings["cores"] == 1
    assert found.settings["matmul_precision"] == "highest"


def state(pid):
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except FileNotFoundError:
        return "gone"


@pytest.mark.skipif(sys.platform != "linux", reason="looks into /proc")
def test_a_worker_that_is_not_asked_is_stopped_and_takes_no_core():
    worker = Worker("numpy", 1)
    try:
        for _ in range(2):
            worker.place(work())
            deadline = time.monotonic() + 5
            while state(worker.process.pid) != "T" and time.monotonic() < deadline:
                time.sleep(0.01)
            assert state(worker.process.pid) == "T"
            assert len(worker.time(3)) == 3
    finally:
        worker.close()
    assert state(worker.process.pid) == "gone"


KILLED = """
import os, signal
from handgrad.benchmarks.worker import Worker

if __name__ == "__main__":
    worker = Worker("numpy", 1)
    worker._ask("read_bandwidth", "cpu")
    print(worker.process.pid, flush=True)
    os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="looks into /proc")
def test_a_stopped_worker_goes_when_nobody_is_left_to_ask_it(tmp_path):
    (tmp_path / "killed.py").write_text(KILLED)
    died = subprocess.run([sys.executable, tmp_path / "killed.py"], capture_output=True, text=True, timeout=60)
    pid = int(died.stdout)
    deadline = time.monotonic() + 10
    while state(pid) not in ("gone", "Z") and time.monotonic() < deadline:
        time.sleep(0.05)
    assert state(pid) in ("gone", "Z")


def test_the_time_is_that_of_the_step():
    """Against a plain `timeit` of the same step; both are noisy, so as a ratio of interleaved medians."""
    given = work(n=4096, m=512)
    neuron = backends.load("numpy")(input_scale=1 / 255)
    parameters = Parameters(neuron.put(given.W), neuron.put(given.b))
    X, Y = neuron.put(given.X), neuron.put(given.Y)
    plain, reported = [], []
    worker = Worker("numpy", 1)
    try:
        worker.place(given)
        with threadpoolctl.threadpool_limits(1):
            for _ in range(15):
                neuron.sums(parameters, X, Y)
                plain.append(np.median(timeit.repeat(lambda: neuron.sums(parameters, X, Y), number=1, repeat=10)))
                reported.append(np.median(worker.time(10)))
    finally:
        worker.close()
    assert 0.5 < np.median(np.array(reported) / plain) < 2


def test_verdicts_on_times_that_are_known():
    rng = np.random.default_rng(0)
    counts = {"same": 0, "slower": 0, "faster": 0}
    for _ in range(100):
        drift = np.exp(rng.normal(0, 0.3, 20))  # of the machine, common to both
        one, other = (drift * np.exp(rng.normal(0, 0.02, 20)) for _ in range(2))
        counts["same"] += paired.verdict(paired.ratio(one, other)) == "same"
        counts["slower"] += paired.verdict(paired.ratio(1.1 * one, other)) == "slower"
        counts["faster"] += paired.verdict(paired.ratio(one, 1.1 * other)) == "faster"
    assert counts["same"] >= 95
    assert counts["slower"] >= 90
    assert counts["faster"] >= 90
    noisy = np.exp(rng.normal(0, 0.5, (2, 6)))
    assert paired.verdict(paired.ratio(*noisy)) == "can't tell"


def test_the_exponent_of_times_that_are_known():
    sizes = np.array([1000, 5000, 20000])
    rng = np.random.default_rng(0)
    found = paired.exponent(sizes, [1e-6 * m**0.9 * np.exp(rng.normal(0, 0.05, 20)) for m in sizes])
    assert found.low < 0.9 < found.high
    assert found.high - found.low < 0.1


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    """A result and its page, as the command writes them."""
    folder = tmp_path_factory.mktemp("bench")
    command = [sys.executable, "-m", "handgrad", "bench", "--backends", "numpy,article", "--features", "256"]
    command += ["--examples", "50,100,200", "--rounds", "5", "--json", "b.json", "--html", "b.html"]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert not done.stderr
    return folder, done.stdout


def test_the_command_writes_table_json_and_page(written):
    folder, table = written
    result = json.loads((folder / "b.json").read_text())
    jsonschema.validate(result, SCHEMA)
    assert result["finished"]
    assert [len(row["rounds"]) for size in result["sizes"] for row in size["arms"]] == [5] * 6
    assert all(row["peak_bytes"] > 0 for size in result["sizes"] for row in size["arms"])
    assert {row["arm"] for row in result["scaling"]} == {"numpy", "article"}
    assert re.search(r"article \(float64\) +256 +200", table)
    assert "fastest" in table
    assert "(L" in table  # what fits a cache is labelled
    page = (folder / "b.html").read_text()
    assert page.count('<svg role="img"') == 3
    assert not re.search(r"(src|href)=.(https?:|//)", page)


def test_a_file_that_exists_is_not_written_over(written, tmp_path, capsys):
    folder, _ = written
    before = (folder / "b.json").read_text()
    assert run(["bench", "--json", str(folder / "b.json")]) == 2
    assert "exists already" in capsys.readouterr().err
    assert (folder / "b.json").read_text() == before


def test_two_results_are_compared(written, tmp_path, capsys):
    folder, _ = written
    old = json.loads((folder / "b.json").read_text())
    for size in old["sizes"]:
        for row in size["arms"]:
            row["rounds"] = [[1.0 + 0.001 * i] for i in range(20)]
    new = json.loads(json.dumps(old))
    new["sizes"][0]["arms"][0]["rounds"] = [[1.5 + 0.001 * i] for i in range(20)]
    for name, result in ("old", old), ("new", new):
        (tmp_path / f"{name}.json").write_text(json.dumps(result))
    paths = [str(tmp_path / "old.json"), str(tmp_path / "new.json")]
    assert run(["bench", "--compare", *paths]) == 1
    assert re.search(r"numpy +256 +50 +1\.49\d .*slower", capsys.readouterr().out)
    assert run(["bench", "--compare", *paths, "--fail-above", "2"]) == 0
    assert run(["bench", "--compare", *paths[::-1]]) == 0
    assert run(["bench", "--compare", paths[0], str(folder / "b.html")]) == 3
    refused = new["sizes"][0]["arms"][0]
    refused["refused"] = "dW is wrong"
    del refused["rounds"]
    (tmp_path / "new.json").write_text(json.dumps(new))
    capsys.readouterr()
    run(["bench", "--compare", *paths])
    assert "in the new result: numpy at m = 50: refused: dW is wrong" in capsys.readouterr().err


@pytest.mark.parametrize("after", [0.3, 3.0])
def test_an_interrupt_leaves_whole_json_of_the_finished_rounds(after, tmp_path):
    path = tmp_path / "b.json"
    command = [sys.executable, "-m", "handgrad", "bench", "--backends", "numpy,article", "--features", "2000"]
    command += ["--examples", "1000", "--rounds", "100000", "--json", str(path)]
    process = subprocess.Popen(
        command, start_new_session=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    )  # fmt: skip
    if after > 1:
        begin = time.monotonic()
        while not path.exists() and time.monotonic() - begin < 60:
            time.sleep(0.05)
    time.sleep(after)
    os.killpg(process.pid, signal.SIGINT)
    _, errors = process.communicate(timeout=60)
    if after > 1:
        assert process.returncode == 130
        assert "Traceback" not in errors
    if path.exists():
        result = json.loads(path.read_text())
        jsonschema.validate(result, SCHEMA)
        assert not result["finished"]
        assert len({len(row["rounds"]) for size in result["sizes"] for row in size["arms"]}) <= 1
    assert sorted(p.name for p in tmp_path.iterdir()) in ([], ["b.json"])


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--backends", "nope"], "unknown arm 'nope'"),
        (["--features", "0"], "features is '0'"),
        (["--examples", "a"], "examples is 'a'"),
        (["--threads", "100000"], "threads is 100000"),
        (["--device", "cuda", "--backends", "numpy"], "cuda"),
    ],
)
def test_misuse_is_one_line(arguments, said, capsys):
    assert run(["bench", *arguments]) == 2
    errors = capsys.readouterr().err
    assert said in errors
    assert errors.count("\n") == 1


MINE = """
import numpy as np
from handgrad.benchmarks import arms


class Arm(arms.Arm):
    def place(self, work):
        f = np.dtype(work.dtype).type
        self.X, self.Y = work.X.astype(f) * f(work.input_scale), work.Y.astype(f)
        self.W, self.b = work.W.astype(f), work.b.astype(f)

    def step(self):
        Z = self.W @ self.X + self.b
        dZ = (1 / (1 + np.exp(-Z)) - self.Y) / np.float32(Z.shape[1])
        return np.mean(np.logaddexp(np.float32(0), Z) - self.Y * Z), dZ @ self.X.T, dZ.sum()

    def wait(self, result):
        pass
"""


def test_an_arm_of_ones_own_needs_three_methods(tmp_path):
    (tmp_path / "mine.py").write_text(MINE)
    result = bench.run(settings(arms=(str(tmp_path / "mine.py"),)))
    assert result["sizes"][0]["arms"][0]["refused"] is None


def test_a_file_that_is_no_arm_is_a_usage_error(tmp_path):
    (tmp_path / "other.py").write_text("1 / 0")
    with pytest.raises(UsageError, match="ZeroDivisionError: division by zero; expected a file that runs"):
        load(str(tmp_path / "other.py"))
    (tmp_path / "neither.py").write_text("x = 1")
    with pytest.raises(UsageError, match="has neither Arm nor Neuron; expected a class Arm, or Neuron"):
        load(str(tmp_path / "neither.py"))


def test_bandwidth_is_that_of_memory():
    found = machine.read_bandwidth("cpu", 2**26)
    assert len(found) == 3
    assert all(1e8 < value < 1e13 for value in found.values())


def test_the_trial_of_trust_sees_twice_the_work():
    once, _ = trust.works(2000, 400, 0)
    twice = replace(once, X=np.concatenate([once.X.T] * 2).T, Y=np.tile(once.Y, 2))
    assert trust.trial("numpy", (once, twice), 15, 1, 0).median > 1.3
    more = trust.works(2000, 400, 0)[1]
    assert more.X.shape == (2000, 440)
    assert np.array_equal(more.X[:, 400:], once.X[:, :40])


@pytest.mark.parametrize("name", [name for name in names() if name != "torch_compiled"])
def test_what_a_worker_measures_of_an_arm(name, tmp_path):
    """In this process: what its own process does between two messages."""
    given = work(n=200, m=40)
    np.save(tmp_path / "X.npy", given.X.T)
    served = _Served(name)
    placed = served.place(given, tmp_path / "X.npy")
    for mine, exact in zip(placed.result, bench.reference(given, "float64").result, strict=True):
        np.testing.assert_allclose(mine, exact, rtol=1e-4, atol=1e-5)
    assert {result[1] for result in placed.results} == {"cpu"}
    assert placed.settings["cores"] == machine.cores()
    seconds = served.time(4)
    assert len(seconds) == 4
    assert all(second > 0 for second in seconds)
    assert served.peak() >= 0
    assert min(served.read_bandwidth("cpu").values()) > 1e8
