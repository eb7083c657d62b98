/** Runs inside the isolate: how the packs ask the child process (web-answers.ts). An answer is there at once, in a run and while the script is loaded. */
type WebHost = (ask: string, argument: string, octets?: ArrayBuffer) => unknown;

let host: WebHost = () => null;

export function setWebHost(fresh: WebHost): void {
  host = fresh;
}

/** Gives null where there is no answer. */
export function askText(
  ask: "url" | "url-set" | "query" | "query-text" | "charset" | "atob" | "btoa",
  argument: string,
): string | null;
export function askText(ask: "decode", argument: string, octets: ArrayBuffer): string | null;
export function askText(ask: string, argument: string, octets?: ArrayBuffer): string | null {
  const answer = octets === undefined ? host(ask, argument) : host(ask, argument, octets);
  return typeof answer === "string" ? answer : null;
}

/** Gives null where there is no answer. */
export function askOctets(ask: "digest" | "random", argument: string, octets?: ArrayBuffer): ArrayBuffer | null {
  const answer = octets === undefined ? host(ask, argument) : host(ask, argument, octets);
  return typeof answer === "object" ? (answer as ArrayBuffer | null) : null;
}
