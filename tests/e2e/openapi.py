"""Descriptions of REST interfaces, OpenAPI 3.1: what they say of an answer, and requests made of them.

A `Maker` makes requests out of a seed. Most are valid or nearly so, some are hostile: they must do no harm.
"""

import json
import re
import urllib.parse
from dataclasses import dataclass, field

METHODS = ("get", "post", "put", "patch", "delete")
TYPES = {"object": dict, "array": list, "string": str, "boolean": bool, "null": type(None)}

HOSTILE_TEXTS = ["", " ", "0", "-1", "1e308", "NaN", "null", "true", "../../etc/passwd", "%00", "\x00", "a" * 3000, "é" * 50,
                 "\U0001f300", "'; DROP TABLE scans; --", "${jndi:x}", "{{7*7}}", "/", "//", "?", "#", "&", "=", ";", "\r\nX: y",
                 "18446744073709551616", "9" * 400, "[[[[", "0:0", "5:1", "::::", ",,,", "[0,,1]", "-9223372036854775809", "%", "%zz"]
HOSTILE_VALUES = [None, True, False, 0, -1, 1.5, 2**31, 2**63, 2**64, -2**63 - 1, 1e308, float("nan"), float("inf"), "", "x" * 5000,
                  "\x00", "\ud800", [], {}, [[]], [None], {"": None}, {"$ref": "#"}]
HOSTILE_BODIES = [b"", b"{", b"[" * 20000, b'{"a":' * 5000, b"\xff\xfe", b"null", b"nonsense", b'{"a":1,"a":2}', b"1" * 5000, b'"' * 99,
                  b"\x00" * 64, b'{"parts":{},"sequence":[]}x', b"[1e999999]", b'"\\ud800"', b"\xef\xbb\xbf{}"]
CONTENT_TYPES = ["text/plain", "application/x-www-form-urlencoded", "", "application/json; charset=utf-16", "x", "a/b" * 200]


@dataclass
class Operation:
    method: str
    path: str
    content: dict
    parameters: list

    @property
    def id(self):
        return self.content["operationId"]

    @property
    def endless(self):
        types = self.content["responses"]["200"]["content"]
        return "text/event-stream" in types or "application/x-ndjson" in types


@dataclass
class Request:
    method: str
    target: str
    body: bytes | None = None
    headers: dict = field(default_factory=dict)


class Description:
    def __init__(self, content):
        self.content = content
        self.operations = [Operation(method.upper(), path, item[method],
                                     item.get("parameters", []) + item[method].get("parameters", []))
                           for path, item in content["paths"].items() for method in METHODS if method in item]

    def resolve(self, part):
        while "$ref" in part:
            reference, part = part["$ref"], self.content
            for step in reference.removeprefix("#/").split("/"):
                part = part[step]
        return part

    def answer_of(self, operation, status):
        """What is said of an answer with that status; None: nothing."""
        answer = operation.content["responses"].get(str(status))
        return answer and self.resolve(answer)

    # --- schemas ---------------------------------------------------------------------------------

    def complaints(self, schema, value, where="it"):
        """What of a value is not as its schema says."""
        schema = self.resolve(schema)
        for key in ("anyOf", "oneOf"):
            if key in schema and all(self.complaints(s, value, where) for s in schema[key]):
                return [f"{where}: {value!r} fits none of {schema[key]}"]
        if "const" in schema and value != schema["const"]:
            return [f"{where}: {value!r} is not {schema['const']!r}"]
        if "enum" in schema and value not in schema["enum"]:
            return [f"{where}: {value!r} is none of {schema['enum']}"]
        if "type" in schema and not self.is_of_type(schema["type"], value):
            return [f"{where}: {value!r} is not of type {schema['type']}"]
        found = []
        if isinstance(value, dict):
            found += [f"{where}: lacks {key!r}" for key in schema.get("required", ()) if key not in value]
            properties, others = schema.get("properties", {}), schema.get("additionalProperties", True)
            for key, content in value.items():
                if key in properties:
                    found += self.complaints(properties[key], content, f"{where}.{key}")
                elif others is False:
                    found.append(f"{where}: has {key!r}")
                elif others is not True:
                    found += self.complaints(others, content, f"{where}.{key}")
        elif isinstance(value, list):
            if len(value) > schema.get("maxItems", len(value)):
                found.append(f"{where}: has {len(value)} items")
            for i, item in enumerate(value):
                found += self.complaints(schema.get("items", {}), item, f"{where}[{i}]")
        elif isinstance(value, str):
            if "pattern" in schema and not re.search(schema["pattern"], value):
                found.append(f"{where}: {value!r} is not like {schema['pattern']}")
        elif isinstance(value, (int, float)) and not isinstance(value, bool):
            if not schema.get("minimum", value) <= value <= schema.get("maximum", value):
                found.append(f"{where}: {value!r} is out of range")
        return found

    @staticmethod
    def is_of_type(types, value):
        for name in types if isinstance(types, list) else [types]:
            if name in ("integer", "number"):
                if isinstance(value, int if name == "integer" else (int, float)) and not isinstance(value, bool):
                    return True
            elif isinstance(value, TYPES[name]):
                return True
        return False


