/** A server view and a control of bindings by hand: two scripts and three bindings. Parts of them can be replaced. */
import type { BindingControl } from "../../src/admin/binding-control.ts";
import type { BindingView, ServerView } from "../../src/admin/server-view.ts";

/** A binding as it is listed: native, from the configuration, active, never asked. Parts of it can be replaced. */
export function bindingView(parts: Partial<BindingView> & Pick<BindingView, "id" | "event" | "name">): BindingView {
  return {
    source: "config",
    kind: "native",
    priority: 24_575,
    rule: null,
    enabled: true,
    phase: "session",
    onFault: "defer",
    timeoutMs: null,
    maxFirings: 0,
    properties: {},
    overridden: [],
    firings: 0,
    faults: 0,
    breaker: "closed",
    lastFault: null,
    reason: null,
    ...parts,
  };
}

/** What there is to say of a script where nothing was done with it but saving it. */
const quiet = { since: "2026-11-02T09:00:00.000Z", pinned: null, pending: null, grants: [], warnings: [] } as const;

export function fakeServerView(parts: Partial<ServerView> = {}): ServerView {
  return {
    scripts: () => [
      {
        name: "scripts/a.ts",
        state: "live",
        version: `sha256:${"ab".repeat(32)}`,
        events: ["onArrival"],
        priority: 1000,
        rule: "RCPT TO=*@example.test",
        onFault: "defer",
        runs: 3,
        faults: 0,
        lastFault: null,
        ...quiet,
      },
      {
        name: "scripts/b.ts",
        state: "broken-edit",
        version: `sha256:${"cd".repeat(32)}`,
        events: ["onArrival"],
        priority: 24_575,
        rule: null,
        onFault: "proceed",
        runs: 1,
        faults: 1,
        lastFault: {
          code: "script.compile",
          message: 'Expected ";"',
          at: "scripts/b.ts:3:7",
          time: "2026-11-02T09:30:00.000Z",
        },
        ...quiet,
      },
    ],
    bindings: () => [
      bindingView({ id: "relay-control#onRcptTo", event: "onRcptTo", name: "relay-control", source: "server" }),
      bindingView({
        id: "scripts/a.ts#onArrival",
        event: "onArrival",
        name: "scripts/a.ts",
        source: "script",
        kind: "script",
        priority: 1000,
        rule: "RCPT TO=*@example.test",
      }),
      bindingView({
        id: "x#onArrival",
        event: "onArrival",
        name: "x",
        kind: "broken",
        onFault: "refuse",
        reason: "no such export",
      }),
    ],
    status: () => ({
      version: "1.2.3",
      pid: 7,
      startedAt: "2026-11-02T09:00:00.000Z",
      hostname: "mx.example.org",
      configFile: null,
      data: "/data",
      scripts: "/scripts",
      listeners: [],
      queue: { messages: 1, recipients: 1 },
      draining: false,
    }),
    ready: () => ({ ready: true, reasons: [] }),
    metrics: async () => "onarrival_up 1\n",
    ...parts,
  };
}

/** A control of bindings by hand: it keeps what it was asked, and answers with one difference. Parts of it can be replaced. */
export function fakeBindingControl(
  parts: Partial<BindingControl> = {},
): BindingControl & { readonly asked: unknown[][] } {
  const asked: unknown[][] = [];
  const answer =
    (name: string) =>
    async (...words: unknown[]) => {
      asked.push([name, ...words]);
      return {
        id: "added/x#onData",
        revision: 4,
        changes: [{ sign: "~" as const, id: "x#onArrival", words: ["priority 1 → 2"] }],
        warnings: ["mind this"],
      };
    };
  return {
    asked,
    missing: () => [],
    add: answer("add"),
    set: answer("set"),
    remove: answer("remove"),
    export: () => '{"format": 1}\n',
    import: answer("import"),
    undo: answer("undo"),
    history: async () => [
      { revision: 1, changedAt: "2026-11-02T09:30:00.000Z", restored: null, isPresent: false, changes: [] },
      {
        revision: 2,
        changedAt: "2026-11-02T09:35:00.000Z",
        restored: 0,
        isPresent: true,
        changes: [{ sign: "-", id: "added/x#onData", words: ["x on onData"] }],
      },
    ],
    ...parts,
  };
}
