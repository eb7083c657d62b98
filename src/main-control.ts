/** What the control socket offers beside the server's view of itself: one API for each part that can be asked or changed. */
import type { Hono } from "hono";
import { createBadMailApi } from "./admin/badmail-control.ts";
import { type BindingControl, createBindingApi } from "./admin/binding-control.ts";
import { createLiveApi, type LiveView } from "./admin/control-live.ts";
import { createQueueApi } from "./admin/queue-control.ts";
import { createRouteApi } from "./admin/route-control.ts";
import { createScriptWatchApi, type ScriptWatch } from "./admin/script-watch-control.ts";
import { createScriptsApi, type ScriptsControl } from "./admin/scripts-control.ts";
import { createSubmitApi } from "./admin/submit-control.ts";
import type { Dispatcher } from "./events/dispatcher.ts";
import { parseMailbox } from "./mail/mailbox.ts";
import { parseReversePath } from "./mail/path.ts";
import type { Entrances } from "./main-entrances.ts";
import type { OwnHandling } from "./main-own.ts";
import { createQueueControl } from "./main-queue-control.ts";
import { explainRoute } from "./main-route.ts";
import type { Transport } from "./main-transport.ts";
import type { Clock } from "./platform/clock.ts";
import type { Queue } from "./queue/queue.ts";
import type { Spool } from "./spool/spool.ts";

export interface ControlParts extends LiveView {
  readonly bindings: BindingControl;
  readonly scripts: ScriptsControl;
  readonly watch: ScriptWatch;
  readonly queue: Queue;
  readonly spool: Spool;
  readonly transport: Transport;
  readonly own: OwnHandling;
  readonly entrances: Entrances;
  readonly events: Dispatcher;
  readonly lifetimeMs: () => number;
  readonly clock: Clock;
}

export function createControlRoutes(parts: ControlParts): readonly Hono[] {
  const {
    bindings,
    scripts,
    watch,
    tracer,
    explain,
    queue,
    spool,
    transport,
    own,
    entrances,
    events,
    lifetimeMs,
    clock,
  } = parts;
  const { router, book } = own;
  const { targetsOf, delivery, askAnew } = transport;
  return [
    createBindingApi(bindings),
    createScriptsApi(scripts),
    createScriptWatchApi(watch),
    createLiveApi({ tracer, explain }),
    createQueueApi(createQueueControl({ queue, spool, laneOf: delivery.laneOf, lifetimeMs, askAnew, clock })),
    createBadMailApi(entrances.desk),
    createSubmitApi(entrances.submit),
    createRouteApi({
      route: (address, { from }) =>
        explainRoute({ events, router, book, clock, targetsOf }, parseMailbox(address), {
          from: from === null ? null : parseReversePath(from),
        }),
    }),
  ];
}
