/**
 * What scripts are granted: what a version asks for against what the configuration allows at all, and against what somebody has approved. Pure; who
 * approved what is in approvals.ts, and each call of a run is checked in calls.ts.
 */
import type { Grants } from "../../sandbox/protocol.ts";
import { Fault } from "../platform/fault.ts";
import { coversOrigin } from "./origins.ts";

/** `[scripts.grants]`: what may be granted at all. */
export interface GrantLimits {
  /** Whether somebody has to approve what a version asks for, or the configuration is word enough. */
  readonly approval: "required" | "ceiling";
  readonly http: readonly string[];
  readonly dns: boolean;
  readonly kv: boolean;
  readonly submitMax: number;
  /** Nothing: to anybody. */
  readonly submitTo: readonly string[];
  readonly secrets: readonly string[];
}

/** Whether a domain is ours: mail to it needs no grant of its own. */
export type IsLocal = (domain: string) => boolean;

/** @throws {Fault} `grant.ceiling`, which says what would have to stand in the configuration */
export function checkCeiling(script: string, asked: Grants, limits: GrantLimits, isLocal: IsLocal): void {
  const missing: string[] = [];
  const http = (asked.http ?? []).filter((origin) => !limits.http.some((allowed) => coversOrigin(allowed, origin)));
  if (http.length > 0) missing.push(`http = ${JSON.stringify([...limits.http, ...http])}`);
  if (asked.dns && !limits.dns) missing.push("dns = true");
  if (asked.kv && !limits.kv) missing.push("kv = true");
  if (asked.submit && asked.submit.max > limits.submitMax) missing.push(`submit = ${asked.submit.max}`);
  if (asked.submit && limits.submitTo.length > 0) {
    if (asked.submit.to === null) missing.push("submit_to = []");
    else {
      const to = beyond(asked.submit.to, limits.submitTo, isLocal);
      if (to.length > 0) missing.push(`submit_to = ${JSON.stringify([...limits.submitTo, ...to])}`);
    }
  }
  const secrets = (asked.secrets ?? []).filter((name) => !limits.secrets.includes(name));
  if (secrets.length > 0) missing.push(`secrets = ${JSON.stringify([...limits.secrets, ...secrets])}`);
  if (missing.length === 0) return;
  throw new Fault(
    "grant.ceiling",
    `${script} asks for more than the configuration allows; where it shall have that, onarrival.toml needs in [scripts.grants]: ${missing.join("; ")}`,
  );
}

/** What is asked for and not among `approved`, in the same form; empty where nothing is. Mail to ourselves needs no approval. */
export function grantsBeyond(asked: Grants, approved: Grants, isLocal: IsLocal): Grants {
  const http = (asked.http ?? []).filter((origin) => !approved.http?.some((allowed) => coversOrigin(allowed, origin)));
  const secrets = (asked.secrets ?? []).filter((name) => !approved.secrets?.includes(name));
  const submit = submitBeyond(asked.submit, approved.submit, isLocal);
  return {
    ...(http.length > 0 && { http }),
    ...(asked.dns && !approved.dns && { dns: true }),
    ...(asked.kv && !approved.kv && { kv: true }),
    ...(submit && { submit }),
    ...(secrets.length > 0 && { secrets }),
  };
}

/** All that one of the two has. */
export function joinGrants(one: Grants, other: Grants): Grants {
  const http = [...new Set([...(one.http ?? []), ...(other.http ?? [])])];
  const secrets = [...new Set([...(one.secrets ?? []), ...(other.secrets ?? [])])];
  const submits = [one.submit, other.submit].filter((submit) => submit !== undefined);
  const anybody = submits.some(({ to }) => to === null);
  return {
    ...(http.length > 0 && { http }),
    ...((one.dns || other.dns) && { dns: true }),
    ...((one.kv || other.kv) && { kv: true }),
    ...(submits.length > 0 && {
      submit: {
        max: Math.max(...submits.map(({ max }) => max)),
        to: anybody ? null : [...new Set(submits.flatMap(({ to }) => to ?? []))],
      },
    }),
    ...(secrets.length > 0 && { secrets }),
  };
}

