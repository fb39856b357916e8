"""Clients of a running system: what it does, and the results that it serves.

control = Control("http://127.0.0.1:5000")
scan = control.start({"pilatus": [[{"constraint": k}] for k in range(100)]})
control.wait()
Results("http://127.0.0.1:5001")["mean"][:10]
"""

from __future__ import annotations

import json
import ssl
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Optional, Union

import numpy as np


class RequestFailed(Exception):
    """The server's answer was no success. ``status``: HTTP's number. ``detail``: what the server said."""

    def __init__(self, status: int, detail: Any, url: str) -> None:
        super().__init__(f"{status} from {url}: {detail}")
        self.status = status
        self.detail = detail


class _Http:
    def __init__(self, url: str, token: Optional[str], timeout: float, tls: Optional[ssl.SSLContext]) -> None:
        self.url = url.rstrip("/")
        self._headers = {"Authorization": f"Bearer {token}"} if token else {}
        self._timeout = timeout
        handlers: list[Any] = [urllib.request.HTTPSHandler(context=tls)] if tls else []
        self._opener = urllib.request.build_opener(*handlers)

    def ask(
        self,
        path: str,
        query: Any = (),
        body: Optional[bytes] = None,
        accept: str = "*/*",
        kind: str = "application/json",
    ) -> tuple[bytes, str]:
        """The body of the answer and its type. Raises RequestFailed, or OSError where nobody answers."""
        url = self.url + urllib.parse.quote(path)
        if query:
            url += "?" + urllib.parse.urlencode(query)
        request = urllib.request.Request(url, data=body, headers={**self._headers, "Accept": accept})
        if body is not None:
            request.add_header("Content-Type", kind)
        try:
            with self._opener.open(request, timeout=self._timeout) as answer:
                return answer.read(), answer.headers.get("Content-Type", "")
        except urllib.error.HTTPError as e:
            text = e.read().decode("utf-8", "replace")
            try:
                detail = json.loads(text)["detail"]
            except (ValueError, KeyError, TypeError):
                detail = text or e.reason
            raise RequestFailed(e.code, detail, url) from None

    def json(self, path: str, query: Any = (), body: Any = None) -> Any:
        data = json.dumps(body).encode() if body is not None else None
        return json.loads(self.ask(path, query, data)[0] or b"null")


class Control:
    """The REST interface of the controller (docs/rest.md). ``token``: where it asks for one."""

    def __init__(
        self,
        url: str = "http://127.0.0.1:5000",
        token: Optional[str] = None,
        timeout: float = 30.0,
        tls: Optional[ssl.SSLContext] = None,
    ) -> None:
        self._http = _Http(url, token, timeout, tls)

    def start(
        self, parts: Mapping[str, Any], sequence: Optional[Sequence[str]] = None, wrap: bool = True
    ) -> str:
        """Starts a scan and returns its id.

        parts: ``{part: {stream: [slot, ...]}}`` with the sequence in which they follow each other; without
        a sequence the streams of the only part. wrap: put a start and an end event around it.
        """
        if sequence is None:
            parts, sequence = {"main": parts}, ["main"]
        body = {"parts": parts, "sequence": list(sequence)}
        scan = self._http.json("/api/v1/sequence", {"all_wrap": str(wrap).lower()}, body)
        return str(scan)

    def stop(self) -> None:
        """Ends the scan in hand early."""
        self._http.ask("/api/v1/stop", body=b"")

    def progress(self) -> dict[str, Any]:
        return self._mapping("/api/v1/progress")

    def status(self) -> dict[str, Any]:
        return self._mapping("/api/v1/status")

    def ledger(self) -> dict[str, Any]:
        """How every event ended, and why."""
        return self._mapping("/api/v1/ledger")

    def config(self) -> dict[str, Any]:
        """Who is there."""
        return self._mapping("/api/v1/config")

    def sequence(self) -> dict[str, Any]:
        return self._mapping("/api/v1/sequence")

    def _mapping(self, path: str) -> dict[str, Any]:
        answer: dict[str, Any] = self._http.json(path)
        return answer

    def wait(self, timeout: Optional[float] = None, interval: float = 0.1) -> dict[str, Any]:
        """Until the scan has finished; returns its progress. Raises TimeoutError after so many seconds."""
        end = None if timeout is None else time.monotonic() + timeout
        while True:
            progress = self.progress()
            if progress.get("finished"):
                return progress
            if end is not None and time.monotonic() > end:
                raise TimeoutError(f"the scan has not finished within {timeout} s: {progress}")
            time.sleep(interval)

    def parameters(self) -> list[dict[str, Any]]:
        """What is described: name, dtype, default, description."""
        answer: list[dict[str, Any]] = self._http.json("/api/v1/parameters")
        return answer

    def parameter(self, name: str) -> bytes:
        """The written form of a parameter."""
        return self._http.ask(f"/api/v1/parameter/{name}")[0]

    def set_parameter(self, name: str, value: Any) -> str:
        """Sets a parameter to a text, a number, a bool, or bytes as they are; returns the hash of all of
        them.
        """
        data = bytes(value) if isinstance(value, (bytes, bytearray)) else str(value).encode()
        answer, _ = self._http.ask(f"/api/v1/parameter/{name}", body=data, kind="application/octet-stream")
        return str(json.loads(answer))


