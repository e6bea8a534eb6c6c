"""The suite for executors that `compdb.testing` ships: our own processes, threads, dask and loky pass it, sloppy ones do not."""

import warnings
from concurrent.futures import ThreadPoolExecutor

import pytest

from compdb.executors.processes import Processes
from compdb.testing.executors import ExecutorConformance


@pytest.fixture(scope="module")
def processes():
    """Return two processes of our own."""
    with Processes(2) as pool:
        yield pool


@pytest.fixture
def threads():
    """Return two threads."""
    with ThreadPoolExecutor(2) as pool:
        yield pool


@pytest.fixture(scope="module")
def dask():
    """Return the executor of a cluster of two processes on this machine."""
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
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield pytest.importorskip("loky").get_reusable_executor(max_workers=2, timeout=30)


class TestProcesses(ExecutorConformance):
    @pytest.fixture
    def executor(self, processes):
        return processes


class TestThreads(ExecutorConformance):
    elsewhere = False

    @pytest.fixture
    def executor(self, threads):
        return threads


class TestDask(ExecutorConformance):
    @pytest.fixture
    def executor(self, dask):
        return dask


class TestLoky(ExecutorConformance):
    survives = False

    @pytest.fixture
    def executor(self, loky):
        return loky


# ---------------------------------------------------------------- sloppy executors


class Twice(ThreadPoolExecutor):
    """It runs everything a second time, as one that loses an answer does, and believes the second answer."""

    def submit(self, fn, /, *args, **kwargs):
        super().submit(fn, *args, **kwargs).result()
        return super().submit(fn, *args, **kwargs)


@pytest.fixture
def suite(sqlite_url):
    """Return the suite on a database, to be run by hand."""
    suite = ExecutorConformance()
    with suite.inputs(sqlite_url):
        yield suite


def test_an_executor_that_does_everything_twice_fails_the_suite(suite):
    with Twice(2) as pool, pytest.raises(AssertionError):
        suite.test_it_does_what_one_process_does(pool)


def test_an_executor_of_threads_that_passes_for_processes_fails_the_suite(suite, threads):
    with pytest.raises(AssertionError):
        suite.test_makes_run_where_the_executor_is(threads)