/** What is left of a version's grants where the configuration allows less than when it went live. */
export function capGrants(granted: Grants, limits: GrantLimits, isLocal: IsLocal): Grants {
  const http = granted.http?.filter((origin) => limits.http.some((allowed) => coversOrigin(allowed, origin))) ?? [];
  const secrets = granted.secrets?.filter((name) => limits.secrets.includes(name)) ?? [];
  const { submit } = capSubmit(granted, limits, isLocal);
  return {
    ...(http.length > 0 && { http }),
    ...(granted.dns && limits.dns && { dns: true }),
    ...(granted.kv && limits.kv && { kv: true }),
    ...(submit && { submit }),
    ...(secrets.length > 0 && { secrets }),
  };
}

/** The same for new messages alone: what a run asks for while it runs is looked at then, and the words of its fault say whose no it is. */
export function capSubmit({ submit, ...granted }: Grants, limits: GrantLimits, isLocal: IsLocal): Grants {
  if (!submit || limits.submitMax === 0) return granted;
  const { submitTo } = limits;
  const to = submitTo.length === 0 ? submit.to : capRecipients(submit.to, submitTo, isLocal);
  return { ...granted, submit: { max: Math.min(submit.max, limits.submitMax), to } };
}

/** In words, one for each: `http https://directory.example.org`, `submit: 10 messages a run, to anybody`. */
export function describeGrants({ http = [], dns, kv, submit, secrets = [] }: Grants): readonly string[] {
  return [
    ...http.map((origin) => `http ${origin}`),
    ...(dns ? ["dns"] : []),
    ...(kv ? ["kv"] : []),
    ...(submit
      ? [
          `submit: ${submit.max === 1 ? "1 message" : `${submit.max} messages`} a run, to ${submit.to === null ? "anybody" : submit.to.join(", ")}`,
        ]
      : []),
    ...secrets.map((name) => `secret ${name}`),
  ];
}

function submitBeyond(asked: Grants["submit"], approved: Grants["submit"], isLocal: IsLocal): Grants["submit"] {
  if (!asked || asked.max === 0) return undefined;
  if (asked.to?.every((one) => isOurs(one, isLocal))) return undefined;
  if (!approved || (asked.to === null && approved.to !== null)) return asked;
  const to = asked.to === null || approved.to === null ? [] : beyond(asked.to, approved.to, isLocal);
  if (to.length > 0) return { max: asked.max, to };
  return asked.max > approved.max ? asked : undefined;
}

/** Recipients, domains and `*.domain` that are neither ours nor meant by any of `allowed`. */
function beyond(wanted: readonly string[], allowed: readonly string[], isLocal: IsLocal): readonly string[] {
  return wanted.filter((one) => !isOurs(one, isLocal) && !allowed.some((other) => coversRecipient(other, one)));
}

function capRecipients(to: readonly string[] | null, allowed: readonly string[], isLocal: IsLocal): readonly string[] {
  return to === null
    ? allowed
    : to.filter((one) => isOurs(one, isLocal) || allowed.some((other) => coversRecipient(other, one)));
}

function isOurs(recipient: string, isLocal: IsLocal): boolean {
  return !recipient.startsWith("*") && isLocal(domainOf(recipient));
}

/** Whether all that the second one means is meant by the first; the local part of an address counts as it is written. RFC 5321 §2.4. */
export function coversRecipient(allowed: string, wanted: string): boolean {
  if (allowed === wanted) return true;
  if (allowed.includes("@"))
    return (
      wanted.includes("@") && localPartOf(allowed) === localPartOf(wanted) && domainOf(allowed) === domainOf(wanted)
    );
  const domain = domainOf(wanted);
  if (!allowed.startsWith("*.")) return !domain.startsWith("*") && domain === allowed.toLowerCase();
  const suffix = allowed.slice(1).toLowerCase();
  return domain.endsWith(suffix) && domain.length > suffix.length;
}

function localPartOf(address: string): string {
  return address.slice(0, address.lastIndexOf("@"));
}

function domainOf(recipient: string): string {
  return recipient.slice(recipient.lastIndexOf("@") + 1).toLowerCase();
}
