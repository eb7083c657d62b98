/** Options of a listener as the configuration's defaults have them, for tests and benchmarks that need one. */
import type { ListenerLimits, ListenerOptions } from "../../src/inbound/listener.ts";

const nobody = () => false;

export const listenerLimits: ListenerLimits = {
  sizeOctetsMax: 1_000_000,
  recipientsMax: 100,
  connectionsMax: 100,
  connectionsPerClientMax: 100,
  idleTimeoutMs: 300_000,
  dataTimeoutMs: 180_000,
  dataOctetsPerSecondMin: 100,
  handshakeTimeoutMs: 30_000,
  decisionTimeoutMs: 540_000,
  errorsMax: 20,
  idleCommandsMax: 100,
};

export function listenerOptions(changes: Partial<ListenerOptions> = {}): ListenerOptions {
  return {
    name: "mx",
    address: "127.0.0.1",
    port: 0,
    role: "mx",
    hostname: "mx.example.test",
    lineEnds: "refuse",
    binaryMime: false,
    auth: { mechanisms: ["PLAIN", "LOGIN"], inClear: false },
    trusted: { proxy: nobody, xclient: nobody, xforward: nobody, results: nobody },
    limits: listenerLimits,
    ...changes,
  };
}
