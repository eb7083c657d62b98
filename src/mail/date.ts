/** Dates as header fields and reports carry them. Pure. */

let datedSecond = -1;
let dated = "";

/** `Mon, 23 Nov 2026 18:20:00 +0000`. RFC 5322 §3.3. Written once a second, not once a message. */
export function formatDate(at: number): string {
  const second = Math.floor(at / 1_000);
  if (second !== datedSecond) {
    datedSecond = second;
    dated = new Date(at).toUTCString().replace("GMT", "+0000");
  }
  return dated;
}