class _Object:
    """A group or a dataset, and its attributes."""

    def __init__(self, results: Results, kind: str, number: str, path: str) -> None:
        self._results = results
        self._kind = kind
        self._id = number
        self.path = path

    def _ask(self, rest: str = "") -> Any:
        return self._results._json(f"/{self._kind}/{self._id}{rest}")

    @property
    def attrs(self) -> dict[str, Any]:
        """Attributes by name."""
        names = [a["name"] for a in self._ask("/attributes")["attributes"]]
        return {n: self._ask(f"/attributes/{n}")["value"] for n in names}


class Dataset(_Object):
    """Numbers or texts on the server: ``dataset[...]`` fetches them, ``dataset[5:10, 3]`` some of them."""

    def __init__(self, results: Results, number: str, path: str) -> None:
        super().__init__(results, "datasets", number, path)
        described = self._ask()
        shape = described["shape"]
        self.shape: Optional[tuple[int, ...]] = None
        if shape["class"] == "H5S_SCALAR":
            self.shape = ()
        elif shape["class"] == "H5S_SIMPLE":
            self.shape = tuple(shape["dims"])
        self.dtype = _dtype_of(described["type"])
        """Nothing for texts."""

    def __getitem__(self, index: Any) -> Any:
        """As of a NumPy array with whole numbers and slices of a rising step."""
        if self.shape is None:
            return None
        selection, squeezed, shape = _selection(index, self.shape)
        query = {"select": selection} if selection else {}
        wanted = "application/octet-stream" if self.dtype is not None else "*/*"
        data, kind = self._results._http.ask(
            f"/datasets/{self._id}/value", {**self._results._domain, **query}, accept=wanted
        )
        if kind.split(";")[0].strip() == "application/octet-stream" and self.dtype is not None:
            array = np.frombuffer(data, self.dtype).reshape(shape)
            array = (
                array.astype(np.bool_) if self.dtype.metadata else array.astype(array.dtype.newbyteorder("="))
            )
        else:
            value = json.loads(data)["value"]
            if not self.shape:
                return value
            array = np.array(value, self.dtype if self.dtype is not None else object).reshape(shape)
        return array[tuple(0 if s else slice(None) for s in squeezed)] if squeezed else array[()]

    def __len__(self) -> int:
        if not self.shape:
            raise TypeError(f"{self.path} is a single value")
        return self.shape[0]

    def __repr__(self) -> str:
        return f"Dataset({self.path!r}, shape={self.shape}, dtype={self.dtype or 'text'})"


