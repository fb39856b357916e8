"""Who is let in: certificates between processes, tokens and HTTPS for REST, CURVE for streams."""

import os
import socket
import subprocess

import pytest
import requests
import zmq

from cluster import wait_until


class Authority:
    """A certificate authority, and the nodes that it signs for."""

    def __init__(self, folder, name):
        self.folder = folder / name
        self.folder.mkdir()
        self.certificate = self.folder / "ca.pem"
        self.key = self.folder / "ca.key"
        self.openssl("req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2",
                     "-subj", f"/CN={name}", "-addext", "keyUsage=critical,keyCertSign,cRLSign",
                     "-keyout", self.key, "-out", self.certificate)

    @staticmethod
    def openssl(*arguments):
        subprocess.run(["openssl", *map(str, arguments)], check=True, capture_output=True)

    def node(self, name="node", days=2):
        """What `[cluster] tls` takes."""
        key, request, certificate = (self.folder / f"{name}.{kind}" for kind in ("key", "csr", "pem"))
        extensions = self.folder / f"{name}.ext"
        extensions.write_text("subjectAltName = IP:127.0.0.1, DNS:localhost\n"
                              "extendedKeyUsage = serverAuth, clientAuth\n")
        self.openssl("req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-subj", f"/CN={name}",
                     "-keyout", key, "-out", request)
        self.openssl("x509", "-req", "-in", request, "-CA", self.certificate, "-CAkey", self.key, "-CAcreateserial",
                     "-days", days, "-extfile", extensions, "-out", certificate)
        os.chmod(key, 0o600)
        return {"certificate": str(certificate), "key": str(key), "authority": str(self.certificate)}


@pytest.fixture
def authority(tmp_path):
    return Authority(tmp_path, "site")


def start_scan(cluster, frames=200):
    cluster.simulate()
    progress = cluster.wait_for_end()
    assert progress["fates"]["folded"] + progress["fates"]["empty"] == frames + 2
    return progress


def config_with(cluster, tls, name):
    """The same site, seen with other certificates."""
    old = cluster.config.read_text()
    path = cluster.folder / name
    path.write_text("".join(line + "\n" for line in old.splitlines() if not line.startswith("tls =")).replace(
        "[cluster]\n", "[cluster]\n" + (f"tls = {tls}\n" if tls else ""), 1))
    return path


def inline(tls):
    return "{ " + ", ".join(f'{key} = "{path}"' for key, path in tls.items()) + " }"


# -- between nodes --------------------------------------------------------------------------------


@pytest.mark.usefixtures("frames_go")
def test_a_scan_goes_through_tls(cluster, authority):
    cluster.configure(cluster={"tls": authority.node()}, simulate=[{"stream": "det", "frames": 200, "shape": [8, 8]}])
    cluster.start_parts()
    start_scan(cluster)
    # What anybody can connect to speaks TLS and nothing else.
    with socket.create_connection(("127.0.0.1", cluster.join_port)) as plain:
        plain.sendall(b"GET / HTTP/1.0\r\n\r\n")
        assert b"CAF" not in plain.recv(100)


@pytest.mark.parametrize("who", ["without a certificate", "of another authority"])
def test_a_stranger_is_refused_and_nothing_changes(cluster, authority, tmp_path, who):
    cluster.configure(cluster={"tls": authority.node()}, simulate=[{"stream": "det", "frames": 200, "shape": [8, 8]}])
    parts = cluster.start_parts(worker_processes=1)
    tls = "" if who == "without a certificate" else inline(Authority(tmp_path, "elsewhere").node())
    stranger = cluster.start("worker", name="stranger", config=config_with(cluster, tls, "stranger.toml"))
    wait_until(lambda: "refused" in parts["controller"].log or "handshake" in parts["controller"].log
               or "TLS" in parts["controller"].log, "a line about the stranger")
    config = cluster.get("config")
    assert {w["process"].rsplit("-", 1)[1] for w in config["workers"]} == {str(parts["worker0"].pid)}
    start_scan(cluster)
    assert "joined" not in stranger.log.replace("joining", "")


def test_beyond_the_loopback_somebody_must_be_asked_for_proof(cluster):
    cluster.configure()
    process = cluster.start("worker", "--listen", "0.0.0.0:0")
    assert process.wait() == 1
    assert "tls" in process.log and "insecure" in process.log
    process = cluster.start("controller", "--http", f"0.0.0.0:{cluster.http_port}")
    assert process.wait() == 1
    assert "tokens" in process.log


