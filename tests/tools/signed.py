#!/usr/bin/env python3
"""Whether a request bears the signature that it should, worked out anew by the standard library: signed.py METHOD PATH QUERY
with the secret in SECRET and the headers as lines `name: value` on standard input. Ends with 1 and says why if not."""
import hashlib, hmac, os, re, sys

method, path, query = sys.argv[1:4]
headers = dict(line.rstrip("\n").split(": ", 1) for line in sys.stdin if ": " in line)
said = headers["authorization"]
credential, names, signature = re.fullmatch(
    r"AWS4-HMAC-SHA256 Credential=([^,]+), SignedHeaders=([^,]+), Signature=([0-9a-f]{64})", said
).groups()
scope = credential.split("/", 1)[1]
for name in ("host", "x-amz-date", "x-amz-content-sha256"):
    if name not in names.split(";"):
        sys.exit(f"{name} is not signed")
# A part of the query without a value is signed with an empty one.
parts = sorted(part if "=" in part else part + "=" for part in query.split("&") if part)
lines = [method, path, "&".join(parts), *(f"{name}:{headers[name].strip()}" for name in names.split(";")), "", names]
canonical = hashlib.sha256("\n".join([*lines, headers["x-amz-content-sha256"]]).encode()).hexdigest()
key = ("AWS4" + os.environ["SECRET"]).encode()
for part in scope.split("/"):
    key = hmac.new(key, part.encode(), hashlib.sha256).digest()
text = f"AWS4-HMAC-SHA256\n{headers['x-amz-date']}\n{scope}\n{canonical}"
expected = hmac.new(key, text.encode(), hashlib.sha256).hexdigest()
if expected != signature:
    sys.exit(f"signed {signature}, not {expected}")
