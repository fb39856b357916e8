"""A source of events in place of a recording, as dranspose knows them."""

import itertools

import numpy as np
from dranspose.data.stream1 import Stream1Data, Stream1End, Stream1Start
from dranspose.event import InternalWorkerMessage, StreamData


class Source:
    def get_source_generators(self):
        return [self.images(), self.other()]

    def images(self):
        number = itertools.count()
        start = Stream1Start(htype="header", filename="", msg_number=next(number)).model_dump_json()
        yield InternalWorkerMessage(event_number=0, streams={"xrd": StreamData(typ="STINS", frames=[start])})
        for k in range(4):
            image = np.full((10, 10), k, np.float32)
            message = Stream1Data(
                msg_number=next(number),
                frame=k,
                shape=image.shape,
                compression="none",
                type=str(image.dtype),
                data=image,
            )
            yield InternalWorkerMessage(event_number=k + 1, streams={"xrd": message.to_stream_data()})
        yield InternalWorkerMessage(
            event_number=5, streams={"xrd": Stream1End(msg_number=next(number)).to_stream_data()}
        )

    def other(self):
        for k in range(6):
            if k != 2:
                yield InternalWorkerMessage(
                    event_number=k, streams={"other": StreamData(typ="x", frames=[b"1", b"2"])}
                )
