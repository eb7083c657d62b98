/** Messages signed as somebody else would sign them, the DNS records that go with them, and a verifier over those. */
import { generateKeyPairSync, type KeyObject } from "node:crypto";
import { sealMessage } from "mailauth/lib/arc/index.js";
import { dkimSign } from "mailauth/lib/dkim/sign.js";
import { createVerifier, type MailToVerify, type VerifierOptions } from "../../../src/inbound/verify.ts";
import type { AuthFacts } from "../../../src/mail/auth-facts.ts";
import { splitMessage } from "../../../src/mail/header.ts";
import { inlineBody } from "../../../src/mail/message.ts";
import { parseReversePath } from "../../../src/mail/path.ts";
import { systemClock } from "../../../src/platform/clock.ts";
import { silentLog } from "../../../src/platform/log.ts";
import { createFakeResolver, type FakeRecords } from "../../support/fake-resolver.ts";

export const keyPair = (bits = 2_048) => generateKeyPairSync("rsa", { modulusLength: bits });
const { privateKey, publicKey } = keyPair();
export const keyRecord = (key: KeyObject = publicKey) =>
  `v=DKIM1; k=rsa; p=${key.export({ type: "spki", format: "der" }).toString("base64")}`;

/** What stands in DNS unless a test says otherwise. */
export const records: FakeRecords = {
  txt: {
    "example.org": ["v=spf1 ip4:198.51.100.0/24 -all"],
    "soft.example": ["v=spf1 ~all"],
    "s1._domainkey.example.org": [keyRecord()],
    "s1._domainkey.mail.example.org": [keyRecord()],
    "s1._domainkey.lists.example.net": [keyRecord()],
    "_dmarc.example.org": ["v=DMARC1; p=reject"],
    "_dmarc.strict.example": ["v=DMARC1; p=quarantine; adkim=s; aspf=s"],
    "s1._domainkey.strict.example": [keyRecord()],
    "s1._domainkey.mail.strict.example": [keyRecord()],
  },
  a: { "mx.example.org": ["198.51.100.7"] },
  ptr: { "198.51.100.7": ["mx.example.org"], "198.51.100.8": ["mx.example.org"] },
};

export const plainMail =
  "From: Ann <ann@example.org>\r\nTo: bob@example.test\r\nSubject: Hello\r\nDate: Mon, 05 Jan 2026 12:00:00 +0000\r\n\r\nFirst line\r\n";

export async function signed(
  mail = plainMail,
  signature: {
    readonly domain?: string;
    readonly key?: KeyObject;
    readonly expires?: Date;
    readonly signTime?: Date;
    readonly maxBodyLength?: number;
  } = {},
): Promise<string> {
  const { domain = "example.org", key = privateKey, expires, signTime, maxBodyLength } = signature;
  const { signatures, errors } = await dkimSign(Buffer.from(mail, "latin1"), {
    canonicalization: "relaxed/relaxed",
    ...(expires && { expires }),
    ...(signTime && { signTime }),
    signatureData: [
      {
        signingDomain: domain,
        selector: "s1",
        privateKey: key.export({ type: "pkcs8", format: "pem" }) as string,
        ...(maxBodyLength !== undefined && { maxBodyLength }),
      },
    ],
  } as Parameters<typeof dkimSign>[1]);
  if (errors.length > 0) throw errors[0]!.err;
  return signatures + mail;
}

/** As a mailing list seals what it passes on. */
export async function sealed(mail: string, cv = "none"): Promise<string> {
  const seal = await sealMessage(Buffer.from(mail, "latin1"), {
    signingDomain: "lists.example.net",
    selector: "s1",
    privateKey: privateKey.export({ type: "pkcs8", format: "pem" }) as string,
    authResults: "lists.example.net; spf=pass smtp.mailfrom=example.org",
    cv,
  } as Parameters<typeof sealMessage>[1]);
  return seal.toString("latin1") + mail;
}

export interface Sent {
  readonly mail?: string;
  readonly ip?: string;
  readonly helo?: string;
  /** With brackets. */
  readonly from?: string;
  readonly records?: FakeRecords;
  readonly options?: Partial<VerifierOptions>;
}

export function toVerify({
  mail = plainMail,
  ip = "198.51.100.7",
  helo = "mx.example.org",
  from = "<ann@example.org>",
}: Sent): MailToVerify {
  const { header, body } = splitMessage(Buffer.from(mail, "latin1"));
  return { ip, helo, reversePath: parseReversePath(from), header, body: inlineBody(body) };
}

export function verifierWith(dns: FakeRecords = records, options: Partial<VerifierOptions> = {}) {
  const resolver = createFakeResolver(dns, systemClock);
  const verifier = createVerifier({
    resolver,
    hostname: "mx.example.test",
    clock: systemClock,
    log: silentLog,
    ...options,
  });
  return { resolver, verifier };
}

/** One message through a verifier of its own. */
export async function verified(sent: Sent = {}): Promise<AuthFacts> {
  const { verifier } = verifierWith(sent.records, sent.options);
  try {
    return await verifier.verify(toVerify(sent));
  } finally {
    await verifier.close();
  }
}
