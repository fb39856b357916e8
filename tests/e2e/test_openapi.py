"""The REST interfaces are what their descriptions say, and take whatever comes, during a scan."""

import http.client
import json
import random
import socket
from collections import Counter

import psutil
import pytest

from cluster import PATIENCE, REPOSITORY
from openapi import Description, Maker, Request
from test_results import send_image
from witness import one_each

MOST_GROWTH = 64 * 2**20  # of memory
# Answers of the server itself, before it asks whoever knows.
NOT_REACHED = {404: "Not Found", 405: "Method Not Allowed"}
# What ends the scan that is to go on, or replaces it.
NOT_NOW = {"stop"}


def description(name):
    return Description(json.loads((REPOSITORY / f"docs/openapi/{name}.json").read_text()))


class Client:
    """Sends requests as they are, on a connection that it keeps where it can."""

    def __init__(self, port):
        self.port = port
        self.connection = None

    def send(self, request, endless=False):
        """(status, content type, body); an endless answer is left at once. A server that closes the connection is asked
        once more: it may have closed it before."""
        for attempt in (0, 1):
            fresh = self.connection is None
            if fresh:
                self.connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=PATIENCE)
            try:
                return self.exchange(request, endless)
            except (http.client.HTTPException, ConnectionError):
                self.close()
                if fresh or attempt:
                    raise
        raise AssertionError("not reached")

    def exchange(self, request, endless):
        self.connection.putrequest(request.method, request.target)
        for name, value in request.headers.items():
            self.connection.putheader(name, value)
        if request.body is not None or request.method == "POST":
            self.connection.putheader("Content-Length", str(len(request.body or b"")))
        self.connection.endheaders(request.body)
        answer = self.connection.getresponse()
        type = answer.headers.get("Content-Type", "")
        if endless and answer.status == 200 and request.method == "GET":
            self.close()  # perhaps nothing ever comes
            return answer.status, type, b""
        body = answer.read()
        if answer.will_close:
            self.close()
        return answer.status, type, body

    def close(self):
        if self.connection:
            self.connection.close()
        self.connection = None


def detail_of(body):
    try:
        return json.loads(body).get("detail", "")
    except (ValueError, AttributeError):
        return ""


class Judge:
    """Holds answers against the description, and counts."""

    def __init__(self, description):
        self.description = description
        self.statuses = Counter()
        self.reached = Counter()
        self.sent = Counter()

    def look(self, operation, request, status, type, body):
        said = f"{status} {body[:300]!r} to {request}"
        assert status < 500 or status == 503, said
        self.statuses[status] += 1
        self.sent[operation.id] += 1
        reached = request.method == operation.method and detail_of(body) != NOT_REACHED.get(status)
        self.reached[operation.id] += reached and status not in (307, 413, 415)
        if not reached or status == 307:
            return
        answer = self.description.answer_of(operation, status)
        assert answer, f"is not described: {said}"
        described = answer.get("content", {})
        if not described:
            assert not body, f"has content that is not described: {said}"
            return
        type = type if type in described else type.split(";")[0]
        assert type in described, f"not of a type that is described: {type} {said}"
        if type == "application/json":
            complaints = self.description.complaints(described[type]["schema"], json.loads(body))
            assert not complaints, f"{complaints[:3]} {said}"


# --- the descriptions ----------------------------------------------------------------------------

@pytest.mark.parametrize("name", ["control", "results"])
def test_examples_are_as_their_schemas_say(name):
    told = description(name)
    examples = 0

    def look(part):
        nonlocal examples
        if isinstance(part, dict):
            if "schema" in part and "example" in part:
                examples += 1
                assert not told.complaints(part["schema"], part["example"]), part
            for inner in part.values():
                look(inner)
        elif isinstance(part, list):
            for inner in part:
                look(inner)

    look(told.content)
    assert examples > 20


def test_complaints_are_made():
    told = description("control")
    schema = {"$ref": "#/components/schemas/Progress"}
    good = told.content["paths"]["/api/v1/progress"]["get"]["responses"]["200"]["content"]["application/json"]["example"]
    assert told.complaints(schema, good) == []
    for spoiled in [{**good, "finished": 1}, {**good, "state": "odd"}, {**good, "last_assigned": -1}, {**good, "fates": {"lost": "1"}},
                    {k: v for k, v in good.items() if k != "scan"}, [good], None]:
        assert told.complaints(schema, spoiled), spoiled


