import { createHash, createHmac, pbkdf2Sync } from "node:crypto";
import { describe, expect, test } from "vitest";
import { deriveScramCredentials, ScramServerExchange } from "../../../src/smtp/scram.ts";
import { play } from "./session-driver.ts";

/** The example of RFC 7677 §3. */
const example = {
  serverNonce: "%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0",
  credentials: deriveScramCredentials("pencil", { salt: Buffer.from("W22ZaJ0SNY7soEsUEjb6gQ==", "base64") }),
  first: "n,,n=user,r=rOprNGfwEbeRWgbNEkqO",
  challenge: "r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096",
  final: "c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ=",
  signature: "v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4=",
};

/** What a client says last. */
function proveBy(
  password: string,
  { first, challenge, header = "n,," }: { first: string; challenge: string; header?: string },
) {
  const [, nonce, salt, iterations] = /^r=([^,]+),s=([^,]+),i=(\d+)$/.exec(challenge)!;
  const salted = pbkdf2Sync(password, Buffer.from(salt!, "base64"), Number(iterations), 32, "sha256");
  const clientKey = createHmac("sha256", salted).update("Client Key").digest();
  const withoutProof = `c=${Buffer.from(header).toString("base64")},r=${nonce}`;
  const said = `${first.slice(header.length)},${challenge},${withoutProof}`;
  const signature = createHmac("sha256", createHash("sha256").update(clientKey).digest()).update(said).digest();
  return `${withoutProof},p=${Buffer.from(clientKey.map((octet, i) => octet ^ signature[i]!)).toString("base64")}`;
}

describe("ScramServerExchange", () => {
  test("says what RFC 7677 says", () => {
    const scram = new ScramServerExchange(example.serverNonce);
    expect(scram.takeFirst(example.first)).toEqual({ user: "user" });
    expect(scram.challenge(example.credentials)).toBe(example.challenge);
    expect(scram.takeFinal(example.final)).toBe(example.signature);
  });

  test.each<[why: string, first: string, told: object]>([
    ["a client that could bind the channel", "y,,n=user,r=x", { user: "user" }],
    ["a comma and an equals sign in the name", "n,,n=a=2Cb=3Dc,r=x", { user: "a,b=c" }],
    ["an extension nobody has to know", "n,,n=user,r=x,x=1", { user: "user" }],
    ["itself as who it acts for", "n,a=user,n=user,r=x", { user: "user" }],
    ["somebody else", "n,a=root,n=user,r=x", { trouble: "other-user" }],
    ["channel binding", "p=tls-unique,,n=user,r=x", { trouble: "channel-binding" }],
    ["an extension it has to know", "n,,m=1,n=user,r=x", { trouble: "syntax" }],
    ["no user", "n,,n=,r=x", { trouble: "syntax" }],
    ["no nonce", "n,,n=user,r=", { trouble: "syntax" }],
    ["a name that ends in =", "n,,n=a=,r=x", { trouble: "syntax" }],
    ["a name with small digits", "n,,n=a=2c,r=x", { trouble: "syntax" }],
    ["no header", "n=user,r=x", { trouble: "syntax" }],
    ["nothing", "", { trouble: "syntax" }],
  ])("reads %s", (_why, first, told) => {
    expect(new ScramServerExchange("y").takeFirst(first)).toEqual(told);
  });

  test.each<[why: string, change: (final: string) => string]>([
    ["another proof", (final) => final.replace("p=d", "p=e")],
    ["a proof too short", (final) => final.replace(/p=.*/, "p=AAAA")],
    ["another nonce", (final) => final.replace("k0,p", "k1,p")],
    ["another header", (final) => final.replace("biws", "eSws")],
    ["no proof", (final) => final.replace(/,p=.*/, "")],
    ["something added", (final) => final.replace(",p=", ",x=1,p=")],
    ["nothing", () => ""],
  ])("takes no %s", (_why, change) => {
    const scram = new ScramServerExchange(example.serverNonce);
    scram.takeFirst(example.first);
    scram.challenge(example.credentials);
    expect(scram.takeFinal(change(example.final))).toBeNull();
  });

  test("makes up the same salt for a user nobody knows each time, another for another", () => {
    const challenge = (user: string) => {
      const scram = new ScramServerExchange("y");
      scram.takeFirst(`n,,n=${user},r=x`);
      return scram.challenge(null);
    };
    expect(challenge("bob")).toBe(challenge("bob"));
    expect(challenge("bob")).not.toBe(challenge("eve"));
    expect(challenge("bob")).toMatch(/^r=xy,s=[A-Za-z0-9+/]{22}==,i=4096$/);
  });
});

describe("AUTH SCRAM-SHA-256", () => {
  const code = (text: string) => Buffer.from(text).toString("base64");
  const log = (first: string, password: string, last: string, header = "n,,") => {
    const hello = "EHLO a.example\r\n";
    const asked = play([`${hello}AUTH SCRAM-SHA-256 ${code(first)}\r\n`]);
    const challenge = Buffer.from(/334 (\S+)\r\n$/.exec(asked.output)?.[1] ?? "", "base64").toString();
    const final = code(proveBy(password, { first, challenge, header }));
    return play([`${hello}AUTH SCRAM-SHA-256\r\n${code(first)}\r\n${final}\r\n${last}\r\nNOOP\r\n`]);
  };

  test("lets in who knows the password, behind the server's own proof", () => {
    const told = log("n,,n=ann,r=x", "secret", "");
    expect(told.output).toMatch(/334 \r\n334 \S+\r\n334 dj\S+\r\n235 2\.7\.0 in\r\n250 2\.0\.0 Nothing done\r\n$/);
    expect(told.steps).toContain("proved ann");
    expect(log("y,,n=ann,r=x", "secret", "", "y,,").session.authenticated).toBe(true);
  });

  test.each<[why: string, user: string, password: string, last: string, end: RegExp]>([
    ["a wrong password", "ann", "guess", "RSET", /334 \S+\r\n535 5\.7\.8 .*\r\n250 2\.0\.0 Reset\r\n250.*\r\n$/],
    ["a user nobody knows", "bob", "secret", "RSET", /334 \S+\r\n535 5\.7\.8 .*\r\n250 2\.0\.0 Reset\r\n250.*\r\n$/],
    ["more behind the proof", "ann", "secret", "AAAA", /334 dj\S+\r\n501 5\.5\.2 .*\r\n250.*\r\n$/],
    ["a change of mind", "ann", "secret", "*", /334 dj\S+\r\n501 5\.7\.0 .*\r\n250.*\r\n$/],
  ])("does not let in %s", (_why, user, password, last, end) => {
    const told = log(`n,,n=${user},r=x`, password, last);
    expect(told.output).toMatch(end);
    expect(told.session.authenticated).toBe(false);
  });

  test.each<[why: string, first: string, reply: string]>([
    ["channel binding", "p=tls-exporter,,n=ann,r=x", "501 5.5.4"],
    ["somebody else", "n,a=root,n=ann,r=x", "501 5.5.2"],
  ])("refuses %s", (_why, first, reply) => {
    expect(play([`EHLO a\r\nAUTH SCRAM-SHA-256 ${code(first)}\r\n`]).output).toContain(`\r\n${reply} `);
  });
});