class Group(_Object):
    """``group["name"]`` or ``group["a/b"]``: a Dataset or another Group."""

    def __init__(self, results: Results, number: str, path: str) -> None:
        super().__init__(results, "groups", number, path)

    def keys(self) -> list[str]:
        return [link["title"] for link in self._ask("/links")["links"]]

    def __iter__(self) -> Iterator[str]:
        return iter(self.keys())

    def __len__(self) -> int:
        return len(self.keys())

    def __contains__(self, name: object) -> bool:
        try:
            self[str(name)]
        except KeyError:
            return False
        return True

    def __getitem__(self, name: str) -> Any:
        """A Group or a Dataset. Raises KeyError where there is none."""
        group: Union[Group, Dataset] = self
        for part in [p for p in name.split("/") if p]:
            if not isinstance(group, Group):
                raise KeyError(f"{group.path} is no group")
            group = group._child(part)
        return group

    def _child(self, name: str) -> Union[Group, Dataset]:
        path = f"{self.path.rstrip('/')}/{name}"
        try:
            link = self._ask(f"/links/{name}")["link"]
        except RequestFailed as e:
            if e.status == 404:
                raise KeyError(f"there is no {path}") from None
            raise
        if link.get("class") != "H5L_TYPE_HARD":
            raise KeyError(f"{path} is a link to elsewhere")
        if link["collection"] == "datasets":
            return Dataset(self._results, link["id"], path)
        return Group(self._results, link["id"], path)

    def tree(self) -> dict[str, Any]:
        """Everything below, as a dict of dicts and arrays."""
        found = {name: self[name] for name in self.keys()}
        return {n: x.tree() if isinstance(x, Group) else x[()] for n, x in found.items()}

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.path!r})"


class Results(Group):
    """The results of a running scan, as its server of HDF over REST shows them."""

    def __init__(
        self,
        url: str = "http://127.0.0.1:5001",
        token: Optional[str] = None,
        domain: str = "/",
        timeout: float = 30.0,
        tls: Optional[ssl.SSLContext] = None,
    ) -> None:
        self._http = _Http(url, token, timeout, tls)
        self._domain = {"domain": domain}
        super().__init__(self, self._json("/")["root"], "/")

    def _json(self, path: str) -> Any:
        return self._http.json(path, self._domain)


def _dtype_of(described: Any) -> Optional[np.dtype[Any]]:
    """The element type that HDF's name says; nothing for texts. Bools carry metadata that says so."""
    if not isinstance(described, dict):
        return None
    kind = described.get("class")
    if kind in ("H5T_INTEGER", "H5T_FLOAT"):
        name = str(described["base"])
        order = ">" if name.endswith("BE") else "<"
        letter, bits = name.split("_")[-1][0], name.split("_")[-1][1:-2]
        return np.dtype(f"{order}{letter.lower()}{int(bits) // 8}")
    if kind == "H5T_ENUM":
        base = _dtype_of(described["base"])
        if base is not None and set(described.get("mapping", {})) == {"FALSE", "TRUE"}:
            return np.dtype(base, metadata={"bool": True})
        return base
    if kind == "H5T_COMPOUND":
        fields = [(f["name"], _dtype_of(f["type"])) for f in described["fields"]]
        return np.dtype(fields) if all(t is not None for _, t in fields) else None
    if kind == "H5T_ARRAY":
        base = _dtype_of(described["base"])
        return np.dtype((base, tuple(described["dims"]))) if base is not None else None
    return None


def _selection(index: Any, shape: tuple[int, ...]) -> tuple[str, list[bool], tuple[int, ...]]:
    """The server's text for an index, which axes fall away, and the shape that comes."""
    given = index if isinstance(index, tuple) else (index,)
    if Ellipsis in given:
        at = given.index(Ellipsis)
        given = given[:at] + (slice(None),) * (len(shape) - len(given) + 1) + given[at + 1 :]
    if len(given) > len(shape):
        raise IndexError(f"{len(given)} indices for {len(shape)} dimensions")
    given += (slice(None),) * (len(shape) - len(given))
    texts, squeezed, extents = [], [], []
    for item, extent in zip(given, shape):
        if isinstance(item, slice):
            begin, end, step = item.indices(extent)
            if step < 1:
                raise IndexError("slices on the server have a rising step")
            squeezed.append(False)
        else:
            begin = int(item) + (extent if item < 0 else 0)
            if not 0 <= begin < extent:
                raise IndexError(f"index {item} of {extent}")
            end, step = begin + 1, 1
            squeezed.append(True)
        texts.append(f"{begin}:{end}:{step}")
        extents.append(len(range(begin, end, step)))
    if all(e == s for e, s in zip(extents, shape)):
        return "", squeezed, tuple(extents)
    return f"[{','.join(texts)}]", squeezed, tuple(extents)
