/** Runs inside the isolate: atob and btoa, by the child's own. */
import { toText } from "./primordials.ts";
import { DOMException } from "./web-exception.ts";
import { askText } from "./web-host.ts";
import { defineGlobal } from "./web-primordials.ts";

function ask(kind: "atob" | "btoa", text: unknown, complaint: string): string {
  const answer = askText(kind, toText(text));
  if (answer === null) throw new DOMException(complaint, "InvalidCharacterError");
  return answer;
}

defineGlobal("atob", (text: unknown) => ask("atob", text, "atob takes base64, and this text is none"));
defineGlobal("btoa", (text: unknown) =>
  ask("btoa", text, "btoa takes characters up to U+00FF: write octets with Uint8Array and toBase64()"),
);
