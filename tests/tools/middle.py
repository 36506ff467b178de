"""Somebody between a client and a PostgreSQL server, who speaks TLS to both.
    middle.py PORT ACT CERTIFICATE KEY FILE      writes the port to connect to into FILE
ACT `strip` takes the offer of channel binding out of what the server says; any other passes everything on."""
import os, socket, ssl, struct, sys, threading

port, act, certificate, key, told = int(sys.argv[1]), *sys.argv[2:6]
SSL_REQUEST = struct.pack("!ii", 8, 80877103)
ours = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
ours.load_cert_chain(certificate, key)
theirs = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
theirs.check_hostname, theirs.verify_mode = False, ssl.CERT_NONE


def exactly(stream, length):
    found = b""
    while len(found) < length:
        piece = stream.recv(length - len(found))
        if not piece:
            raise EOFError
        found += piece
    return found


def carry(source, to):
    try:
        while piece := source.recv(65536):
            to.sendall(piece)
    except OSError:
        pass
    for end in (source, to):
        try:
            end.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass


def serve(client):
    server = socket.create_connection(("127.0.0.1", port))
    if exactly(client, 8) != SSL_REQUEST:
        return
    client.sendall(b"S")
    client = ours.wrap_socket(client, server_side=True)
    server.sendall(SSL_REQUEST)
    if exactly(server, 1) != b"S":
        return
    server = theirs.wrap_socket(server)
    if act == "strip":
        # The start, then the offer: two mechanisms, of which one is left.
        length = exactly(client, 4)
        server.sendall(length + exactly(client, struct.unpack("!i", length)[0] - 4))
        tag, length = struct.unpack("!ci", exactly(server, 5))
        body = exactly(server, length - 4)
        assert tag == b"R" and b"SCRAM-SHA-256-PLUS\0" in body, (tag, body)
        body = body.replace(b"SCRAM-SHA-256-PLUS\0", b"")
        client.sendall(struct.pack("!ci", tag, len(body) + 4) + body)
    # Each direction by itself: reading and writing one TLS connection at once is fine, two readers are not.
    threading.Thread(target=carry, args=(client, server), daemon=True).start()
    carry(server, client)


listener = socket.create_server(("127.0.0.1", 0))
with open(told + ".new", "w") as file:
    file.write(str(listener.getsockname()[1]))
os.rename(told + ".new", told)
while True:
    connection, _ = listener.accept()
    threading.Thread(target=serve, args=(connection,), daemon=True).start()
