import ChildProcess
import Foundation
import Testing

/// TLS and SASL in front of librdkafka's mock cluster, which has neither: a small program in Python that ends TLS, asks who
/// is there, and has the cluster's brokers called by the door's own port, as it reads their answers.
struct KafkaDoor {
    struct Options {
        /// `SCRAM-SHA-256`, `PLAIN`; nil: nobody is asked.
        var mechanism: String?
        var user = ""
        var password = ""
        /// The certificate that it shows, of the folder's.
        var certificate = "server"
        /// Its clients' authority; nil: none need show a certificate.
        var clientAuthority: String?
        /// 0: any that is free.
        var port = 0
    }

    let port: Int
    private let process: ChildProcess
    private let log: URL

    init(_ bootstrap: String, _ certificates: Certificates, _ options: Options = Options()) async throws {
        let log = certificates.folder.appending(path: "door-\(UUID().uuidString)")
        try Data().write(to: log)
        self.log = log
        let process = try ChildProcess(
            ["python3", "-u", "-c", Self.program],
            environment: [
                "DOOR_BROKER": bootstrap, "DOOR_CERTIFICATE": certificates.path("\(options.certificate).crt"),
                "DOOR_KEY": certificates.path("\(options.certificate).key"),
                "DOOR_CLIENTS": options.clientAuthority.map { certificates.path($0) } ?? "",
                "DOOR_MECHANISM": options.mechanism ?? "", "DOOR_USER": options.user,
                "DOOR_PASSWORD": options.password, "DOOR_PORT": "\(options.port)",
            ], output: ChildProcess.Output(file: log, errors: log))
        self.process = process
        var port: Int?
        try await until("the door is open", within: .seconds(20)) {
            let text = try String(contentsOf: log, encoding: .utf8)
            port = text.firstMatch(of: /port ([0-9]+)/).flatMap { Int($0.output.1) }
            if !process.isRunning { throw Waited(what: text) }
            return port != nil
        }
        self.port = port ?? 0
    }

    /// What came to the door, a line each: `tls`, `refused …`, `in`.
    func told() -> [String] {
        ((try? String(contentsOf: log, encoding: .utf8)) ?? "").split(separator: "\n").map(String.init)
    }

    func close() async {
        process.signal(SIGKILL)
        _ = await process.wait()
    }

    private static let program = #"""
        import base64, hashlib, hmac, os, select, socket, ssl, struct, threading

        host, port = os.environ["DOOR_BROKER"].split(":")
        mechanism = os.environ["DOOR_MECHANISM"].encode()
        user, password = os.environ["DOOR_USER"].encode(), os.environ["DOOR_PASSWORD"].encode()
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(os.environ["DOOR_CERTIFICATE"], os.environ["DOOR_KEY"])
        if os.environ["DOOR_CLIENTS"]:
            context.verify_mode = ssl.CERT_REQUIRED
            context.load_verify_locations(os.environ["DOOR_CLIENTS"])
        listener = socket.create_server(("127.0.0.1", int(os.environ["DOOR_PORT"])), backlog=64)
        own = listener.getsockname()[1]
        say = lambda text: os.write(1, (text + "\n").encode())

        def exactly(connection, count):
            data = b""
            while len(data) < count:
                piece = connection.recv(count - len(data))
                if not piece: raise EOFError
                data += piece
            return data

        def frame(connection):
            return exactly(connection, struct.unpack(">i", exactly(connection, 4))[0])

        def send(connection, body):
            connection.sendall(struct.pack(">i", len(body)) + body)

        def answer(broker, client, versions):
            "One of a broker, in which it is called by our port, and knows SASL."
            body = frame(broker)
            body = body.replace(host.encode() + struct.pack(">i", int(port)), host.encode() + struct.pack(">i", own))
            # The mock cluster knows version 0 of it, and says so where another is asked for.
            if body[:4] in versions and body[4:6] == b"\0\0":
                count = struct.unpack(">i", body[6:10])[0]
                added = struct.pack(">hhh", 17, 0, 1) + struct.pack(">hhh", 36, 0, 0)
                body = body[:6] + struct.pack(">i", count + 2) + body[10:] + added
            send(client, body)

