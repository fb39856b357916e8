"""Parsers of instruments' messages, on real recordings and on what is broken."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from engine import stins

from dtranspose import StreamData, formats
from dtranspose.formats import (
    albaem,
    contrast,
    eiger,
    lecroy,
    panda,
    pcap,
    sardana,
    stins as stins_format,
    xspress3,
)
from dtranspose.recording import read_capture, read_events


def parse(tag: str, *frames: Any) -> Any:
    return formats.parse(StreamData(tag, frames))


def test_stins_of_a_recording(recordings: Path) -> None:
    messages = [e["xrd"].parse() for e in read_events(recordings / "dump_xrd.cbors")]
    assert isinstance(messages[0], stins_format.Start) and messages[0].filename == "output/xrd.h5"
    assert isinstance(messages[-1], stins_format.End)
    images = messages[1:-1]
    assert [m.frame for m in images] == list(range(9))
    assert {m.data.shape for m in images} == {(10, 10)} and images[0].data.dtype == np.uint16
    assert images[0].data[0, :4].tolist() == [1, 18, 0, 7]


def test_stins_there_and_back() -> None:
    image = stins_format.Image(
        msg_number=3, frame=2, shape=(2, 3), type="float32", compression="none",
        data=np.arange(6, dtype="f4").reshape(2, 3), exposure_time=0.5,
    )  # fmt: skip
    back = image.to_stream_data().parse()
    assert back == image and back.exposure_time == 0.5 and back.extra() == {"exposure_time": 0.5}
    assert json.loads(image.model_dump_json(exclude={"data"}))["shape"] == [2, 3]
    assert back != stins_format.Image(**{**image.as_dict(), "frame": 3})


def test_stins_of_several_blobs_and_with_metadata() -> None:
    header = '{"htype":"image","msg_number":1,"frame":0,"shape":[2,1,2],"type":"uint8","compression":"none"}'
    assert parse("STINS", header, b"\1\2", b"\3\4").data.tolist() == [[[1, 2]], [[3, 4]]]
    start = parse("STINS", '{"htype":"header","msg_number":0,"filename":null}', '{"sample":{"name":"x"}}')
    assert start.metadata == {"sample": {"name": "x"}} and start.filename is None


def test_a_compressed_image_has_no_pixels() -> None:
    header = '{"htype":"image","msg_number":1,"frame":4,"shape":[2],"type":"uint8","compression":"bslz4"}'
    message = parse("STINS", header, b"blob")
    assert not hasattr(message, "data") and "data" not in message
    with pytest.raises(ValueError, match="image 4 is compressed"):
        formats.image_of(StreamData("STINS", [header, b"blob"]))


@pytest.mark.parametrize(
    "tag, frames, said",
    [
        ("STINS", ["{"], "no JSON"),
        ("STINS", ["[1]"], "no JSON object"),
        ("STINS", ['{"htype":"nothing"}'], "unknown htype 'nothing'"),
        ("STINS", ['{"htype":"header","msg_number":1}'], "without 'filename'"),
        ("STINS", [], "without frames"),
        ("STINS", [stins(0)[1][0], b"12345"], r"5 bytes, but shape \[2, 3\] of uint16 takes 12"),
        ("STINS", [stins(0)[1][0]], "without pixels"),
        ("STINS", [stins(0, dtype="uint16")[1][0].replace("uint16", "odd"), b"1"], "unknown type 'odd'"),
        ("xspress", ['{"htype":"image","frame":1,"shape":[1,1],"type":"uint32"}', b"1234"], "2 frames"),
        ("PCAP", ['{"message_type":"x"}'], "unknown message_type"),
        ("contrast", [b"\x80\x02}."], "unknown status"),
        ("contrast", [b"\x80\x02K\x01."], "no dict"),
        ("nobody", [b""], "no parser for stream data of type 'nobody'"),
        ("PCAP_RAW", [b""], "panda.Parser"),
    ],
)  # fmt: skip
def test_what_is_broken_is_named(tag: str, frames: Any, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        parse(tag, *frames)


def test_a_parser_refuses_the_data_of_another() -> None:
    with pytest.raises(ValueError, match="of type 'PCAP', expected 'STINS'"):
        stins_format.parse(StreamData("PCAP", [b"{}"]))


def test_xspress3_multipart(recordings: Path) -> None:
    messages = [parse("xspress", *m) for m in read_capture(recordings / "xspress3-multipart.cbors")]
    assert [type(m).__name__ for m in messages] == ["Start"] + ["Image"] * 5 + ["End"]
    image = messages[1]
    assert image.data.shape == (4, 4096) and image.data.dtype == np.uint32
    assert list(image.meta) == list(xspress3.COUNTERS) and image.window_counts.shape == (2, 4)
    assert all(x.shape == (4,) for x in image.meta.values())
    assert messages[1].to_stream_data().parse() == messages[1]


def test_xspress3_in_three_messages(recordings: Path) -> None:
    parts = list(read_capture(recordings / "xspress3-dump.cbors"))
    groups = [parts[k][0:1] + parts[k + 1] + parts[k + 2] for k in range(1, len(parts) - 1, 3)]
    images = [parse("xspress", *g) for g in groups]
    assert [m.frame for m in images] == list(range(20))
    assert images[0].meta["ClockTicks"].tolist() == [7999990] * 4
    assert images[0].exptime == pytest.approx(0.099999875)
    assert formats.image_of(StreamData("xspress", groups[0])).shape == (4, 4096)  # type: ignore[union-attr]


def test_contrast(recordings: Path) -> None:
    messages = [parse("contrast", *m) for m in read_capture(recordings / "contrast-dump.cbors")]
    running = [m for m in messages if isinstance(m, contrast.Running)]
    assert len(running) == 20
    assert sum(isinstance(m, contrast.Heartbeat) for m in messages) == 4
    assert running[0].sx == pytest.approx(-2.0, abs=0.01) and running[0].pseudo["x"].shape == (1,)
    assert running[0].xspress3["type"] == "Link"
    started = next(m for m in messages if isinstance(m, contrast.Started))
    assert len(started.snapshot) == 92 and started.scannr == 2


def test_pcap(recordings: Path) -> None:
    messages = list(read_capture(recordings / "pcap-zmq.cbors"))
    start = parse("PCAP", *messages[0])
    assert isinstance(start, pcap.Start) and start.arm_time.tzinfo is not None
    batch = parse("PCAP", *messages[1])
    assert (
        isinstance(batch, pcap.Data)
        and batch.frame_number == 0
        and len(batch["INENC3.VAL.Mean"]) in (14, 15, 16)
    )
    with pytest.raises(KeyError, match="INENC3.VAL.Mean"):
        batch["INENC4"]
    assert isinstance(parse("PCAP", *messages[-1]), pcap.End)


@pytest.mark.parametrize(
    "text, micro",
    [
        ("2024-10-07T08:49:10.627Z", 627000),
        ("2024-10-07T08:49:10Z", 0),
        ("2024-10-07T08:49:10.123456789+01:00", 123456),
    ],
)
def test_times(text: str, micro: int) -> None:
    assert pcap.time_of(text).microsecond == micro


def test_panda_rows_need_their_header() -> None:
    parser = panda.Parser()
    with pytest.raises(ValueError, match="before its header"):
        parser.parse(StreamData("PCAP_RAW", [" 1 2\n"]))
    head = (
        "arm_time: 2023-12-19T07:51:12.754Z\nmissed: 0\nprocess: Scaled\nformat: ASCII\nfields:\n"
        " PCAP.BITS0 uint32 Value\n PCAP.TS_TRIG double Value scale: 8e-09 offset: 0 units: s\n"
        " INENC1.VAL double Mean scale: 1 offset: 0 units: \n\n"
    )
    for _ in range(2):  # armed again: the columns are those of the last header
        assert isinstance(parser.parse(StreamData("PCAP_RAW", [head])), panda.Start)
        row = parser.parse(StreamData("PCAP_RAW", [" 301989857 0.32175968 -2.5e-07\n"]))
        assert {n: f.value for n, f in row.fields.items()} == {
            "PCAP.BITS0.Value": 301989857, "PCAP.TS_TRIG.Value": 0.32175968, "INENC1.VAL.Mean": -2.5e-07
        }  # fmt: skip
        assert row["INENC1.VAL.Mean"] == -2.5e-07
    with pytest.raises(ValueError, match="2 columns, but the header names 3"):
        parser.parse(StreamData("PCAP_RAW", [" 1 2\n"]))
    assert isinstance(parser.parse(StreamData("PCAP_RAW", ["END 2 Disarmed\n"])), panda.End)


def test_albaem() -> None:
    text = (
        '{"version":1,"message_type":"data","message_id":2,"frame_number":0,"timestamp":7.72,'
        '"acquisition_timestamp":1704807770443944912,"channel1":-2.8e-11,"channel2":1.0}'
    )
    message = parse("albaem", text)
    assert isinstance(message, albaem.Data) and message.acquisition_timestamp == 1704807770443944912
    assert message.channels() == {"channel1": -2.8e-11, "channel2": 1.0}


def test_sardana() -> None:
    assert isinstance(parse("sardana", '{"serialno":1,"scandir":"/","title":"t"}'), sardana.DataDescription)
    record = parse("sardana", '{"type":"RecordData","point_nb":8,"dummy_mot_01":NaN,"timestamp":0.61}')
    assert isinstance(record, sardana.RecordData) and np.isnan(record.dummy_mot_01)
    assert isinstance(parse("sardana", "{}"), sardana.RecordEnd)


def test_lecroy(recordings: Path) -> None:
    m = list(read_capture(recordings / "maui-02-continuous-3.cbor.gz"))
    sequence = parse(lecroy.TAG, m[1][0], *m[2], *m[3], m[4][0])
    assert isinstance(sequence, lecroy.Sequence) and sequence.channels == [2, 4]
    assert [d.shape for d in sequence.data] == [(1, 8002), (1, 8002)]
    assert [len(t) for t in sequence.timestamps] == [1, 1]
    assert sequence.times(0)[1] - sequence.times(0)[0] == pytest.approx(sequence.meta[0].horiz_interval)
    assert parse(lecroy.TAG, *m[-1]).frames == 4
    with pytest.raises(ValueError, match="for 2 channels"):
        parse(lecroy.TAG, m[1][0], *m[2])


def test_eiger(recordings: Path) -> None:
    messages = [parse("EIGER_LEGACY", *m) for m in read_capture(recordings / "eiger-small.cbors")]
    assert messages[0].info["x_pixels_in_detector"] == 3108 and messages[0].appendix is not None
    assert isinstance(messages[1], eiger.Image) and messages[1].data["shape"] == [3108, 3262]
    assert messages[1].config["real_time"] == 9999900 and messages[1].array() is None
    plain = eiger.parse(
        StreamData(
            "EIGER_LEGACY",
            [
                '{"htype":"dimage-1.0","series":6,"frame":0,"hash":"0"}',
                '{"htype":"dimage_d-1.0","shape":[3,2],"type":"uint16","encoding":"<","size":12}',
                np.arange(6, dtype="<u2").tobytes(),
                '{"htype":"dconfig-1.0"}',
            ],
        )
    )
    assert plain.array().tolist() == [[0, 1, 2], [3, 4, 5]]
    assert parse("EIGER_LEGACY", '{"htype":"dheader-1.0","series":6,"header_detail":"none"}').info == {}