class Maker:
    """Requests out of a seed. `known` are values that exist, by name of a parameter or `operationId.name`."""

    def __init__(self, description, rng, known=None):
        self.description = description
        self.rng = rng
        self.known = known or {}

    def request(self, operation):
        # At most one thing of a request is odd, so that most get as far as their handler.
        odd = self.rng.choices(["nothing", "path", "query", "body", "headers", "method"], [50, 8, 20, 16, 4, 2])[0]
        target = re.sub(r"{(\w+)}", lambda m: self.place(operation, m[1], odd == "path"), operation.path)
        if query := self.query(operation, odd == "query"):
            target += "?" + query
        request = Request(operation.method, target)
        if "requestBody" in operation.content:
            self.add_body(request, operation, odd == "body")
        if odd == "headers":
            self.add_odd_headers(request)
        if odd == "method":
            request.method = self.rng.choice(["HEAD", "OPTIONS", "PUT", "DELETE", "PATCH", "GET", "POST"])
        return request

    # --- parts of a request ----------------------------------------------------------------------

    def known_of(self, operation, name):
        return self.known.get(f"{operation.id}.{name}") or self.known.get(name)

    def place(self, operation, name, odd):
        described = next(p for p in operation.parameters if p["name"] == name and p["in"] == "path")
        known = self.known_of(operation, name) or [described["example"]]
        text = self.rng.choice(HOSTILE_TEXTS) if odd else self.rng.choice(known)
        return urllib.parse.quote(text, safe="" if self.rng.random() < 0.8 else "/%?&=+:,")

    def query(self, operation, odd):
        chosen = [p for p in operation.parameters if p["in"] == "query" and (p.get("required") or self.rng.random() < 0.3)]
        pairs = [(p["name"], text) for p in chosen for text in self.texts_of(operation, p)]
        if odd and (all_of_them := [p["name"] for p in operation.parameters if p["in"] == "query"] + ["nonsense"]):
            for _ in range(self.rng.choice([1, 1, 1, 2, 40])):
                pairs.append((self.rng.choice(all_of_them), self.rng.choice(HOSTILE_TEXTS)))
        text = "&".join(f"{name}={urllib.parse.quote(text, safe='[]:,/')}" for name, text in pairs)
        return text + self.rng.choice(["&", "&=", "&%", "&&&", "&a"]) if odd and self.rng.random() < 0.2 else text

    def texts_of(self, operation, parameter):
        known = self.known_of(operation, parameter["name"])
        if known:
            return [str(self.rng.choice(known))]
        value = parameter["example"] if self.rng.random() < 0.5 else self.value(parameter["schema"])
        values = value if isinstance(value, list) else [value]
        return [str(v).lower() if isinstance(v, bool) else str(v) for v in values]

    def add_body(self, request, operation, odd):
        types = operation.content["requestBody"]["content"]
        type = self.rng.choice(list(types))
        request.headers["Content-Type"] = type
        schema = types[type]["schema"]
        if odd and self.rng.random() < 0.3:
            request.body = self.rng.choice(HOSTILE_BODIES)
        elif type == "application/json":
            value = types[type]["example"] if self.rng.random() < 0.3 else self.value(schema)
            text = json.dumps(self.spoiled(value) if odd else value)
            request.body = text[:self.rng.randrange(len(text) + 1)].encode() if odd and self.rng.random() < 0.2 else text.encode()
        else:
            size = self.rng.choice([0, 1, 7, 8, 16, 64, 1000]) if odd else self.rng.choice([0, 8, 16])
            request.body = self.rng.randbytes(size)

    def add_odd_headers(self, request):
        for name, values in [("Content-Type", CONTENT_TYPES), ("Accept", ["application/octet-stream", "*/*", "", "x" * 500]),
                             ("Accept-Encoding", ["gzip", "br", "identity;q=0", ""]), ("Origin", ["http://a.example", "null", ""]),
                             ("X-Hdf-domain", HOSTILE_TEXTS), ("Authorization", ["Basic eA==", "Bearer x", "Bearer", ""]),
                             ("Range", ["bytes=0-3", "bytes=5-1", "bytes=" + "0-1," * 200, "bytes=" + "0-1," * 1900 + "0-1"]), ("If-None-Match", ["*", "x"])]:
            if self.rng.random() < 0.4:
                value = self.rng.choice(values)
                if value.isprintable() and value.isascii():
                    request.headers[name] = value

    # --- values ----------------------------------------------------------------------------------

    def value(self, schema, depth=0):
        """One that its schema allows."""
        schema, rng = self.description.resolve(schema), self.rng
        for key in ("anyOf", "oneOf"):
            if key in schema:
                return self.value(rng.choice(schema[key]), depth)
        if "const" in schema:
            return schema["const"]
        if "enum" in schema:
            return rng.choice(schema["enum"])
        types = schema.get("type", "null")
        type = rng.choice(types) if isinstance(types, list) else types
        if type == "null":
            return None
        if type == "boolean":
            return rng.random() < 0.5
        if type in ("integer", "number"):
            low = schema.get("minimum", -1000)
            number = rng.randint(low, min(schema.get("maximum", low + 20), low + 20))
            return number if type == "integer" else number / 4
        if type == "string":
            return "".join(rng.choices("abcdefgh-_ 0123456789", k=rng.randint(schema.get("minLength", 0), 12)))
        if type == "array":
            return [self.value(schema.get("items", {}), depth + 1) for _ in range(rng.randint(0, 4))]
        return self.map(schema, depth)

    def map(self, schema, depth):
        made = {key: self.value(content, depth + 1) for key, content in schema.get("properties", {}).items()
                if key in schema.get("required", ()) or self.rng.random() < 0.6}
        others = schema.get("additionalProperties")
        if isinstance(others, dict):
            names = self.known.get("key") or ["a", "b", "det"]
            made.update({self.rng.choice(names): self.value(others, depth + 1) for _ in range(self.rng.randint(0, 3))})
        return made

    def spoiled(self, value):
        """The value with something in it changed into what may not be there."""
        rng = self.rng
        if isinstance(value, dict) and value and rng.random() < 0.8:
            key = rng.choice(list(value))
            changed = {**value, key: self.spoiled(value[key])}
            if rng.random() < 0.2:
                changed[rng.choice(HOSTILE_TEXTS)] = changed.pop(key)
            return changed
        if isinstance(value, list) and value and rng.random() < 0.8:
            at = rng.randrange(len(value))
            return [*value[:at], self.spoiled(value[at]), *value[at + 1:]]
        return rng.choice(HOSTILE_VALUES)
