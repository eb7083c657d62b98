/** Enhanced status codes and what they say in a reply. RFC 3463, RFC 5248. */

const enhancedStatus = /^[245]\.\d{1,3}\.\d{1,3}$/;

export function isEnhancedStatus(text: string): boolean {
  return enhancedStatus.test(text);
}

/** A reply of a peer, or ours. `code` is the basic code, `status` the enhanced one where given; `text` is one line, or several with "\n" between them. */
export interface Reply {
  readonly code: number;
  readonly status?: string | undefined;
  readonly text: string;
}

/** Reads "5.7.1 Not here" out of a reply's text. */
export function splitStatus(code: number, text: string): Reply {
  const match = /^([245]\.\d{1,3}\.\d{1,3})(?:\s+|$)(.*)$/s.exec(text);
  return match ? { code, status: match[1], text: match[2]! } : { code, status: undefined, text };
}

export function formatReply({ code, status, text }: Reply): string {
  return [code, status, text].filter((piece) => piece !== undefined && piece !== "").join(" ");
}
