/** Renders docs/rfc.md: which transcript shows which section of which RFC, as their first comments say. `node test/transcripts/rfc-table.ts --write` writes it. */
import { globSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";

export const rfcPage = join(import.meta.dirname, "../../docs/rfc.md");

/** Extensions of the native engine: keyword at EHLO, what it is, where it stands. */
export const extensions: readonly (readonly [keyword: string, what: string, source: string])[] = [
  ["PIPELINING", "commands without waiting for replies", "RFC 2920"],
  ["SIZE", "the size of a message, told before it is sent", "RFC 1870"],
  ["8BITMIME", "octets above 127", "RFC 6152"],
  ["SMTPUTF8", "international addresses", "RFC 6531"],
  ["ENHANCEDSTATUSCODES", "status codes of three parts in replies", "RFC 2034, RFC 3463"],
  ["CHUNKING", "mail data in chunks of a told size (BDAT)", "RFC 3030 §2"],
  ["BINARYMIME", "bodies of any octets; where `binarymime` is set", "RFC 3030 §3"],
  ["DSN", "which reports a sender wants", "RFC 3461"],
  ["PRDR", "a reply for each recipient at the end of data", "draft-hall-prdr"],
  ["LIMITS", "how many recipients a message may have", "RFC 9422"],
  ["STARTTLS", "TLS from here on; where there is a certificate", "RFC 3207"],
  ["REQUIRETLS", "only over TLS further on; over TLS", "RFC 8689"],
  ["AUTH", "logins: PLAIN (RFC 4616), LOGIN, SCRAM-SHA-256 (RFC 7677); where a sink is bound to onAuth", "RFC 4954"],
  ["XCLIENT", "who the client is, from a trusted peer", "https://www.postfix.org/XCLIENT_README.html"],
  ["XFORWARD", "who the client was, from a trusted peer", "https://www.postfix.org/XFORWARD_README.html"],
];

const folder = import.meta.dirname;

/** The sections a first comment names, such as `5321 §4.2.5`. */
export function sectionsOf(comment: string): string[] {
  const sections: string[] = [];
  for (const [, rfc, rest] of comment.matchAll(/RFC (\d+)((?:,? (?:§[\d.]*\d|appendix [A-Z]))*)/g)) {
    const found = rest!.match(/§[\d.]*\d|appendix [A-Z]/g) ?? [""];
    sections.push(...found.map((section) => `${rfc} ${section}`.trim()));
  }
  return sections;
}

export function renderRfcPage(): string {
  const bySection = new Map<string, string[]>();
  for (const file of globSync("**/*.smtp", { cwd: folder }).sort()) {
    for (const section of sectionsOf(readFileSync(join(folder, file), "utf8").split("\n", 1)[0]!)) {
      const files = bySection.get(section) ?? [];
      if (!files.includes(file)) files.push(file);
      bySection.set(section, files);
    }
  }
  const rows = [...bySection].sort(([one], [other]) => one.localeCompare(other, "en", { numeric: true }));
  return `# RFCs

<!-- Made from the transcripts by \`node test/transcripts/rfc-table.ts --write\`: edit there. -->

What the listener does, by the document that asks for it. Each row's transcripts, in \`test/transcripts\`, are dialogues that are played against the
running listener with every test run. Where we are stricter or more lenient than an RFC, the source says so beside the line: search it for
\`(stricter:\` and \`(lenient:\`.

## Extensions

What the native engine offers at EHLO; [listeners](listeners.md) tells what the library engine lacks.

| keyword | what it is | source |
|---|---|---|
${extensions.map(([keyword, what, source]) => `| ${keyword} | ${what} | ${source} |`).join("\n")}

Besides: LMTP (RFC 2033), message submission (RFC 6409), implicit TLS (RFC 8314), and the PROXY header, versions 1 and 2
(https://www.haproxy.org/download/2.9/doc/proxy-protocol.txt).

## Sections and their transcripts

| section | transcripts |
|---|---|
${rows.map(([section, files]) => `| RFC ${section} | ${files.map((file) => `\`${file.replace(/\.smtp$/, "")}\``).join(", ")} |`).join("\n")}
`;
}

if (process.argv[1] === import.meta.filename && process.argv.includes("--write"))
  writeFileSync(rfcPage, renderRfcPage());
