/** Where mail for an address would go and who says so, over the control socket. Nothing is sent. */
import { Hono } from "hono";
import { formatMailbox } from "../mail/mailbox.ts";
import { formatReversePath, parseForwardPath, parseReversePath } from "../mail/path.ts";
import { Fault } from "../platform/fault.ts";
import { guardRequests } from "./control-request.ts";

/** A server mail would be offered to. */
export interface RouteTargetView {
  readonly host: string;
  readonly addresses: readonly string[];
  /** The TLS policy there, in words: `opportunistic`, `dane`, `mta-sts enforce` … */
  readonly tls: string;
}

export interface RouteView {
  readonly address: string;
  /** What was found out on the way, a sentence each, and whose word it is. */
  readonly resolution: readonly { readonly by: string; readonly words: string }[];
  /** What it stands for, where it is an alias or a list. */
  readonly expandedTo: readonly RouteView[];
  /** null where nothing would go anywhere. */
  readonly route: {
    /** `mx`, `maildir`, `smtp://…` */
    readonly hop: string;
    /** Who chose: `route 2`, `smarthost`, the id of a binding. */
    readonly by: string;
    /** As the queue's list of destinations names it. */
    readonly destination: string;
    /** Only for what goes over the network, in the order they are tried. */
    readonly targets?: readonly RouteTargetView[];
  } | null;
  /** Why mail for it would fail or wait; null where it would not. */
  readonly error: string | null;
}

export interface RouteControl {
  /** @param from formatted, `<>` for the null one */
  route(address: string, options: { readonly from: string | null }): Promise<RouteView>;
}

/** `/api/v1/route?address=…&from=…` */
export function createRouteApi(control: RouteControl): Hono {
  const api = new Hono();
  guardRequests(api, ["/api/v1/route"]);
  api.get("/api/v1/route", async (context) => {
    const { address, from } = context.req.query();
    if (address === undefined) throw new Fault("control.invalid", "address: expected one");
    const mailbox = formatMailbox(parseForwardPath(address));
    const sender = from === undefined ? null : formatReversePath(parseReversePath(from));
    return context.json(await control.route(mailbox, { from: sender }));
  });
  return api;
}
