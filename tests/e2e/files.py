"""Files of the product, read without the product."""

import io

import cbor2
import h5py
import numpy as np


def events_of_dump(path):
    """A dump of an ingester: [(event, {stream: (type, parts)})]."""
    content = io.BytesIO(path.read_bytes())
    events = []
    while content.tell() < content.getbuffer().nbytes:
        item = cbor2.load(content)
        if item.tag == 55799:
            item = item.value
        assert item.tag == 42877
        number, streams = item.value[:2]
        assert all(s.tag == 42878 for s in streams.values())
        events.append((number, {name: tuple(s.value) for name, s in streams.items()}))
    return events


def write_dump(path, events):
    """A dump of an ingester out of [(event, {stream: (type, parts)}, seconds since 1970 or None)]."""
    with open(path, "wb") as file:
        for number, streams, time in events:
            tagged = {name: cbor2.CBORTag(42878, list(content)) for name, content in streams.items()}
            item = [number, tagged]
            if time is not None:
                item.append(cbor2.CBORTag(1, float(time)))
            cbor2.dump(cbor2.CBORTag(55799, cbor2.CBORTag(42877, item)), file)
    return path


# What a file of results says of its own scan: another one of the same data says something else.
OF_ONE_SCAN = ("start_time", "end_time", "entry_identifier", "process", "ledger", "trigger_map", "instrument")


def datasets(path):
    """Everything in an HDF5 file that does not tell of its own scan: {name: array}, {name: attributes}."""
    arrays, attributes = {}, {}

    def visit(name, node):
        if name.removeprefix("entry/").split("/")[0] in OF_ONE_SCAN:
            return
        attributes[name] = {key: str(content) for key, content in node.attrs.items()}
        if isinstance(node, h5py.Dataset):
            arrays[name] = node[()]

    with h5py.File(path) as file:
        file.visititems(visit)
    return arrays, attributes


def assert_same_content(path, other):
    arrays, attributes = datasets(path)
    other_arrays, other_attributes = datasets(other)
    assert arrays.keys() == other_arrays.keys()
    for name, array in arrays.items():
        np.testing.assert_array_equal(array, other_arrays[name], err_msg=name)
    assert attributes == other_attributes


def results(path):
    """/entry/result, by name."""
    arrays, _ = datasets(path)
    prefix = "entry/result/"
    return {n.removeprefix(prefix): a for n, a in arrays.items() if n.startswith(prefix)}
