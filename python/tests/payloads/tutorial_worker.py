"""A payload as people have written them for dranspose: dataclasses, parameters, ticks."""

import logging
from dataclasses import dataclass

import numpy as np
from dranspose.data.stream1 import Stream1Data, Stream1End, Stream1Start
from dranspose.event import EventData
from dranspose.middlewares.stream1 import parse as parse_stins
from dranspose.parameters import BoolParameter, IntParameter, StrParameter
from dranspose.protocol import ParameterName

logger = logging.getLogger(__name__)


@dataclass
class Begin:
    filename: str


@dataclass
class Reading:
    mean: float
    corner: tuple
    tick: bool


class RoiWorker:
    def __init__(self, *args, **kwargs):
        self.context = kwargs["context"]
        self.name = kwargs["state"].name
        self.context["made"] = self.context.get("made", 0) + 1

    @staticmethod
    def describe_parameters():
        return [
            IntParameter(name=ParameterName("till_row"), default=2),
            IntParameter(name="from_column", default=8, description="first column of the region"),
            StrParameter(name="stream", default="xrd"),
            BoolParameter(name="careful"),
        ]

    def get_tick_interval(self, parameters=None):
        return 0.0

    def process_event(self, event: EventData, parameters=None, tick=False):
        logger.debug("event %s", event)
        stream = parameters["stream"].value
        if stream not in event.streams:
            return None
        message = parse_stins(event.streams[stream])
        if isinstance(message, Stream1Start):
            return Begin(message.filename)
        if isinstance(message, Stream1End):
            return None
        assert isinstance(message, Stream1Data)
        region = message.data[: parameters["till_row"].value, parameters["from_column"].value :]
        return Reading(np.mean(region), (int(region[0, 0]), region.shape), tick)

    def finish(self, parameters=None):
        self.context["finished"] = parameters["till_row"].value

    def close(self, custom_context):
        custom_context["closed"] = True
