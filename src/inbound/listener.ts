/** A listener: where clients connect. Two engines make one; what happens behind it is the reception's affair, whichever engine speaks. */
import type { Session } from "../events/subject.ts";

export interface ListenerOptions {
  readonly name: string;
  readonly address: string;
  /** 0 picks a free one. */
  readonly port: number;
  readonly role: Session["role"];
  /** Our own name, said in the greeting and in Received fields. */
  readonly hostname: string;
  /** PEM texts; without them STARTTLS is not offered. */
  readonly tls?: { readonly cert: Buffer; readonly key: Buffer };
  readonly limits: ListenerLimits;
  readonly lineEnds: "refuse" | "normalize";
}

export interface ListenerLimits {
  readonly sizeOctetsMax: number;
  readonly recipientsMax: number;
  readonly connectionsMax: number;
  readonly connectionsPerClientMax: number;
  readonly idleTimeoutMs: number;
}

export interface Listener {
  readonly name: string;
  readonly address: string;
  readonly port: number;
  readonly sessions: number;
  /** Takes no new connection; lets transactions in hand finish until `deadlineMs` has passed, then closes with 421. */
  close(deadlineMs: number): Promise<void>;
}
