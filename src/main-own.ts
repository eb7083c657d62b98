/**
 * The server's own handling, made of the configuration: whose mail is taken, whom addresses stand for, which way mail goes, who may log in, what is signed. Its sinks
 * stand among the others; a rehearsal binds the very same ones.
 */
import type { Config } from "./config/schema.ts";
import { type Binding, priorityMax } from "./events/binding.ts";
import type { Dispatcher } from "./events/dispatcher.ts";
import { parseNextHop } from "./mail/next-hop.ts";
import { applyDomains } from "./main-changes.ts";
import { localDelivery } from "./outbound/local.ts";
import { compileRoutes, Router, type RouteTable } from "./outbound/router.ts";
import type { Clock } from "./platform/clock.ts";
import type { Log } from "./platform/log.ts";
import { AddressBook, requireAddressFiles } from "./sinks/address-files.ts";
import { categorizer } from "./sinks/categorizer.ts";
import { DkimKeys } from "./sinks/dkim-keys.ts";
import { dkimSign } from "./sinks/dkim-sign.ts";
import { type OwnSink, serverBindings } from "./sinks/load-sinks.ts";
import { loopGuard } from "./sinks/loop-guard.ts";
import { relayControl } from "./sinks/relay-control.ts";
import { submissionBindings } from "./sinks/submission-bindings.ts";
import { UsersFile } from "./sinks/users-file.ts";

export interface OwnOptions {
  readonly config: Config;
  /** Who is asked at onRoute. */
  readonly events: Pick<Dispatcher, "ask" | "bindingsOf">;
  readonly clock: Clock;
  readonly log: Log;
}

export class OwnHandling {
  readonly localDomains: Set<string>;
  readonly relayDomains: Set<string>;
  readonly book: AddressBook;
  readonly router: Router;
  readonly users: UsersFile;
  readonly bindings: readonly Binding[];
  #config: Config;
  readonly #sinks: readonly OwnSink[];

  /** @throws {Fault} `config.invalid` where a file of addresses or a route cannot be used; `users.unreadable` */
  static async open(options: OwnOptions): Promise<OwnHandling> {
    const own = new OwnHandling(options);
    if (submissionListeners(options.config).length > 0) await own.users.start();
    return own;
  }

  private constructor({ config, events, clock, log }: OwnOptions) {
    this.#config = config;
    this.localDomains = new Set(config.domains.local);
    this.relayDomains = new Set(config.domains.relay);
    const { localDomains, relayDomains } = this;
    const plus = () => this.#config.domains.plus;
    const domains = {
      local: localDomains,
      get plus() {
        return plus();
      },
    };
    this.book = new AddressBook({ paths: config.domains, domains, clock, log });
    this.router = new Router({ events, table: this.#tableOf(config) });
    this.users = new UsersFile({ file: config.auth.users, clock, log });
    const keys = new DkimKeys({ folder: config.dkim.folder, clock, log });
    this.#sinks = [
      { sink: relayControl({ localDomains, relayDomains, book: this.book }), events: ["onRcptTo"] },
      { sink: loopGuard(), events: ["onArrival"] },
      { sink: categorizer(this.book), events: ["onCategorize"] },
      { sink: this.router.sink(), events: ["onRoute"] },
      { sink: localDelivery, events: ["onLocalDelivery"] },
      ...submissionBindings({
        users: this.users,
        clock,
        listeners: submissionListeners(config),
        settings: () => this.#config.auth,
      }),
      // Behind every edit.
      ...(config.dkim.sign
        ? [{ sink: dkimSign({ keys, clock }), events: ["onPostCategorize"] as const, priority: priorityMax }]
        : []),
    ];
    this.bindings = serverBindings(this.#sinks);
  }

  /** Checks another configuration; what is given back takes it up, and says what changed. @throws {Fault} `config.invalid` */
  prepare(next: Config): () => Promise<string[]> {
    const table = this.#tableOf(next);
    requireAddressFiles(next.domains);
    return () => this.#take(next, table);
  }

  async #take(next: Config, table: RouteTable): Promise<string[]> {
    this.book.reload(next.domains);
    const before = JSON.stringify([this.#config.routes, this.#config.delivery.local, this.#config.delivery.remote]);
    const after = JSON.stringify([next.routes, next.delivery.local, next.delivery.remote]);
    this.#config = next;
    this.router.replaceTable(table);
    const hasOtherUsers = submissionListeners(next).length > 0 && (await this.users.refresh());
    return [
      ...applyDomains(next, this.localDomains, this.relayDomains),
      ...(before === after ? [] : [`routes: now ${next.routes.length}`]),
      ...(hasOtherUsers ? [`auth.users: read again, now ${this.users.size}`] : []),
    ];
  }

  async close(): Promise<void> {
    for (const { sink } of this.#sinks) await sink.close?.();
  }

  #tableOf({ routes, delivery }: Config): RouteTable {
    return {
      localDomains: this.localDomains,
      routes: compileRoutes(routes),
      local: parseNextHop(delivery.local),
      smarthost: delivery.smarthost !== undefined,
      remote: delivery.remote,
    };
  }
}

function submissionListeners({ listeners }: Config): string[] {
  return listeners.filter(({ role }) => role === "submission").map(({ name }) => name);
}