# --- the servers ---------------------------------------------------------------------------------

class Scan:
    """A scan that goes on while its cluster is asked."""

    def __init__(self, cluster, instrument, events=200):
        cluster.configure(analysis="sum", workers=2, output="{scan}.h5")
        self.process = cluster.start_all()
        self.cluster, self.events, self.sent = cluster, events, 0
        self.det = instrument("det")
        self.id = cluster.begin({"det": one_each(events)})
        self.det.header()
        self.send(5)
        cluster.wait_for(lambda: self.tree().get("snapshot", 0) > 0, "a snapshot")

    def tree(self):
        return self.cluster.session.get(self.cluster.results_url + "/api/v1/tree", timeout=PATIENCE).json()

    def send(self, upto):
        for number in range(self.sent, min(upto, self.events)):
            send_image(self.det, number)
            self.sent += 1

    def end(self):
        self.send(self.events)
        self.det.end()
        progress = self.cluster.wait_for_end(self.id)
        assert progress["fates"]["folded"] == self.events and progress["state"] == "finished"

    def memory(self):
        return psutil.Process(self.process.pid).memory_info().rss

    def known(self):
        """What there is to be named."""
        paths = [item["path"] for item in self.tree()["items"]]
        root = self.cluster.session.get(self.cluster.results_url + "/", timeout=PATIENCE).json()["root"]
        links = self.cluster.session.get(f"{self.cluster.results_url}/groups/{root}/links", timeout=PATIENCE).json()["links"]
        groups = [root] + [link["id"] for link in links if link["collection"] == "groups"]
        sets = [link["id"] for link in links if link["collection"] == "datasets"]
        known = {"path": paths, "scan": [self.id], "snapshot": [1, 2, 3], "domain": ["/", "/" + self.id, f"/{self.id}/1"],
                 "get_link.name": [link["title"] for link in links], "name": ["NX_class", "units"], "key": ["nope", "nothing"],
                 "get_parameter.name": ["dump_prefix"], "set_parameter.name": ["nobodys", "a b"]}
        for operation in description("results").operations:
            if "{id}" in operation.path:
                known[f"{operation.id}.id"] = groups if operation.path.startswith("/groups") else sets
        return known


def test_they_serve_their_descriptions(cluster):
    cluster.configure()
    cluster.start_all()
    for url, name in [(cluster.controller_url, "control"), (cluster.results_url, "results")]:
        for path in ("/openapi.json", "/api/v1/openapi.json"):
            answer = cluster.session.get(url + path, timeout=PATIENCE)
            assert answer.headers["Content-Type"] == "application/json"
            assert Description(answer.json()).content == description(name).content


def test_every_route_answers_as_its_description_says(cluster, instrument):
    scan = Scan(cluster, instrument, events=10)
    known = scan.known()
    for name, port in [("control", cluster.http_port), ("results", cluster.results_port)]:
        told = description(name)
        judge, client, maker = Judge(told), Client(port), Maker(told, random.Random(1), known)
        for operation in told.operations:
            if operation.method == "GET":
                target = maker.description and operation.path
                for place in ("id", "name"):
                    if "{" + place + "}" in target:
                        target = target.replace("{" + place + "}", maker.known_of(operation, place)[0])
                required = [p for p in operation.parameters if p.get("required") and p["in"] == "query"]
                target += "".join(f"?{p['name']}={p['example']}" for p in required)
                status, type, body = client.send(Request("GET", target), operation.endless)
                judge.look(operation, Request("GET", target), status, type, body)
        client.close()
        assert judge.statuses[200] >= len([o for o in told.operations if o.method == "GET"]) - 3, judge.statuses
    scan.end()


def harmless(operation, request):
    """What starts a scan, changed so that it names a stream that is not there: the running one must go on."""
    try:
        body = json.loads(request.body or b"")
    except (ValueError, RecursionError):
        return request
    if not isinstance(body, dict):
        return request
    if operation.id == "post_mapping":
        body["nope"] = body.get("nope", [])
    elif operation.id == "post_sequence" and isinstance(body.get("parts"), dict) and isinstance(body.get("sequence"), list):
        body = {**body, "parts": {**body["parts"], "not_here": {"nope": [[]]}}, "sequence": ["not_here", *body["sequence"]]}
    elif operation.id == "post_sardana_hook" and isinstance(body.get("streams"), list):
        body["streams"] = ["nope" if name == "det" else name for name in body["streams"]]
    else:
        return request
    request.body = json.dumps(body).encode()
    return request


