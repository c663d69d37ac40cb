"""Cases that are checked first and then timed in turn, round after round, so that a drift of the machine hits all alike."""
import dataclasses
import statistics
import time
import typing

import numpy as np


@dataclasses.dataclass
class Prepared:
    """An operation on memory of its own: `run` is all that is timed, `result` reads what the first run left."""
    run: typing.Callable[[], object]
    result: typing.Callable[[], np.ndarray] | None = None  # None: a limit, which computes nothing
    operations: int = 1  # held by one run
    keep: object = None  # whatever must live as long as `run`


@dataclasses.dataclass
class Case:
    name: str
    prepared: Prepared
    work: float  # of one operation: bytes, flops, or items
    error: float | None  # largest, against float64
    calls: int = 1
    seconds: list = dataclasses.field(default_factory=list)


class Group:
    """The cases of one question. `unit` is GB/s, GFLOP/s, or ns (an item). The first case is the limit."""

    def __init__(self, name, unit, rounds, threads, sample=2e-3):
        self.name, self.unit, self.rounds, self.threads, self.sample = name, unit, rounds, threads, sample
        self.cases, self.rows = [], []

    def add(self, name, work, prepare, reference=None, tolerance=0.0):
        """Prepares, runs once, compares. A peer that is missing, fails or differs is reported and not timed."""
        try:
            prepared = prepare()
            if prepared is None:
                return
            prepared.run()
            error = None
            if reference is not None:
                error = float(np.max(np.abs(np.asarray(prepared.result(), np.float64) - reference)))
                if not error <= tolerance:
                    raise ValueError(f"differs from the reference by {error:.2g}, expected at most {tolerance:.2g}")
            self.cases.append(Case(name, prepared, work, error))
        except Exception as wrong:  # a peer's failure is a result
            self.rows.append({"group": self.name, "name": name, "error": f"{type(wrong).__name__}: {wrong}"[:300]})
            print(f"  {self.name} / {name}: {self.rows[-1]['error']}", flush=True)

    def measure(self):
        """Times all cases; returns a row of figures for each."""
        for case in self.cases:
            start = time.perf_counter()
            case.prepared.run()
            case.calls = max(1, int(self.sample / max(time.perf_counter() - start, 1e-7)))
        for _ in range(self.rounds):
            for case in self.cases:
                self._time(case)
        limit = self._rates(self.cases[0])
        print(f"{self.name:54s} {self.unit:>9s}   limit          us spread  error")
        for case in self.cases:
            self.rows.append(self._row(case, limit))
            row = self.rows[-1]
            error = "" if case.error is None else f"{case.error:.0e}"
            print(f"  {case.name:52s} {row['best']:9.3f} {row['of_limit']:7.3f} {row['best_us']:11.2f} {row['spread']:6.2f}"
                  f"  {error}", flush=True)
        return self.rows

    def _time(self, case):
        run = case.prepared.run
        if self.threads > 1:
            time.sleep(0.02)  # the pool of the case before is still spinning on another core
        run()  # warms this case's data
        start = time.perf_counter()
        for _ in range(case.calls):
            run()
        case.seconds.append((time.perf_counter() - start) / case.calls / case.prepared.operations)

    def _rates(self, case):
        rate = (lambda s: s * 1e9 / case.work) if self.unit == "ns" else (lambda s: case.work / s / 1e9)
        return rate(min(case.seconds)), rate(statistics.median(case.seconds))

    def _row(self, case, limit):
        best, median = self._rates(case)
        ratio = (lambda a, b: b / a) if self.unit == "ns" else (lambda a, b: a / b)
        return {"group": self.name, "name": case.name, "unit": self.unit, "threads": self.threads, "best": best,
                "median": median, "of_limit": ratio(best, limit[0]), "of_limit_median": ratio(median, limit[1]),
                "best_us": min(case.seconds) * 1e6, "error": case.error,
                "spread": statistics.median(case.seconds) / min(case.seconds) - 1}


def aligned(array):
    """A copy that begins on a cache line."""
    raw = np.empty(array.nbytes + 64, np.uint8)
    offset = -raw.ctypes.data % 64
    copy = raw[offset:offset + array.nbytes].view(array.dtype).reshape(array.shape)
    copy[...] = array
    return copy
