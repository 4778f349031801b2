"""A function over many arguments in several processes, results in order."""

import multiprocessing
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from typing import Any, TypeVar

from edge_runtime.errors import InputError

_Result = TypeVar("_Result")


def map_in_order(
    function: Callable[..., _Result], jobs: int, *arguments: Sequence[Any]
) -> Iterator[_Result]:
    """Yield ``function(*row)`` for each row of the arguments; the first error ends it.

    Processes are new ones instead of forks: TensorFlow's and BLAS's threads do not survive a fork.

    Raises
    ------
    InputError
        A process was killed.
    """
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(min(jobs, len(arguments[0])), context) as pool:
        try:
            yield from pool.map(function, *arguments)
        except BrokenProcessPool:
            raise InputError(
                "a process of --jobs was killed, perhaps for want of memory; the same command "
                "goes on, with fewer --jobs"
            ) from None
        finally:
            pool.shutdown(wait=True, cancel_futures=True)