@pytest.mark.parametrize("requests", [3000, pytest.param(100_000, marks=pytest.mark.long)])
@pytest.mark.parametrize("seed", [1, pytest.param(2, marks=pytest.mark.long)])
def test_whatever_is_asked_does_no_harm(cluster, instrument, requests, seed):
    scan = Scan(cluster, instrument)
    rng = random.Random(seed)
    known = scan.known()
    servers = []
    for name, port in [("control", cluster.http_port), ("results", cluster.results_port)]:
        told = description(name)
        operations = [o for o in told.operations if o.id not in NOT_NOW]
        servers.append((Maker(told, rng, known), Judge(told), Client(port), operations))
    early = 0
    for number in range(requests):
        maker, judge, client, operations = servers[number % 2]
        operation = rng.choice(operations)
        request = harmless(operation, maker.request(operation))
        judge.look(operation, request, *client.send(request, operation.endless))
        if number == requests // 4:
            early = scan.memory()
        if number % 50 == 0:
            scan.send(scan.events * number // requests)
    growth = scan.memory() - early
    for _, judge, client, operations in servers:
        client.close()
        reached, sent = sum(judge.reached.values()), sum(judge.sent.values())
        print(f"reached {reached} of {sent}; {dict(sorted(judge.statuses.items()))}")
        assert reached >= sent / 2
        never = {o.id for o in operations if not judge.reached[o.id] and not o.id.startswith("page_")}
        assert not never, f"never got as far as {never}"
    print(f"memory: {early / 2**20:.0f} MiB after a quarter, {growth / 2**20:+.1f} MiB since")
    assert growth < MOST_GROWTH
    assert cluster.get("progress")["scan"] == scan.id, "the scan was replaced"
    scan.end()


def test_whatever_is_posted_leaves_a_system_that_works(cluster, instrument):
    """Scans begun, replaced and stopped in no order, with maps that are good, bad and odd."""
    cluster.configure(streams=["det", "aux"], analysis="sum", workers=2)
    cluster.start_all()
    told = description("control")
    rng = random.Random(7)
    maker = Maker(told, rng, {"key": ["det", "aux", "nope"], "set_parameter.name": ["rows", "columns", "nobodys"]})
    judge, client = Judge(told), Client(cluster.http_port)
    operations = [o for o in told.operations if o.method == "POST"]
    for _ in range(300):
        operation = rng.choice(operations)
        request = maker.request(operation)
        judge.look(operation, request, *client.send(request))
    client.close()
    print(dict(sorted(judge.statuses.items())))
    assert judge.statuses[200] > 50
    for name in ("rows", "columns"):
        assert cluster.ask("POST", f"parameter/{name}", data="").status_code == 200
    det = instrument("det")
    scan = cluster.begin({"det": one_each(10)})
    det.header()
    for number in range(10):
        send_image(det, number)
    det.end()
    assert cluster.wait_for_end(scan)["fates"]["folded"] == 10


def test_bytes_that_are_no_requests_do_no_harm(cluster, instrument):
    """Beginnings of requests, changed and cut, and closed at any point."""
    scan = Scan(cluster, instrument, events=20)
    rng = random.Random(3)
    whole = b"POST /api/v1/sequence HTTP/1.1\r\nHost: x\r\nContent-Length: 20\r\nTransfer-Encoding: chunked\r\n\r\n5\r\n{\"a\":\r\n"
    for number in range(300):
        text = bytearray(whole[:rng.randrange(1, len(whole))])
        for _ in range(rng.randrange(4)):
            text[rng.randrange(len(text))] = rng.randrange(256)
        with socket.create_connection(("127.0.0.1", rng.choice([cluster.http_port, cluster.results_port])), PATIENCE) as client:
            client.sendall(text)
            if number % 10 == 0:
                client.shutdown(socket.SHUT_WR)
                client.recv(4096)
    scan.end()
