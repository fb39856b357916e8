"""What workers saw: journals that tests/plugin/witness_plugin.cpp writes."""

import json

from instruments import seen


class Witness:
    def __init__(self, plugin, folder):
        self.plugin = plugin
        self.folder = folder
        folder.mkdir()

    def settings(self, **parameters):
        """Arguments for `Cluster.configure`."""
        return {"analysis": self.plugin, "parameters": {"directory": str(self.folder), **parameters}}

    def journals(self):
        """One per worker and scan: {event: {stream: what was seen}}, under the name of its file."""
        found = {}
        for file in sorted(self.folder.glob("*.jsonl")):
            lines = [json.loads(line) for line in file.read_text().splitlines()]
            numbers = [line["event"] for line in lines]
            assert numbers == sorted(set(numbers)), f"{file.name}: not in rising order, each once"
            found[file.stem] = {line["event"]: line["streams"] for line in lines}
        return found

    def of_process(self, pid):
        return {name: j for name, j in self.journals().items() if name.startswith(f"worker-{pid}-")}

    def forget(self):
        """Before another scan. Workers of the next one write files of their own."""
        for file in self.folder.glob("*.jsonl"):
            file.unlink()


def events_of(journals):
    """All that any worker saw: {event: {stream: what}}. Copies of one frame must be equal."""
    together = {}
    for journal in journals.values():
        for event, streams in journal.items():
            known = together.setdefault(event, {})
            for stream, what in streams.items():
                assert known.setdefault(stream, what) == what, f"event {event}: two kinds of {stream}"
    return together


def expected_events(instruments, rows):
    """What the events of a wrapped map must hold: {event: {stream: what}}.

    `rows` is {stream: slots}, without start and end; the frames are those that each instrument sent."""
    events = {}
    for instrument in instruments:
        messages = iter(instrument.sent)
        slots = [True, *rows[instrument.name], True]
        for event, slot in enumerate(slots):
            if slot is None:
                continue
            message = next(messages)
            if slot != []:
                events.setdefault(event, {})[instrument.name] = seen(message)
        assert next(messages, None) is None, f"{instrument.name} sent more than its map holds"
    return events


def one_each(frames, first=0):
    """Slots of a row with a constraint for every frame."""
    return [[{"constraint": first + i}] for i in range(frames)]
