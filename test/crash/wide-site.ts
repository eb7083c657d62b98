/** A site in which mail ends in every way there is: mailboxes, an alias, a list, the drop folder, a next hop, a report, badmail; and a pickup folder it comes from. */
import { closeSync, existsSync, fsyncSync, mkdirSync, openSync, renameSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { Site } from "../support/site.ts";
import type { Delivered } from "./custody.ts";
import { type Accepted, type Addressee, composeMessage, createRandom, mailboxesOf } from "./load.ts";
import { readBadmail, readDropped, readMaildirs } from "./places.ts";
import { RecordingPeer } from "./recording-peer.ts";
import { RecordingWeb } from "./recording-web.ts";

/** Who sends, and gets the reports. */
export const reporter = "reporter@example.test";

export const wideAddressees: readonly Addressee[] = [
  ...mailboxesOf("example.test"),
  { to: ["both@example.test"], places: ["ada", "grace"] },
  { to: ["team@example.test", "alan@example.test"], places: ["edsger", "grace", "alan"] },
  { to: ["paper@example.test"], places: ["drop"] },
  { to: ["bob@remote.example"], places: ["peer:bob@remote.example"] },
  { to: ["later@remote.example", "ada@example.test"], places: ["peer:later@remote.example", "ada"] },
  { to: ["gone@remote.example"], places: ["report"] },
  { to: ["jail@example.test"], places: ["badmail"] },
  { to: ["cell@example.test", "ada@example.test"], places: ["badmail", "ada"] },
  { to: ["app@example.test"], places: ["web"] },
];

const script = `import type { ArrivalHandler } from "onarrival";

export const onArrival: ArrivalHandler = (mail) => {
  if (mail.subject.startsWith("refuse ")) return mail.refuse("Not this one");
  if (mail.subject.startsWith("defer ")) return mail.defer("Not now");
  if (!mail.headers.get("X-Marker")) return;
  mail.headers.add("X-Edited", mail.headers.get("X-Marker") ?? "");
  mail.subject = \`[seen] \${mail.subject}\`;
  if (mail.envelope.to.some((one) => String(one).startsWith("jail@"))) return mail.quarantine("kept for the test");
};
`;

/** A native sink that keeps one recipient's copy apart, where the script keeps the whole message. */
const sink = `import { quarantine } from "onarrival";

export default {
  name: "cell",
  onCategorize({ forwardPath }) {
    if (forwardPath.localPart === "cell") return quarantine("his copy is kept");
  },
};
`;

function configFor(port: number, webPort: number): string {
  return `
hostname = "mx.example.test"
[domains]
local = ["example.test"]
relay = ["remote.example"]
aliases = "./aliases"
[[routes]]
match = "remote.example"
to = "smtp://127.0.0.1:${port}"
[[routes]]
match = "paper@example.test"
to = "drop"
[[routes]]
match = "app@example.test"
to = "http://127.0.0.1:${webPort}/mail"
[[sinks]]
module = "./cell.ts"
event = "onCategorize"
[delivery.retry]
first = "1s"
max = "1s"
[spool]
disk_reserve = "1MiB"
`;
}

export class WideSite {
  readonly site: Site;
  readonly peer: RecordingPeer;
  readonly #web: RecordingWeb;
  /** What was put into the pickup folder, durably. */
  readonly picked: Accepted[] = [];
  readonly #random: () => number;

  private constructor(site: Site, peer: RecordingPeer, web: RecordingWeb, seed: number) {
    this.site = site;
    this.peer = peer;
    this.#web = web;
    this.#random = createRandom(seed + 1);
  }

  static async start(options: {
    readonly seed: number;
    readonly env?: Readonly<Record<string, string>>;
  }): Promise<WideSite> {
    const peer = await RecordingPeer.start();
    const web = await RecordingWeb.start();
    const site = await Site.start({
      config: configFor(peer.port, web.port),
      scripts: { "edit.ts": script },
      ...(options.env && { env: options.env }),
      prepare(folder) {
        writeFileSync(join(folder, "aliases"), "both: ada, grace\nteam: :include:team.txt\nowner-team: reporter\n");
        writeFileSync(join(folder, "team.txt"), "edsger\ngrace\n");
        writeFileSync(join(folder, "cell.ts"), sink);
      },
    });
    return new WideSite(site, peer, web, options.seed);
  }

  /** Puts a message into the pickup folder as writers do: under another name first, synced, renamed. */
  pick(): void {
    const folder = join(this.site.dataFolder, "pickup");
    if (!existsSync(folder)) mkdirSync(folder);
    const marker = `p${this.picked.length}`;
    const { submission, ...message } = composeMessage(marker, this.#random, {
      addressees: mailboxesOf("example.test"),
      from: reporter,
      asksForRefusals: false,
    });
    const envelope = [`X-Sender: <${submission.from}>`, ...submission.to.map((to) => `X-Receiver: <${to}>`)];
    const aside = join(folder, `.${marker}.tmp`);
    writeFileSync(aside, Buffer.concat([Buffer.from(`${envelope.join("\r\n")}\r\n`), submission.data]));
    const file = openSync(aside, "r");
    fsyncSync(file);
    closeSync(file);
    renameSync(aside, join(folder, `${marker}.eml`));
    this.picked.push({ ...message, id: marker });
  }

  delivered(): readonly Delivered[] {
    const { dataFolder } = this.site;
    return [
      ...readMaildirs(join(dataFolder, "mail/example.test"), "reporter"),
      ...readDropped(join(dataFolder, "drop")),
      ...readBadmail(join(dataFolder, "badmail")),
      ...this.peer.delivered,
      ...this.#web.delivered,
    ];
  }

  async remove(): Promise<void> {
    await this.site.remove();
    await this.peer.close();
    await this.#web.close();
  }
}
