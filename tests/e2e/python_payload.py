"""Analysis code in Python that ends badly where it is told to, and is exact everywhere else."""

import ctypes
import json
import os
import signal
import sys
import time
from pathlib import Path

import dtranspose


def note_process(role):
    """Tells tests which process this is."""
    folder = Path("processes")
    folder.mkdir(exist_ok=True)
    (folder / f"{role}-{os.getpid()}").touch()


def hog():
    taken = []
    while True:
        taken.append(b"x" * (1 << 24))
        time.sleep(0.005)


def loop():
    while True:
        pass


def flood():
    for k in range(200_000):
        print("so much to say", k)
        print("and to complain of", k, file=sys.stderr)


def misbehave(how, event):
    if how == "raise":
        raise ValueError("this is no good")
    if how == "write":
        event.image()[0, 0] = 1
    if how == "flood":
        flood()
    if how == "exit":
        os._exit(5)
    if how == "leave":
        raise SystemExit(6)
    if how == "segv":
        ctypes.string_at(0)
    if how == "kill":
        os.kill(os.getpid(), signal.SIGKILL)
    if how == "loop":
        loop()
    if how == "hog":
        hog()


PARAMETERS = [
    dtranspose.StrParameter("how", "", "in what way it ends badly"),
    dtranspose.IntParameter("at", 7, "the event at which it does"),
    dtranspose.BoolParameter("once", False, "only the first time"),
]


def misbehave_where_told(event, parameters):
    if event.number != parameters["at"]:
        return
    if parameters["once"]:
        try:
            Path("done").mkdir()
        except FileExistsError:
            return
    misbehave(parameters["how"], event)


class Worker(dtranspose.Worker):
    """The sum of each image."""

    @classmethod
    def describe_parameters(cls):
        return PARAMETERS

    @classmethod
    def describe_results(cls, parameters):
        if parameters["at"] < 0:
            raise ValueError("parameter 'at' is to be 0 or more")
        return [dtranspose.ResultDescription("sum", "uint64", unit="counts")]

    def __init__(self, scan, parameters, context):
        super().__init__(scan, parameters, context)
        self.seen = set()
        note_process("worker")

    def process_event(self, event, parameters, tick):
        if event.number in self.seen:
            raise RuntimeError("it comes again to the same state")
        self.seen.add(event.number)
        misbehave_where_told(event, parameters)
        image = event.image()
        return None if image is None else {"sum": int(image.sum())}


class Batches(Worker):
    """The same, all at once."""

    def process_events(self, events, parameters, tick):
        for event in events:
            misbehave_where_told(event, parameters)
        images = [event.image() for event in events]
        return [None if i is None else {"sum": int(i.sum())} for i in images]


class Pickles(Worker):
    """The same, as something that no value can say."""

    def process_event(self, event, parameters, tick):
        result = super().process_event(event, parameters, tick)
        return result and {"sum": result["sum"], "more": {1, 2, 3}}


class Deferring(Worker):
    """The sum over all, in its own state."""

    def __init__(self, scan, parameters, context):
        super().__init__(scan, parameters, context)
        self.events, self.sum = 0, 0

    def process_event(self, event, parameters, tick):
        result = super().process_event(event, parameters, tick)
        if result is None:
            return None
        self.events += 1
        self.sum += result["sum"]
        return dtranspose.DEFERRED

    def flush(self):
        result = {"sum": self.sum, "events": self.events}
        self.events, self.sum = 0, 0
        return result


class Reducer(dtranspose.Reducer):
    """How often each event was folded, and the sum over all."""

    @classmethod
    def describe_parameters(cls):
        return [
            dtranspose.StrParameter("reducer_how", "", "in what way it ends badly"),
            dtranspose.IntParameter("reducer_at", 3, "the event at which it does"),
        ]

    def __init__(self, scan, parameters, context):
        super().__init__(scan, parameters, context)
        self.folds = dtranspose.GrowingArray()
        self.total = self.covered = 0
        note_process("reducer")

    def process_result(self, result, parameters):
        if result.event_number == parameters["reducer_at"]:
            misbehave(parameters["reducer_how"], None)
        self.folds.add(result.event_number, 1)
        self.total += result.content["sum"]
        self.covered += result.events
        self.publish = {
            "folds": self.folds.copy(),
            "total": self.total,
            "covered": self.covered,
            "pickled": int("more" in result.content),
        }


class Remembering(Worker):
    """Cannot map an image unless it has seen the start of the series; tells of its ticks."""

    tick_interval = 0.2

    def __init__(self, scan, parameters, context):
        super().__init__(scan, parameters, context)
        self.begun = False

    def process_event(self, event, parameters, tick):
        image = event.image()
        if image is None:
            self.begun = True
        elif not self.begun:
            raise RuntimeError("what is this an image of?")
        result = super().process_event(event, parameters, tick)
        return result and {**result, "tick": tick}


class AfterRoi(dtranspose.Worker):
    """What `roi` found, which stands before it."""

    @classmethod
    def describe_results(cls, parameters):
        return [dtranspose.ResultDescription("seen")]

    def process_event(self, event, parameters, tick):
        found = event.get("roi")
        return None if found is None else {"seen": json.loads(bytes(found.frames[0]))["mean"]}


class Factor(dtranspose.Worker):
    """A parameter, for each event."""

    @classmethod
    def describe_parameters(cls):
        return [dtranspose.IntParameter("factor", 1)]

    @classmethod
    def describe_results(cls, parameters):
        return [dtranspose.ResultDescription("sum", "uint64")]

    def process_event(self, event, parameters, tick):
        return None if event.image() is None else {"sum": parameters["factor"]}


class Ticks(dtranspose.Reducer):
    """How many ticks there were, and with which parameter results were made."""

    def __init__(self, scan, parameters, context):
        super().__init__(scan, parameters, context)
        self.publish = {"ticks": 0, "wrong": 0, "workers": 0}
        self.workers = set()

    def process_result(self, result, parameters):
        self.publish["ticks"] += bool(result.content.get("tick"))
        if "factor" in parameters:
            self.publish["wrong"] += parameters["factor"] != result.content["sum"]
        self.workers.add(result.worker)
        self.publish["workers"] = len(self.workers)


def raising(base, method):
    """A class that raises in one of its methods."""

    def fail(self, *_):
        raise ValueError(f"{method} is no good")

    return type(f"{base.__name__}{method.strip('_').title()}", (base,), {method: fail, "__module__": __name__})


WorkerInit = raising(Worker, "__init__")
ReducerInit = raising(Reducer, "__init__")
DeferringFlush = raising(Deferring, "flush")
WorkerFinish = raising(Worker, "finish")
ReducerFinish = raising(Reducer, "finish")
ReducerTimer = raising(Reducer, "timer")
