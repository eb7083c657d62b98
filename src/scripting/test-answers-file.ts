/** Answers that were written down for a test, as they stand in `case.answers.json` (docs/testing.md): their form, read and checked. Who gives them is test-answers.ts. */
import type { Json } from "../../sandbox/api.ts";
import { Fault } from "../platform/fault.ts";

/** As they stand in `case.answers.json`; every part may be left out. */
export interface WrittenAnswers {
  readonly http: readonly WrittenHttp[];
  /** By question: `A mail.example.org`, `MX example.org`, `PTR 192.0.2.1`, `listed zen.example.org 192.0.2.1`. */
  readonly dns: { readonly [question: string]: Json };
  /** What the store holds before the run. */
  readonly kv: { readonly [key: string]: Json };
  readonly secrets: { readonly [name: string]: string };
}

export interface WrittenHttp {
  /** `GET https://directory.example.org/users/bob`; a star at its end is anything. Of several that fit each is given once, and the last one from then on. */
  readonly request: string;
  readonly status: number;
  readonly headers: { readonly [name: string]: string };
  readonly body: string;
  /** In the place of an answer: "timeout", "refused", "name", "tls", "too-large", "private-address". */
  readonly error: string | null;
}

export const noAnswers: WrittenAnswers = { http: [], dns: {}, kv: {}, secrets: {} };

const keys = ["http", "dns", "kv", "secrets"];
const httpKeys = ["request", "status", "headers", "json", "text", "error"];
const requestText = /^[A-Z]{1,20} https?:\/\/\S+$/;
const dnsText = /^(?:(?:A|AAAA|MX|TXT|PTR) \S+|listed \S+ \S+)$/;

/** @param source Named in errors. @throws {Fault} `script.tests-failed` where they are not of the form above */
export function readAnswers(given: unknown, source: string): WrittenAnswers {
  const wrong = (what: string): never => {
    throw new Fault("script.tests-failed", `Cannot read the answers in ${source}: ${what}`);
  };
  const record = (value: unknown, what: string): Readonly<Record<string, unknown>> =>
    typeof value === "object" && value !== null && !Array.isArray(value)
      ? (value as Readonly<Record<string, unknown>>)
      : wrong(`${what} is no object`);
  const file = record(given, "the whole");
  for (const key of Object.keys(file))
    if (!keys.includes(key)) wrong(`${JSON.stringify(key)} is none of ${keys.join(", ")}`);
  const { http = [], dns = {}, kv = {}, secrets = {} } = file;
  if (!Array.isArray(http)) return wrong("http is no list");
  for (const question of Object.keys(record(dns, "dns")))
    if (!dnsText.test(question))
      wrong(
        `${JSON.stringify(question)} is no look-up: expected "MX example.org" or "listed zen.example.org 192.0.2.1"`,
      );
  for (const [name, secret] of Object.entries(record(secrets, "secrets")))
    if (typeof secret !== "string") wrong(`secrets.${name} is no text`);
  return {
    http: http.map((one, index) => readHttp(record(one, `http[${index}]`), (what) => wrong(`http[${index}]: ${what}`))),
    dns: dns as WrittenAnswers["dns"],
    kv: record(kv, "kv") as WrittenAnswers["kv"],
    secrets: secrets as WrittenAnswers["secrets"],
  };
}

function readHttp(given: Readonly<Record<string, unknown>>, wrong: (what: string) => never): WrittenHttp {
  for (const key of Object.keys(given))
    if (!httpKeys.includes(key)) wrong(`${JSON.stringify(key)} is none of ${httpKeys.join(", ")}`);
  const { request, status = 200, headers = {}, text = "", error = null } = given;
  if (typeof request !== "string" || !requestText.test(request))
    return wrong(`request is not of the form "GET https://directory.example.org/users/bob"`);
  if (typeof status !== "number" || !Number.isInteger(status) || status < 200 || status > 599)
    return wrong("status is no number from 200 to 599");
  if (
    typeof headers !== "object" ||
    headers === null ||
    Object.values(headers).some((value) => typeof value !== "string")
  )
    return wrong("headers is no object of texts");
  if (typeof text !== "string") return wrong("text is no text");
  if (error !== null && typeof error !== "string") return wrong("error is no text");
  const hasJson = Object.hasOwn(given, "json");
  const fields = Object.entries(headers as Record<string, string>).map(([name, value]) => [name.toLowerCase(), value]);
  return {
    request,
    status,
    headers: Object.fromEntries([...(hasJson ? [["content-type", "application/json"]] : []), ...fields]),
    body: hasJson ? JSON.stringify(given["json"]) : text,
    error,
  };
}
