/** Scripts under observation, over the control socket: the figures of each version, and what a script logs, line by line as it comes. */
import { Hono } from "hono";
import { Fault } from "../platform/fault.ts";
import type { ScriptFigures, VersionFigures } from "../scripting/figures.ts";
import type { ScriptLog, ScriptLogLine } from "../scripting/script-log.ts";
import { guardRequests, readCount, readWords } from "./control-request.ts";

/** `former`: it ran since the server started, and does not any more. */
export type VersionRole = "live" | "canary" | "former";

export interface ScriptFiguresView extends Omit<ScriptFigures, "versions"> {
  readonly versions: readonly (VersionFigures & { readonly role: VersionRole })[];
}

export interface ScriptWatch {
  figures(): readonly ScriptFiguresView[];
  readonly lines: Pick<ScriptLog, "last" | "follow">;
}

const levels: readonly string[] = ["debug", "info", "warn", "error"];
const nameLengthMax = 500;
const linesMax = 1_000;
const linesDefault = 20;
/** Octets a slow follower may be behind before lines are left out. */
const backlogOctetsMax = 1_048_576;

/** `/api/v1/scripts/figures`, and `/api/v1/scripts/log`: JSON lines, with `follow` as long as the client listens. */
export function createScriptWatchApi(watch: ScriptWatch): Hono {
  const api = new Hono();
  guardRequests(api, ["/api/v1/scripts/figures", "/api/v1/scripts/log"]);
  api.get("/api/v1/scripts/figures", (context) => context.json({ scripts: watch.figures() }));
  api.get("/api/v1/scripts/log", (context) => {
    const { script: scriptText, level = "debug", lines: linesText, follow } = context.req.query();
    const script = readWords(scriptText, "script", nameLengthMax);
    if (script === undefined) throw new Fault("control.invalid", "script: expected the name of one");
    const least = levels.indexOf(level);
    if (least === -1) throw new Fault("control.invalid", `level: expected ${levels.join(", ")}`);
    const count = readCount(linesText, { name: "lines", min: 0, max: linesMax }) ?? linesDefault;
    const isMeant = (line: ScriptLogLine) => levels.indexOf(line.level) >= least;
    // Of those that are meant, not of all.
    const last = watch.lines.last(script, linesMax).filter(isMeant);
    const shown = count === 0 ? [] : last.slice(-count);
    const headers = { "Content-Type": "application/x-ndjson" };
    if (follow === undefined) return new Response(shown.map(lineOf).join(""), { headers });
    return new Response(followLines(watch.lines, script, shown, isMeant), { headers });
  });
  return api;
}

function followLines(
  lines: Pick<ScriptLog, "follow">,
  script: string,
  shown: readonly ScriptLogLine[],
  isMeant: (line: ScriptLogLine) => boolean,
): ReadableStream<Uint8Array> {
  const encoder = new TextEncoder();
  let stop = () => {};
  let missed = 0;
  return new ReadableStream<Uint8Array>(
    {
      start(controller) {
        const write = (text: string) => controller.enqueue(encoder.encode(text));
        // Says at once that it is heard, before there is a line.
        write(`\n${shown.map(lineOf).join("")}`);
        stop = lines.follow(script, (line) => {
          if (!isMeant(line)) return;
          if ((controller.desiredSize ?? 0) <= 0) {
            missed++;
            return;
          }
          if (missed > 0) write(lineOf({ missed }));
          missed = 0;
          write(lineOf(line));
        });
      },
      cancel: () => stop(),
    },
    { highWaterMark: backlogOctetsMax, size: (chunk) => chunk.byteLength },
  );
}

function lineOf(value: object): string {
  return `${JSON.stringify(value)}\n`;
}
