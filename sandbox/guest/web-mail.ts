/** Runs inside the isolate: messages a worker hands over whole, as octets: `message.reply` and `send` of a binding. The child takes them apart (raw-message.ts). */
import { checkAddress, sameAddress } from "./addresses.ts";
import { whyNoAnswer } from "./auto-answer.ts";
import { putContent } from "./content.ts";
import { append, createList, lowerCase, TypeErrorOf, toText } from "./primordials.ts";
import { alive, type RunState } from "./run-state.ts";
import { submitRaw } from "./submissions.ts";
import { joinOctets, octetsIn } from "./web-primordials.ts";
import { isStream, readAll } from "./web-streams.ts";
import { encodeText } from "./web-text.ts";

/** An EmailMessage of "cloudflare:email", or what looks like one. */
interface Given {
  readonly from: string;
  readonly to: string;
  readonly octets: Uint8Array;
}

/**
 * Answers the sender of the message. Rejects where the answer is to somebody else, and where nobody should be answered: to a report, a list, a machine (RFC 3834).
 */
export async function answer(state: RunState, message: unknown, recipient: string): Promise<void> {
  const { to, octets } = await given(state, "reply", message);
  const { from, to: own } = state.mail.envelope;
  const why = whyNoAnswer(from, (name) => valuesOf(state, name), own);
  if (why !== null) throw new TypeErrorOf(`reply: this message is not answered, as ${why}`);
  if (!sameAddress(to, from!))
    throw new TypeErrorOf(`reply: an answer to mail for ${recipient} goes to its sender, and to nobody else`);
  // RFC 3834 §3.3: so that nobody answers the answer.
  submitRaw(state, "reply", null, to, putContent(alive(state), octets as never));
}

/** Sends a message of one's own. */
export async function send(state: RunState, message: unknown): Promise<void> {
  const { from, to, octets } = await given(state, "send", message);
  submitRaw(state, "submit", from, to, putContent(alive(state), octets as never));
}

async function given(state: RunState, verb: string, message: unknown): Promise<Given> {
  const { from, to, raw } = (typeof message === "object" && message !== null ? message : {}) as Record<string, unknown>;
  if (raw === undefined)
    throw new TypeErrorOf(
      `${verb} takes an EmailMessage of "cloudflare:email": its sender, its recipient, and the whole message`,
    );
  return {
    from: checkAddress(alive(state), from, `${verb}: the sender`),
    to: checkAddress(alive(state), to, `${verb}: the recipient`),
    octets: await octetsOf(raw),
  };
}

async function octetsOf(raw: unknown): Promise<Uint8Array> {
  if (!isStream(raw)) return octetsIn(raw) ?? encodeText(toText(raw));
  const pieces: Uint8Array[] = createList();
  await readAll(raw, (chunk) => {
    pieces[pieces.length] = octetsIn(chunk) ?? encodeText(toText(chunk));
  });
  return joinOctets(pieces);
}

function valuesOf({ mail }: RunState, name: string): string[] {
  const wanted = lowerCase(name);
  const values: string[] = [];
  for (let i = 0; i < mail.fields.length; i++)
    if (lowerCase(mail.fields[i]![0]) === wanted) append(values, mail.fields[i]![1]);
  return values;
}
