"""A payload of two streams as people have written them for dranspose: positions and spectra make a map."""

import numpy as np
from dranspose.data.contrast import ContrastRunning, ContrastStarted
from dranspose.data.xspress3 import XspressImage
from dranspose.middlewares import contrast, xspress
from dranspose.parameters import StrParameter


class FluorescenceWorker:
    def __init__(self, parameters=None, context=None, **kwargs):
        self.number = 0

    @staticmethod
    def describe_parameters():
        return [StrParameter(name="window", default="0:20")]

    def process_event(self, event, parameters=None, *args, **kwargs):
        if {"contrast", "xspress3"} - set(event.streams):
            return None
        point = contrast.parse(event.streams["contrast"])
        spectrum = xspress.parse(event.streams["xspress3"])
        if isinstance(point, ContrastStarted):
            return {"description": point.description, "snapshot": len(point.snapshot)}
        if not isinstance(point, ContrastRunning) or not isinstance(spectrum, XspressImage):
            return None
        first, last = (int(x) for x in parameters["window"].value.split(":"))
        live = spectrum.meta["dtc"] * spectrum.exptime
        counts = (spectrum.data[:, first:last].sum(axis=1) * live).sum()
        return {
            "position": (point.pseudo["x"][0], point.pseudo["y"][0]),
            "counts": counts,
            "frame": spectrum.frame,
        }


class FluorescenceReducer:
    def __init__(self, **kwargs):
        self.publish = {"map": {}, "points": {"x": [], "y": [], "counts": []}}

    def process_result(self, result, parameters=None):
        if "description" in result.payload:
            self.publish["title"] = result.payload["description"]
            return
        self.publish["map"][result.payload["position"]] = result.payload["counts"]
        for name, value in zip(("x", "y"), result.payload["position"]):
            self.publish["points"][name].append(value)
        self.publish["points"]["counts"].append(result.payload["counts"])
        self.publish["total"] = np.sum(self.publish["points"]["counts"])
