/** The command line against a control socket whose controls are fakes: the real argument parser, the real socket, no server behind it. */
import { mkdirSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createBadMailApi } from "../../src/admin/badmail-control.ts";
import { serveControl } from "../../src/admin/control.ts";
import { createQueueApi } from "../../src/admin/queue-control.ts";
import { createRouteApi } from "../../src/admin/route-control.ts";
import { createScriptsApi } from "../../src/admin/scripts-control.ts";
import { controlSocketName, type ServerView } from "../../src/admin/server-view.ts";
import { createSubmitApi } from "../../src/admin/submit-control.ts";
import { reportFailure } from "../../src/cli/failure.ts";
import { createProgram } from "../../src/cli/onarrival.ts";
import { fakeBadMailControl, fakeQueueControl, fakeRouteControl, fakeSubmitControl } from "./operator-controls.ts";
import { fakeScriptsControl } from "./scripts-control.ts";
import { fakeServerView } from "./server-view.ts";
import { recordTerminal } from "./terminal.ts";

export interface VerbResult {
  readonly status: number;
  readonly out: string;
  readonly err: string;
}

export function createOperatorSite(
  controls: {
    readonly queue?: ReturnType<typeof fakeQueueControl>;
    readonly badmail?: ReturnType<typeof fakeBadMailControl>;
    readonly route?: ReturnType<typeof fakeRouteControl>;
    readonly submit?: ReturnType<typeof fakeSubmitControl>;
    readonly scripts?: ReturnType<typeof fakeScriptsControl>;
    readonly view?: ServerView;
  } = {},
) {
  const folder = mkdtempSync(join(tmpdir(), "operator-"));
  const data = join(folder, "data");
  mkdirSync(data);
  const queue = controls.queue ?? fakeQueueControl();
  const badmail = controls.badmail ?? fakeBadMailControl();
  const route = controls.route ?? fakeRouteControl();
  const submit = controls.submit ?? fakeSubmitControl();
  const scripts = controls.scripts ?? fakeScriptsControl();
  const view = controls.view ?? fakeServerView();
  const routes = [
    createQueueApi(queue),
    createBadMailApi(badmail),
    createRouteApi(route),
    createSubmitApi(submit),
    createScriptsApi(scripts),
  ];
  const site = {
    folder,
    data,
    queue,
    badmail,
    route,
    submit,
    scripts,
    /** A context of its own for verbs that are called as functions. */
    context: () => recordTerminal({ cwd: folder, env: { ONARRIVAL_HOSTNAME: "host.example.org" } }),
    serve: () => serveControl({ view, path: join(data, controlSocketName), routes }),
    /** One command line. Standard input is the test's own, which is no terminal. */
    async run(...argv: string[]): Promise<VerbResult> {
      const context = site.context();
      let status = 0;
      const program = createProgram(context, (result) => {
        status = result;
      });
      try {
        await program.parseAsync(argv, { from: "user" });
      } catch (error) {
        status = reportFailure(error, context.terminal);
      }
      return { status, out: context.outText(), err: context.errText() };
    },
    remove: () => rmSync(folder, { recursive: true, force: true }),
  };
  return site;
}
