#!/usr/bin/env python3
"""One signed request to an S3 server, by the standard library alone: s3.py URL METHOD PATH QUERY [NAME=VALUE] < BODY
KEY and SECRET are taken from the environment. Prints the answer; ends with 1 if it is no success."""
import datetime, hashlib, hmac, os, sys, urllib.error, urllib.parse, urllib.request

# A header that is named begins with x-amz-, because those must be signed.
endpoint, method, path, query = sys.argv[1:5]
body = sys.stdin.buffer.read()
now = datetime.datetime.now(datetime.timezone.utc).strftime("%Y%m%dT%H%M%SZ")
digest = hashlib.sha256(body).hexdigest()
headers = {"host": urllib.parse.urlsplit(endpoint).netloc, "x-amz-content-sha256": digest, "x-amz-date": now}
headers.update(header.split("=", 1) for header in sys.argv[5:])
names = ";".join(sorted(headers))
scope = f"{now[:8]}/us-east-1/s3/aws4_request"
lines = [method, path, query, *(f"{name}:{headers[name]}" for name in sorted(headers)), "", names, digest]
canonical = hashlib.sha256("\n".join(lines).encode()).hexdigest()
key = ("AWS4" + os.environ["SECRET"]).encode()
for part in scope.split("/"):
    key = hmac.new(key, part.encode(), hashlib.sha256).digest()
signature = hmac.new(key, f"AWS4-HMAC-SHA256\n{now}\n{scope}\n{canonical}".encode(), hashlib.sha256).hexdigest()
credential = f"Credential={os.environ['KEY']}/{scope}"
headers["Authorization"] = f"AWS4-HMAC-SHA256 {credential}, SignedHeaders={names}, Signature={signature}"
request = urllib.request.Request(f"{endpoint}{path}?{query}", data=body, headers=headers, method=method)
try:
    with urllib.request.urlopen(request, timeout=30) as answer:
        print(answer.read().decode())
except urllib.error.HTTPError as error:
    sys.exit(f"{error}: {error.read().decode(errors='replace')}")