def test_a_key_that_others_may_read_is_refused(cluster, authority):
    tls = authority.node()
    os.chmod(tls["key"], 0o644)
    cluster.configure(cluster={"tls": tls})
    process = cluster.start("controller")
    assert process.wait() == 1
    assert tls["key"] in process.log


# -- REST -----------------------------------------------------------------------------------------

SECRETS = {scope: f"the secret of scope {scope}".replace(" ", "-") for scope in ("view", "tune", "control")}


def write_tokens(folder):
    path = folder / "tokens.toml"
    path.write_text("".join(f'[[token]]\nname = "{s}"\nscope = "{s}"\nsecret = "{secret}"\n'
                            for s, secret in SECRETS.items()))
    os.chmod(path, 0o600)
    return path


def test_a_token_opens_its_scope_and_no_more(cluster, tmp_path):
    cluster.configure(http={"tokens": str(write_tokens(tmp_path))})
    controller = cluster.start("controller")
    url = cluster.controller_url + "/api/v1/"

    def ask(method, path, secret=None, **more):
        headers = {"Authorization": f"Bearer {secret}"} if secret else {}
        return requests.request(method, url + path, headers=headers, timeout=10, **more)

    def reachable():
        try:
            return ask("GET", "progress").status_code == 401
        except requests.ConnectionError:
            return False

    wait_until(reachable, "the controller to answer")
    assert ask("GET", "progress", "not a secret of anybody").status_code == 401
    assert ask("GET", "progress", SECRETS["view"]).json()["state"] == "idle"
    map_ = {"parts": {"main": {"det": [[{"constraint": 1}]]}}, "sequence": ["main"]}
    for secret in (None, "wrong" * 5):
        assert ask("POST", "sequence", secret, json=map_).status_code == 401
    for scope in ("view", "tune"):
        answer = ask("POST", "sequence", SECRETS[scope], json=map_)
        assert answer.status_code == 403 and "control" in answer.text
        assert ask("POST", "stop", SECRETS[scope]).status_code == 403
    # With the right one it is the scan itself that is refused, as nobody is there.
    assert ask("POST", "sequence", SECRETS["control"], json=map_).status_code not in (401, 403, 200)
    assert ask("GET", "progress", SECRETS["control"]).json()["state"] == "idle"
    assert "403" in controller.log or "scope" in controller.log
    for secret in SECRETS.values():
        assert secret not in controller.log


def test_rest_over_tls(cluster, authority):
    node = authority.node("http")
    cluster.configure(http={"certificate": node["certificate"], "key": node["key"]})
    cluster.start("controller")
    url = f"https://127.0.0.1:{cluster.http_port}/api/v1/progress"

    def answer():
        try:
            return requests.get(url, verify=node["authority"], timeout=5)
        except requests.exceptions.SSLError:
            raise
        except requests.ConnectionError:
            return None

    assert wait_until(answer, "an answer").json()["state"] == "idle"
    with pytest.raises(requests.ConnectionError):
        requests.get(url.replace("https", "http"), timeout=5)
    with pytest.raises(requests.exceptions.SSLError):
        requests.get(url, timeout=5)


# -- streams --------------------------------------------------------------------------------------


@pytest.mark.parametrize("known", [True, False], ids=["known", "unknown"])
def test_an_instrument_shows_its_key(cluster, tmp_path, known):
    if not zmq.has("curve"):
        pytest.skip("this libzmq has no CURVE")
    server_public, server_secret = (k.decode() for k in zmq.curve_keypair())
    public, secret = (k.decode() for k in zmq.curve_keypair())
    other, _ = (k.decode() for k in zmq.curve_keypair())
    keys = tmp_path / "keys.toml"
    keys.write_text(f'public = "{public}"\nsecret = "{secret}"\nserver_public = "{server_public if known else other}"\n')
    os.chmod(keys, 0o600)
    cluster.configure(of_stream={"det": {"curve": str(keys)}})
    cluster.start_all()
    context = zmq.Context()
    try:
        sender = context.socket(zmq.PUSH)
        sender.linger = 0
        sender.curve_server = True
        sender.curve_publickey, sender.curve_secretkey = server_public.encode(), server_secret.encode()
        sender.bind(cluster.url("det"))
        if known:
            wait_until(lambda: cluster.stream_status()["connected"], "the stream to connect")
        else:
            wait_until(lambda: "error" in cluster.stream_status(), "the stream to say why it cannot read")
            assert not cluster.stream_status()["connected"]
    finally:
        context.destroy(linger=0)
