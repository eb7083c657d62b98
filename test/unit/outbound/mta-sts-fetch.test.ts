/** The policy file over HTTPS: what is taken, and what is not. RFC 8461 §3.2, §3.3. */
import type { ServerResponse } from "node:http";
import { createServer, type Server } from "node:https";
import type { AddressInfo } from "node:net";
import { afterEach, describe, expect, test, vi } from "vitest";
import { type FetchSettings, fetchStsPolicy, policyOctetsMax } from "../../../src/outbound/mta-sts-fetch.ts";
import { createFakeClock, settle } from "../../support/fake-clock.ts";
import { createFakeResolver, type FakeRecords } from "../../support/fake-resolver.ts";
import { commonNameOnly, intermediate, key, leaf, policyHost, root } from "./dane-certificates.ts";

const text = "version: STSv1\nmode: enforce\nmx: mx.example.org\nmax_age: 86400\n";
const records: FakeRecords = { a: { "mta-sts.example.org": ["127.0.0.1"] } };
let server: Server | undefined;
afterEach(() => {
  vi.unstubAllEnvs();
  server?.closeAllConnections();
  server?.close();
});

/** A policy host that does what it is told. */
async function fetchFrom(
  answer: (response: ServerResponse, path: string) => void,
  { cert = policyHost, ...settings }: Partial<FetchSettings> & { readonly cert?: string } = {},
) {
  const clock = createFakeClock();
  server = createServer({ key, cert }, (request, response) =>
    answer(response, `${request.headers.host} ${request.url}`),
  );
  await new Promise<void>((resolve) => server!.listen(0, "127.0.0.1", resolve));
  const fetching = fetchStsPolicy("example.org", {
    clock,
    resolver: createFakeResolver(records, clock),
    mayConnect: () => true,
    certificateAuthorities: root,
    port: (server.address() as AddressInfo).port,
    ...settings,
  });
  return { clock, fetching };
}

const give =
  (body: string, type = "text/plain", status = 200) =>
  (response: ServerResponse) =>
    void response.writeHead(status, { "Content-Type": type, Location: "/other" }).end(body);

describe("fetchStsPolicy", () => {
  test("takes a policy from the well-known place", async () => {
    let asked = "";
    const { fetching } = await fetchFrom((response, path) => {
      asked = path;
      give(text, "text/plain; charset=utf-8")(response);
    });
    expect(await fetching).toMatchObject({ kind: "fetched", policy: { mode: "enforce", mx: ["mx.example.org"] } });
    expect(asked).toMatch(/^mta-sts\.example\.org(:\d+)? \/\.well-known\/mta-sts\.txt$/);
  });

  test.each<[string, (response: ServerResponse) => void, string]>([
    ["a redirect", give(text, "text/plain", 301), "sts-policy-fetch-error"],
    ["not found", give(text, "text/plain", 404), "sts-policy-fetch-error"],
    ["no content", give("", "text/plain", 204), "sts-policy-fetch-error"],
    ["another type", give(text, "text/html"), "sts-policy-fetch-error"],
    ["a type that begins alike", give(text, "text/plainly"), "sts-policy-fetch-error"],
    ["one octet too many", give(text.padEnd(policyOctetsMax + 1, "\n")), "sts-policy-fetch-error"],
    ["no policy", give("hello"), "sts-policy-invalid"],
    ["a connection cut short", (response) => void response.socket!.destroy(), "sts-policy-fetch-error"],
  ])("%s is no policy", async (_why, answer, result) => {
    expect(await (await fetchFrom(answer)).fetching).toMatchObject({ kind: "failed", result });
  });

  test("takes a policy of the greatest size", async () => {
    const { fetching } = await fetchFrom(give(text.padEnd(policyOctetsMax, "\n")));
    expect(await fetching).toMatchObject({ kind: "fetched" });
  });

  test.each([
    ["for another name", leaf + intermediate, root],
    ["whose common name alone fits", commonNameOnly, root],
    ["of an authority nobody trusts", policyHost, leaf],
  ])("a certificate %s is no proof", async (_why, cert, certificateAuthorities) => {
    const { fetching } = await fetchFrom(give(text), { cert, certificateAuthorities });
    expect(await fetching).toMatchObject({ kind: "failed", result: "sts-webpki-invalid" });
  });

  test("the environment cannot make any certificate do", async () => {
    vi.stubEnv("NODE_TLS_REJECT_UNAUTHORIZED", "0");
    const { fetching } = await fetchFrom(give(text), { certificateAuthorities: leaf });
    expect(await fetching).toMatchObject({ kind: "failed", result: "sts-webpki-invalid" });
  });

  test.each<[string, FakeRecords, RegExp]>([
    ["has no address", {}, /has no address/],
    ["cannot be looked up", { failing: ["mta-sts.example.org"] }, /cannot be looked up/],
    ["is in a network of our own", records, /private addresses/],
  ])("a policy host that %s is not asked", async (_why, dns, words) => {
    const clock = createFakeClock();
    let asked = false;
    const { fetching } = await fetchFrom(() => (asked = true), {
      resolver: createFakeResolver(dns, clock),
      mayConnect: () => false,
    });
    expect(await fetching).toMatchObject({ result: "sts-policy-fetch-error", reason: expect.stringMatching(words) });
    expect(asked).toBe(false);
  });

  test("ends with its time, however slowly octets come", async () => {
    const { promise, resolve } = Promise.withResolvers<void>();
    const { clock, fetching } = await fetchFrom(
      (response) => {
        response.writeHead(200, { "Content-Type": "text/plain" }).write("version: STSv1\n");
        resolve();
      },
      { timeoutMs: 1_000 },
    );
    let over = false;
    void fetching.then(() => (over = true));
    await promise;
    await clock.advance(999);
    await settle();
    expect(over).toBe(false);
    await clock.advance(1);
    expect(await fetching).toMatchObject({ result: "sts-policy-fetch-error", reason: "no policy within 1000 ms" });
  });

  test("ends when the server stops", async () => {
    const ending = new AbortController();
    const { fetching } = await fetchFrom(() => ending.abort(new Error("the server stops")), { signal: ending.signal });
    expect(await fetching).toMatchObject({ kind: "failed", reason: "the server stops" });
  });
});
