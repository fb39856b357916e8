"""Its reducer: a file, a published tree with attributes, a timer."""

import os
import threading

import h5py
import numpy as np
from dranspose.event import ResultData
from dranspose.helpers import h5dump
from dranspose.parameters import StrParameter

from .tutorial_worker import Begin, Reading


class RoiReducer:
    def __init__(self, *args, parameters=None, context=None, **kwargs):
        self.publish_rlock = threading.RLock()
        self.publish = {
            "means": np.full(0, np.nan),
            "_attrs": {"default": "means"},
            "means_attrs": {"units": "counts"},
        }
        self.file = None
        self.timer_calls = 0
        self.order = []

    @staticmethod
    def describe_parameters():
        return [StrParameter(name="folder", default="output")]

    def process_result(self, result: ResultData, parameters=None):
        self.order.append((result.event_number, result.worker, result.parameters_hash))
        if isinstance(result.payload, Begin):
            if self.file is None:
                name, end = os.path.splitext(os.path.basename(result.payload.filename))
                os.makedirs(parameters["folder"].value, exist_ok=True)
                self.path = os.path.join(parameters["folder"].value, f"{name}_processed{end}")
                self.file = h5py.File(self.path, "w")
                self.means = self.file.create_dataset("reduced", (0,), maxshape=(None,), dtype=np.float64)
                self.file.create_dataset("till_row", data=parameters["till_row"].value)
        elif isinstance(result.payload, Reading):
            with self.publish_rlock:
                self.means.resize(max(1 + result.event_number, len(self.means)), axis=0)
                self.means[result.event_number] = result.payload.mean
                self.publish["means"] = self.means[:]

    def timer(self, parameters=None):
        self.timer_calls += 1
        return 0.001

    def finish(self, parameters=None):
        if self.file is not None:
            self.file.close()
        h5dump.dump(self.publish, self.path + ".tree.h5", self.publish_rlock)