        def scram(first):
            "The server's half of SCRAM: a generator of answers, which ends where it is satisfied."
            digest = mechanism.split(b"-")[-1].decode()
            digest = {"256": "sha256", "512": "sha512"}[digest]
            bare = first.split(b",", 2)[2]
            fields = dict(part.split(b"=", 1) for part in bare.split(b","))
            if fields[b"n"] != user: raise PermissionError("another user")
            salt, nonce = os.urandom(16), fields[b"r"] + b"door"
            reply = b"r=%s,s=%s,i=4096" % (nonce, base64.b64encode(salt))
            final = yield reply
            without, proof = final.rsplit(b",p=", 1)
            salted = hashlib.pbkdf2_hmac(digest, password, salt, 4096)
            key = hmac.new(salted, b"Client Key", digest).digest()
            said = bare + b"," + reply + b"," + without
            signature = hmac.new(hashlib.new(digest, key).digest(), said, digest).digest()
            if bytes(a ^ b for a, b in zip(key, signature)) != base64.b64decode(proof): raise PermissionError("another password")
            server = hmac.new(salted, b"Server Key", digest).digest()
            yield b"v=" + base64.b64encode(hmac.new(server, said, digest).digest())

        def serve(raw):
            try:
                raw.settimeout(30)
                client = context.wrap_socket(raw, server_side=True)
                client.settimeout(None)
            except (OSError, ssl.SSLError) as error:
                say("refused " + str(error))
                return raw.close()
            say("tls")
            broker = socket.create_connection((host, int(port)))
            versions, isKnown, exchange = set(), not mechanism, None
            try:
                while True:
                    # By one thread: two at a time break what is encrypted.
                    ready = [client] if client.pending() else select.select([client, broker], [], [])[0]
                    if broker in ready: answer(broker, client, versions)
                    if client not in ready: continue
                    body = frame(client)
                    kind, version, correlation = struct.unpack(">hh4s", body[:8])
                    if kind == 18 and mechanism: versions.add(correlation)
                    if kind not in (17, 36):
                        if not isKnown and kind != 18: raise PermissionError("nobody said who it is")
                        send(broker, body)
                        continue
                    rest = body[10 + max(0, struct.unpack(">h", body[8:10])[0]):]
                    if kind == 17:
                        name = rest[2:]
                        say("mechanism " + name.decode())
                        refused = 0 if name == mechanism else 33
                        send(client, correlation + struct.pack(">hih", refused, 1, len(mechanism)) + mechanism)
                        continue
                    token = rest[4:]
                    code, words, reply = 0, b"", b""
                    try:
                        if mechanism == b"PLAIN":
                            if token != b"\0" + user + b"\0" + password: raise PermissionError("another password")
                            isKnown = True
                        elif exchange is None:
                            exchange = scram(token)
                            reply = next(exchange)
                        else:
                            reply = exchange.send(token)
                            isKnown = True
                    except PermissionError as error:
                        say("refused " + str(error))
                        code, words = 58, b"Authentication failed"
                    if isKnown: say("in")
                    send(client, correlation + struct.pack(">hh", code, len(words)) + words + struct.pack(">i", len(reply)) + reply)
            except PermissionError as error:
                say("refused " + str(error))
            except (EOFError, OSError, ssl.SSLError):
                pass
            finally:
                for end in (broker, client):
                    try: end.shutdown(socket.SHUT_RDWR)
                    except OSError: pass

        say("port %d" % own)
        while True:
            connection, _ = listener.accept()
            threading.Thread(target=serve, args=(connection,), daemon=True).start()
        """#
}
