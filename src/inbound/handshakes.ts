/** TLS handshakes of a listener: the certificate for the name a client asks for, and what the handshake tells of the client. RFC 8446, RFC 6066 §3. */
import { X509Certificate } from "node:crypto";
import type { Socket } from "node:net";
import { createSecureContext, createServer, type SecureContext, type Server, type TLSSocket } from "node:tls";
import type { PeerCertificateFacts, TlsFacts } from "../events/subject.ts";
import { describeThrown, Fault } from "../platform/fault.ts";
import type { Certificate, CertificateSet, ListenerTls } from "./listener.ts";

type Settled = (socket: TLSSocket) => void;

export class Handshakes {
  readonly #server: Server;
  #contexts: CertificateNames;
  /** Who waits for a handshake, by the addresses and ports of both ends: Node does not say which socket a secured one was made of. */
  readonly #waiting = new Map<string, Settled>();

  /** @throws {Fault} `config.unreadable` where a certificate cannot be used */
  constructor({ cert, key, more, askCertificate, renewals }: ListenerTls, timeoutMs: number) {
    this.#contexts = new CertificateNames([{ cert, key }, ...more]);
    this.#server = createServer({
      cert,
      key,
      minVersion: "TLSv1.2",
      requestCert: askCertificate,
      // Shown to sinks, which decide what it is worth.
      rejectUnauthorized: false,
      handshakeTimeout: timeoutMs,
      SNICallback: (name, done) => done(null, this.#contexts.find(name)),
    });
    this.#server.on("secureConnection", (socket) => {
      const waiting = this.#take(socket);
      socket.allowHalfOpen = true;
      if (waiting) waiting(socket);
      else socket.destroy();
    });
    renewals?.onRenewed((next) => this.#renew(next));
  }

  /** Shakes hands on a socket whose octets nobody reads; what was read too far is put back with `unshift`. Never calls back where it is closed first. */
  begin(socket: Socket, done: Settled): void {
    const key = keyOf(socket);
    this.#waiting.set(key, done);
    socket.once("close", () => {
      if (this.#waiting.get(key) === done) this.#waiting.delete(key);
    });
    // Who ends its side in the middle of a handshake wants none.
    socket.allowHalfOpen = false;
    this.#server.emit("connection", socket);
  }

  /** Called with what a handshake that failed says; the socket is closed by then, or about to be. */
  onFailure(failed: (error: Error) => void): void {
    this.#server.on("tlsClientError", failed);
  }

  /** From now on these; a session that is there keeps what it has. The set was tried before it came here. */
  #renew({ cert, key, more }: CertificateSet): void {
    this.#contexts = new CertificateNames([{ cert, key }, ...more]);
    this.#server.setSecureContext({ cert, key, minVersion: "TLSv1.2" });
  }

  #take(socket: Socket): Settled | undefined {
    const key = keyOf(socket);
    const waiting = this.#waiting.get(key);
    this.#waiting.delete(key);
    return waiting;
  }
}

function keyOf({ remoteAddress, remotePort, localAddress, localPort }: Socket): string {
  return `${remoteAddress} ${remotePort} ${localAddress} ${localPort}`;
}

/** What a handshake told. */
export function tlsFactsOf(socket: TLSSocket): TlsFacts {
  const { servername } = socket as { readonly servername?: string | false };
  return {
    version: socket.getProtocol() ?? "TLS",
    cipher: socket.getCipher().name,
    serverName: servername || null,
    certificate: certificateFactsOf(socket),
  };
}

function certificateFactsOf(socket: TLSSocket): PeerCertificateFacts | null {
  const certificate = socket.getPeerX509Certificate();
  if (!certificate) return null;
  const commonName = /^CN=(.*)$/m.exec(certificate.subject)?.[1];
  return {
    subject: commonName ?? namesOf(certificate)[0] ?? "",
    fingerprint: certificate.fingerprint256,
    verified: socket.authorized,
  };
}

/** Certificates by the names in them. */
class CertificateNames {
  readonly #contexts = new Map<string, SecureContext>();

  /** Of two certificates with one name the first is used. @throws {Fault} `config.unreadable` */
  constructor(certificates: readonly Certificate[]) {
    for (const certificate of certificates) {
      const context = createContext(certificate);
      for (const name of namesOf(new X509Certificate(certificate.cert))) {
        if (!this.#contexts.has(name)) this.#contexts.set(name, context);
      }
    }
  }

  /** Undefined: the listener's own certificate. A wildcard stands for one label. RFC 6125 §6.4.3. */
  find(serverName: string): SecureContext | undefined {
    const name = serverName.toLowerCase();
    return this.#contexts.get(name) ?? this.#contexts.get(`*${name.slice(Math.max(0, name.indexOf(".")))}`);
  }
}

/** @throws {Fault} `config.unreadable` */
function createContext({ cert, key }: Certificate): SecureContext {
  try {
    return createSecureContext({ cert, key, minVersion: "TLSv1.2" });
  } catch (error) {
    throw new Fault("config.unreadable", `Cannot use a certificate: ${describeThrown(error)}`, { cause: error });
  }
}

/** DNS names of a certificate, in lower case. RFC 5280 §4.2.1.6. */
function namesOf({ subjectAltName }: X509Certificate): string[] {
  return [...(subjectAltName ?? "").matchAll(/(?:^|, )DNS:([^",\s]+)/g)].map(([, name]) => name!.toLowerCase());
}
