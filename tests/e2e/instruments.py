"""Instruments that speak STINS over ZeroMQ, made for doing it wrong as well as right."""

import json

import numpy as np
import zmq

SEND_PATIENCE = 10_000  # ms that nobody may take a message


def fnv1a(parts):
    """FNV-1a, 64 bits, over the bytes of all parts: as the witness plug-in hashes."""
    value = 0xCBF29CE484222325
    for part in parts:
        for byte in part:
            value = ((value ^ byte) * 0x100000001B3) & 0xFFFFFFFFFFFFFFFF
    return f"{value:016x}"


def seen(parts):
    """What a witness writes of these message parts."""
    return {"type": "STINS", "sizes": [len(p) for p in parts], "hash": fnv1a(parts)}


def json_part(**fields):
    return json.dumps(fields).encode()


class Instrument:
    """Pushes the messages of one stream. Each image tells its stream, series and frame number in its
    pixels. `sent` keeps the parts of every well-formed message of the series, by place: start, frames, end.
    """

    def __init__(self, context, url, name="det"):
        self.name = name
        self.message_number = 0
        self.series = 0
        self.sent = []
        self.socket = context.socket(zmq.PUSH)
        self.socket.setsockopt(zmq.LINGER, 0)
        self.socket.setsockopt(zmq.SNDTIMEO, SEND_PATIENCE)
        self.socket.bind(url)

    def close(self):
        self.socket.close()

    def send_parts(self, parts):
        """Any message, neither counted nor kept."""
        self.socket.send_multipart(parts)

    def image_parts(self, number, shape=(4, 8), **fields):
        text = f"{self.name}/{self.series}/{number}/".encode()
        pixels = np.resize(np.frombuffer(text, np.uint8), 2 * int(np.prod(shape))).tobytes()
        fields = {"htype": "image", "frame": number, "shape": list(shape), "type": "uint16",
                  "compression": "none", "msg_number": self.message_number, **fields}
        return [json_part(**fields), pixels]

    def header(self):
        self.series += 1
        self.sent = []
        self.send([json_part(htype="header", filename=f"{self.name}.h5", msg_number=self.message_number)])

    def image(self, number):
        self.send(self.image_parts(number))

    def end(self):
        self.send([json_part(htype="series_end", msg_number=self.message_number)])

    def series_of(self, frames):
        """A whole series."""
        self.header()
        for number in range(frames):
            self.image(number)
        self.end()

    def send(self, parts):
        """A well-formed message."""
        self.message_number += 1
        self.sent.append(parts)
        self.send_parts(parts)
