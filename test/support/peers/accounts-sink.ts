/** A native sink with the accounts of its properties: knows passwords in the clear and proofs of them (SCRAM). For tests; it runs in the server. */
import type { Sink } from "../../../src/events/sink.ts";
import { deriveScramCredentials } from "../../../src/smtp/scram.ts";

export function accounts({ passwords }: { readonly passwords: Readonly<Record<string, string>> }): Sink {
  return {
    name: "accounts",
    onAuth(auth) {
      const password = passwords[auth.user];
      if (password === undefined) return;
      if (auth.secret === null)
        auth.verifyWith(deriveScramCredentials(password, { salt: Buffer.from("a salt of 16 oct") }));
      else if (auth.secret === password) auth.acceptAs(auth.user);
    },
  };
}
