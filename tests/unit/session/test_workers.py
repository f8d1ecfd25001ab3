"""As many guests at a time as the host can serve, and no more."""

from frame_harness.base.units import GIB
from frame_harness.session.workers import WORKER_BYTES, available_memory, usable_cpus, worker_count


def test_each_cpu_usually_has_one_guest() -> None:
    assert worker_count(None, 2, 16 * GIB) == (2, "")
    assert worker_count(None, 64, 64 * GIB) == (8, "")


def test_too_many_are_bounded_by_cpus_and_it_is_said() -> None:
    count, why = worker_count(1000, 2, 64 * GIB)
    assert count == 4 and why == "-n 1000: 4 guests at a time, as many as 2 CPUs can serve"


def test_too_many_are_bounded_by_memory_and_it_is_said() -> None:
    count, why = worker_count(16, 64, 3 * WORKER_BYTES)
    assert count == 3 and "768 MiB of memory" in why
    assert worker_count(None, 64, 0) == (1, ""), "one guest is always tried"


def test_what_the_host_can_serve_is_as_asked() -> None:
    assert worker_count(3, 2, 16 * GIB) == (3, "")


def test_host_is_measured() -> None:
    assert usable_cpus() >= 1 and available_memory() > 0
