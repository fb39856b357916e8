"""Real servers on the loopback that answer as the program does: its control interface, its results."""

from __future__ import annotations

import json
import re
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Callable, Optional
from urllib.parse import parse_qs, unquote, urlsplit

import numpy as np

Answer = tuple[int, Any]


class Server:
    """``answer(method, path, query, body, headers)`` gives status and bytes (binary) or anything else
    (JSON).
    """

    def __init__(self, answer: Callable[[str, str, dict[str, str], bytes, Any], Answer]) -> None:
        self.requests: list[tuple[str, str, dict[str, str], bytes, dict[str, str]]] = []
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                self._do()

            def do_POST(self) -> None:
                self._do()

            def _do(self) -> None:
                url = urlsplit(self.path)
                query = {k: v[0] for k, v in parse_qs(url.query).items()}
                body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
                outer.requests.append((self.command, unquote(url.path), query, body, dict(self.headers)))
                status, content = answer(self.command, unquote(url.path), query, body, self.headers)
                binary = isinstance(content, bytes)
                data = content if binary else json.dumps(content).encode()
                self.send_response(status)
                self.send_header("Content-Type", "application/octet-stream" if binary else "application/json")
                self.send_header("Content-Length", str(len(data)))
                self.end_headers()
                self.wfile.write(data)

            def log_message(self, *_: Any) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)
        self._thread.start()

    def __enter__(self) -> Server:
        return self

    def __exit__(self, *_: Any) -> None:
        self._server.shutdown()
        self._server.server_close()


def hdf_server(tree: dict[str, Any]) -> Server:
    """Serves a tree of dicts and arrays; ``name_attrs`` are attributes."""
    nodes: dict[str, Any] = {}

    def add(path: str, node: Any, attrs: Any) -> str:
        number = ("g-" if isinstance(node, dict) else "d-") + path.encode().hex()
        nodes[number] = (path, node, attrs)
        if isinstance(node, dict):
            for name, child in node.items():
                if not name.endswith("_attrs"):
                    add(f"{path}/{name}", child, node.get(f"{name}_attrs", {}))
        return number

    root = add("", tree, tree.get("_attrs", {}))

    def answer(method: str, path: str, query: dict[str, str], body: bytes, headers: Any) -> Answer:
        if query.get("domain") != "/":
            return 404, {"detail": "Domain not found"}
        if path == "/":
            return 200, {"root": root}
        found = re.fullmatch(r"/(groups|datasets)/([^/]+)(?:/(\w+))?(?:/(.+))?", path)
        if not found or found[2] not in nodes:
            return 404, {"detail": "not found"}
        _, number, what, name = found.groups()
        where, node, attrs = nodes[number]
        if what is None:
            return 200, {"id": number} if isinstance(node, dict) else {"id": number, **described(node)}
        if what == "links":
            names = [n for n in node if not n.endswith("_attrs")]
            links = [link(n, where, node[n]) for n in names]
            if name is None:
                return 200, {"links": links}
            return (
                (200, {"link": links[names.index(name)]})
                if name in names
                else (404, {"detail": "Link not found"})
            )
        if what == "attributes":
            if name is None:
                return 200, {"attributes": [{"name": n} for n in attrs]}
            return (200, {"name": name, "value": attrs[name]}) if name in attrs else (404, {"detail": "none"})
        return value(node, query.get("select"), headers.get("Accept"))

    return Server(answer)


def link(name: str, where: str, node: Any) -> dict[str, Any]:
    group = isinstance(node, dict)
    number = ("g-" if group else "d-") + f"{where}/{name}".encode().hex()
    return {
        "class": "H5L_TYPE_HARD",
        "title": name,
        "collection": "groups" if group else "datasets",
        "id": number,
    }


def described(node: Any) -> dict[str, Any]:
    text = {"class": "H5T_STRING", "length": "H5T_VARIABLE", "charSet": "H5T_CSET_UTF8"}
    array = np.asarray(node)
    shape: Any = {"class": "H5S_SIMPLE", "dims": list(array.shape)} if array.ndim else {"class": "H5S_SCALAR"}
    return {"shape": shape, "type": text if array.dtype.kind in "UO" else type_of(array.dtype)}


def type_of(dtype: Any) -> dict[str, Any]:
    if dtype.names:
        fields = [{"name": n, "type": type_of(dtype[n])} for n in dtype.names]
        return {"class": "H5T_COMPOUND", "fields": fields}
    if dtype.kind == "b":
        return {"class": "H5T_ENUM", "base": {"class": "H5T_INTEGER", "base": "H5T_STD_I8LE"},
                "mapping": {"FALSE": 0, "TRUE": 1}}  # fmt: skip
    order = "BE" if dtype.byteorder == ">" else "LE"
    if dtype.kind == "f":
        return {"class": "H5T_FLOAT", "base": f"H5T_IEEE_F{8 * dtype.itemsize}{order}"}
    return {"class": "H5T_INTEGER", "base": f"H5T_STD_{dtype.kind.upper()}{8 * dtype.itemsize}{order}"}


def value(node: Any, select: Optional[str], accept: Optional[str]) -> Answer:
    array = np.asarray(node)
    if select:
        parts = [[int(x) for x in p.split(":")] for p in select.strip("[]").split(",")]
        array = array[tuple(slice(*p) for p in parts)]
    if array.dtype.kind in "UO" or accept != "application/octet-stream":
        return 200, {"value": array.tolist()}
    return 200, array.tobytes()
