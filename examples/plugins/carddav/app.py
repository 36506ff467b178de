"""All calendars and address books of a CalDAV and CardDAV server (RFC 4791, RFC 6352), each object an entry of its own, and
back again. What has the ETag that it had is not read again. The connections are the host's."""

import base64
import json
import xml.etree.ElementTree as xml
from urllib.parse import unquote, urljoin, urlsplit

from componentize_py_types import Err
from wit_world import exports
from wit_world.imports import http, snapshot, source_types, stored, types

SCHEMA = {
    "type": "object",
    "additionalProperties": False,
    "required": ["url", "user", "password"],
    "properties": {
        "url": {"type": "string", "description": "The collection to start from, such as `https://dav.example/alice/`."},
        "user": {"type": "string", "description": "Who to be."},
        "password": {"type": "string", "writeOnly": True, "description": "That user's password."},
    },
}
PROPFIND = b'<propfind xmlns="DAV:"><prop><resourcetype/><getetag/></prop></propfind>'


class Server:
    def __init__(self, config):
        try:
            config = json.loads(config)
            self.url, user, password = (config[key] for key in ("url", "user", "password"))
            if not all(isinstance(text, str) for text in (self.url, user, password)):
                raise TypeError("they are texts")
        except (ValueError, KeyError, TypeError) as error:
            raise Err(types.Error_Invalid(f"`url`, `user` and `password` are needed: {error!r}")) from None
        token = base64.b64encode(f"{user}:{password}".encode()).decode()
        self.headers = {"authorization": f"Basic {token}"}

    def ask(self, method, url, headers={}, body=http.Body_None_()):
        headers = [http.Header(name, value.encode()) for name, value in {**self.headers, **headers}.items()]
        answer = http.send(http.Request(method, url, headers, body))
        if 200 <= answer.status < 300:
            return answer.body
        kind = {401: types.Error_Denied, 403: types.Error_Denied}.get(answer.status, types.Error_Invalid)
        if answer.status in (408, 429) or answer.status >= 500:
            kind = types.Error_Unavailable
        raise Err(kind(f"{method} {urlsplit(url).path}: the server answered {answer.status}"))

    def objects(self, url):
        """URL and ETag of every object below a collection."""
        body = self.ask("PROPFIND", url, {"depth": "1"}, http.Body_Bytes(PROPFIND))
        answers = xml.fromstring(read(body)).findall("{DAV:}response")
        if not answers:
            raise Err(types.Error_Corrupt(f"the server lists nothing of {url}, not even itself"))
        for answer in answers:
            below = urljoin(url, answer.findtext("{DAV:}href"))
            if below.rstrip("/") == url.rstrip("/"):
                continue
            if answer.find(".//{DAV:}collection") is not None:
                yield from self.objects(below)
            else:
                yield below, answer.findtext(".//{DAV:}getetag")


def read(content):
    """All of a content that is small: what a server lists."""
    pieces = iter(lambda: content.read(1 << 20), b"")
    return b"".join(pieces)


def escape(name):
    """A name as paths have it (`types.entry`)."""
    name = "".join(f"%{ord(c):02X}" if c in "%/\x7f" or c < " " else c for c in name)
    return name.replace(".", "%2E") if name in (".", "..") else name


def path_of(url, root):
    """The entry of an object: its place below the collection to start from."""
    names = urlsplit(url).path.removeprefix(urlsplit(root).path).strip("/").split("/")
    return "/".join(escape(unquote(name)) for name in names)


class Source(exports.Source):
    def describe(self):
        summary = "calendars and address books of a CalDAV and CardDAV server"
        return types.Description("carddav", "0.1.0", summary, json.dumps(SCHEMA))

    def requires(self, config):
        url = urlsplit(Server(config).url)
        port = url.port or (443 if url.scheme == "https" else 80)
        return types.Needs([f"{url.hostname}:{port}"], [], [], [], [])

    async def check(self, config):
        server = Server(config)
        return [("objects", str(sum(1 for _ in server.objects(server.url))))]

    async def backup(self, request):
        server = Server(request.config)
        snapshot.identify(server.url)
        for url, etag in server.objects(server.url):
            path = path_of(url, server.url)
            before = snapshot.previous(path)
            if etag and before and before.version == etag and request.scope == source_types.Scope.INCREMENTAL:
                snapshot.keep(path)
                continue
            entry = types.Entry(path, types.Kind_File(), None, None, etag, None, [("href", urlsplit(url).path)])
            writer = snapshot.Writer(entry, types.Chunking_Content())
            snapshot.Writer.finish(writer, writer.append_content(server.ask("GET", url)))

    async def committed(self, config, attributes):
        pass

    async def abandoned(self, config):
        pass

    async def scratch(self, config, directory):
        return None

    async def covers(self, attributes, at):
        if isinstance(at, source_types.Moment_Latest):
            return None
        raise Err(types.Error_Unsupported("a snapshot of it has one moment only"))

    async def restore(self, request):
        if not isinstance(request.target, source_types.Target_Service):
            raise Err(types.Error_Unsupported("it restores to a server: name a target, `[job.NAME.target.NAME]`"))
        server, after = Server(request.target.value), None
        while page := stored.entries("", after, 1000):
            for entry in page:
                # Many servers take no body of unknown length.
                length = {"content-length": str(entry.size)}
                url = urljoin(server.url, dict(entry.attributes)["href"])
                server.ask("PUT", url, length, http.Body_Content(stored.read(entry.path, 0)))
            after = page[-1].path

    async def probe(self, config, question):
        raise Err(types.Error_Unsupported("it answers no questions"))
