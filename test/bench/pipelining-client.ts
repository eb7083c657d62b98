/**
 * A client as relaying servers are (RFC 2920): MAIL, RCPT and DATA in one write, the message in the next; sessions are kept. For benchmarks, where
 * Postfix's smtp-source waits for every reply. Run: node test/bench/pipelining-client.ts PORT SESSIONS MESSAGES OCTETS
 */
import { connect } from "node:net";

const [port = 0, sessions = 10, messages = 1_000, octets = 4_096] = process.argv.slice(2).map(Number);

const commands = "MAIL FROM:<a@example.org>\r\nRCPT TO:<b@example.test>\r\nDATA\r\n";
const head =
  "From: <a@example.org>\r\nTo: <b@example.test>\r\nSubject: benchmark\r\nMessage-Id: <1@example.org>\r\n\r\n";
const body = `${"X".repeat(78)}\r\n`.repeat(Math.ceil((octets - head.length) / 80));
const message = Buffer.from(`${head}${body}.\r\n`);

let left = messages;
await Promise.all(Array.from({ length: sessions }, work));

/** One session, until no message is left. */
function work(): Promise<void> {
  return new Promise((done, failed) => {
    const socket = connect({ port, host: "127.0.0.1", noDelay: true });
    let state: "greeting" | "ehlo" | "envelope" | "message" = "greeting";
    let replies = 0;
    let rest = "";
    const next = () => {
      if (left === 0) return void socket.end("QUIT\r\n");
      left--;
      state = "envelope";
      replies = 0;
      socket.write(commands);
    };
    socket.on("data", (chunk: Buffer) => {
      const lines = (rest + chunk.toString("latin1")).split("\r\n");
      rest = lines.pop()!;
      for (const line of lines) {
        if (line[3] === "-") continue;
        if (!/^[23]/.test(line)) return void failed(new Error(`the server said ${line}`));
        if (state === "greeting") {
          state = "ehlo";
          socket.write("EHLO client.example.org\r\n");
        } else if (state === "ehlo" || state === "message") next();
        else if (++replies === 3) {
          state = "message";
          socket.write(message);
        }
      }
    });
    socket.on("error", failed);
    socket.on("close", () => done());
  });
}
