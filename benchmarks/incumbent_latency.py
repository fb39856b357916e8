"""What `latency_plugin.cpp` does, for the incumbent: the worker gives the sender's stamp as its result, the reducer
notes how long it took until then, and the end of the scan writes the times, in ns, one a line."""

import json
import os
import time


class LatencyWorker:
    def __init__(self, *arguments, **settings):
        pass

    def process_event(self, event, *arguments, **settings):
        header = json.loads(bytes(next(iter(event.streams.values())).frames[0].bytes))
        return {"sent_ns": header["sent_ns"]} if "sent_ns" in header else None


class LatencyReducer:
    def __init__(self, *arguments, **settings):
        self.times = []

    def process_result(self, result, *arguments, **settings):
        if result.payload:
            self.times.append(time.time_ns() - result.payload["sent_ns"])

    def finish(self, *arguments, **settings):
        part = os.environ["LATENCY_FILE"] + ".part"
        with open(part, "w", encoding="utf-8") as file:
            file.writelines(f"{t}\n" for t in self.times)
        os.rename(part, os.environ["LATENCY_FILE"])
