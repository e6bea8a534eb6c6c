"""Makes on executors of others: dask with a cluster of processes on this machine, and loky. The same rows, the same errors, nothing half."""

from __future__ import annotations

import importlib
import os
import warnings

import pytest

from .test_parallel import MODULE

N = 12


@pytest.fixture(scope="module")
def dask():
    """Return the executor of a cluster of two processes."""
    distributed = pytest.importorskip("distributed")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        cluster = distributed.LocalCluster(
            n_workers=2, threads_per_worker=1, dashboard_address=None, silence_logs="CRITICAL"
        )
        with cluster, distributed.Client(cluster) as client:
            yield client.get_executor()


@pytest.fixture
def loky():
    """Return an executor of two processes, which loky keeps from one test to the next unless it is broken."""
    return pytest.importorskip("loky").get_reusable_executor(max_workers=2, timeout=30)


@pytest.fixture(params=["dask", "loky"])
def executor(request):
    """Return each of them."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield request.getfixturevalue(request.param)


@pytest.fixture
def module(tmp_path, monkeypatch, url):
    """Return a module with a pipeline, activated on the database."""
    name = f"elsewhere_{abs(hash(str(tmp_path)))}"
    (tmp_path / f"{name}.py").write_text(MODULE)
    monkeypatch.syspath_prepend(str(tmp_path))
    module = importlib.import_module(name)
    module.Lab.activate(url)
    module.Src.insert({"k": i, "x": i / 2} for i in range(N))
    return module


def test_an_executor_does_what_one_process_does(module, executor):
    assert module.Res.populate(executor=executor) == {"success_count": N, "error_list": []}
    rows = module.Res.to_dicts(order_by="KEY")
    assert [row["y"] for row in rows] == [float(i) for i in range(N)]
    assert os.getpid() not in {row["worker"] for row in rows}
    assert len(module.Res.P) == 2 * N
    assert len(module.Lab.runs) == N


def test_reserved_keys_go_to_an_executor(module, executor):
    assert module.Res.populate(executor=executor, reserve_jobs=True) == {"success_count": N, "error_list": []}
    assert len(module.Res.P) == 2 * N
    assert len(module.Res.jobs) == 0


def test_an_error_on_an_executor_comes_back_with_its_place(module, executor):
    result = module.Res.populate(
        executor=executor, make_kwargs={"bad": 5}, suppress_errors=True, return_exception_objects=True
    )
    ((key, error),) = result["error_list"]
    assert key == {"k": 5}
    assert isinstance(error, ValueError)
    assert any("in make" in note for note in error.__notes__)
    assert result["success_count"] == len(module.Res) == N - 1
    with pytest.raises(ValueError, match="bad 5"):
        module.Res.populate(executor=executor, make_kwargs={"bad": 5})


def test_a_worker_of_an_executor_that_is_killed_keeps_nothing_half(module, executor):
    """dask tries the batch on its other workers, then gives it up; loky breaks, which ends the run. What is there is whole."""
    result = module.Deadly.populate(executor=executor, suppress_errors=True)
    lost = {key["k"]: error for key, error in result["error_list"]}
    there = {row["k"] for row in module.Deadly}
    assert 3 in lost
    assert 3 not in there
    assert type(executor).__name__ != "ClientExecutor" or lost.keys() | there == set(range(N))
    assert "KilledWorker" in lost[3] or "the executor broke while Deadly was made for {'k': 3}" in lost[3]
    assert module.Deadly.populate("k <> 3")["error_list"] == []
    assert len(module.Deadly) == N - 1
