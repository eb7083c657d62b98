/**
 * The bindings that are asked: the server's own, those of sinks, those of scripts, with what an admin set laid over them. Loads sinks through the
 * loader, hands whole sets to the dispatcher, and tells when nobody uses a former set any more.
 */
import { isDeepStrictEqual } from "node:util";
import { type BindingContent, entryOf } from "./config/binding-document.ts";
import { type Binding, checkBinding } from "./events/binding.ts";
import type { Dispatcher } from "./events/dispatcher.ts";
import { applyOverrides, mergeProperties, type Overrides } from "./events/override.ts";
import type { SinkEntry } from "./sinks/load-sinks.ts";

/** The part of the sink loader (sinks/load-sinks.ts) that is used here. */
export interface SinkBinder {
  /** `createdOrder` of a binding is the place of its entry. Sinks whose entry did not change stay as they are. */
  load(entries: readonly SinkEntry[]): Promise<readonly Binding[]>;
  /** Closes the sinks that the last load had no use for. */
  retire(): Promise<void>;
}

export interface LiveBindingsOptions {
  readonly loader: SinkBinder;
  /** The server's own handling. */
  readonly own: readonly Binding[];
  /** What scripts are live now. */
  readonly scripts: () => readonly Binding[];
  readonly dispatcher: Pick<Dispatcher, "replaceBindings">;
  /** The site's folder: relative paths of modules begin there. */
  readonly folder: string;
}

export class LiveBindings {
  readonly #options: LiveBindingsOptions;
  /** The bindings of a configuration as it is written, which say what its entries are called. */
  #planned: { readonly config: readonly SinkEntry[]; readonly bindings: readonly Binding[] } | undefined;
  /** Resolves when no message uses any set but the present one. */
  #released: Promise<unknown> = Promise.resolve();
  #binds = 0;
  /** What the last load gave; undefined while one is under way. */
  #loaded: readonly Binding[] | undefined;

  constructor(options: LiveBindingsOptions) {
    this.#options = options;
  }

  /** Bindings of sinks, without what is set over them but for their properties, which a sink is made from. @throws {Fault} `rule.syntax` */
  async load(config: readonly SinkEntry[], content: BindingContent): Promise<readonly Binding[]> {
    this.#loaded = undefined;
    const sinks = await this.#load(config, content);
    this.#loaded = sinks;
    return sinks;
  }

  async #load(config: readonly SinkEntry[], { added, overrides }: BindingContent): Promise<readonly Binding[]> {
    const addedEntries = added.map((binding) => entryOf(binding, this.#options.folder));
    const isPlain = !Object.values(overrides).some(({ properties }) => properties !== undefined);
    if (isPlain || !isDeepStrictEqual(this.#planned?.config, config)) {
      const bindings = await this.#options.loader.load([...config, ...addedEntries]);
      this.#planned = { config, bindings: bindings.filter(({ createdOrder }) => createdOrder < config.length) };
      if (isPlain) return bindings;
    }
    const planned = this.#planned!.bindings;
    const parts = config.flatMap((entry, origin) =>
      partsOf(
        entry,
        planned.filter(({ createdOrder }) => createdOrder === origin),
        overrides,
      ).map((part) => ({ part, origin })),
    );
    const bindings = await this.#options.loader.load([...parts.map(({ part }) => part), ...addedEntries]);
    return bindings.map((binding) => {
      const origin = parts[binding.createdOrder]?.origin;
      if (origin === undefined)
        return { ...binding, createdOrder: binding.createdOrder - parts.length + config.length };
      const plan = planned.find((one) => one.createdOrder === origin && one.event === binding.event);
      return { ...binding, id: plan?.id ?? binding.id, createdOrder: origin };
    });
  }

  /** All there are, without what is set over them. */
  written(sinks: readonly Binding[]): readonly Binding[] {
    return [...this.#options.own, ...sinks, ...this.#options.scripts()];
  }

  /** All there are, as they would be asked. @throws {Fault} `binding.invalid`, `rule.syntax` */
  compose(sinks: readonly Binding[], overrides: Overrides): readonly Binding[] {
    const bindings = applyOverrides(this.written(sinks), overrides);
    for (const binding of bindings) checkBinding(binding);
    return bindings;
  }

  /**
   * Makes them what is asked, at once. `released` is called when no message uses any former set any more.
   * @throws {Fault} `binding.invalid`, `rule.syntax`; then nothing changed
   */
  bind(sinks: readonly Binding[], overrides: Overrides, released?: () => void): void {
    const { promise, resolve } = Promise.withResolvers<void>();
    this.#options.dispatcher.replaceBindings(this.compose(sinks, overrides), resolve);
    // A set is released alone; a script's version may be in several of them.
    const all = Promise.all([this.#released, promise]);
    this.#released = all;
    this.#binds++;
    const bound = this.#binds;
    void all.then(async () => {
      released?.();
      // Where others were bound or loaded since, what the loader has no use for may be asked still; the last bind sees to it.
      if (this.#binds === bound && this.#loaded === sinks) await this.#options.loader.retire();
    });
  }
}

/** An entry, or several of them where properties were set for some of its events only: these get a sink of their own. */
function partsOf(entry: SinkEntry, planned: readonly Binding[], overrides: Overrides): SinkEntry[] {
  const changed = ({ id }: Binding) => (Object.hasOwn(overrides, id) ? overrides[id]!.properties : undefined);
  if (!planned.some((binding) => changed(binding) !== undefined)) return [entry];
  const parts: { events: SinkEntry["events"]; readonly properties: SinkEntry["properties"] }[] = [];
  for (const binding of planned) {
    const properties = mergeProperties(entry.properties, changed(binding) ?? {});
    const alike = parts.find((part) => isDeepStrictEqual(part.properties, properties));
    if (alike) alike.events = [...alike.events, binding.event];
    else parts.push({ events: [binding.event], properties });
  }
  return parts.map((part) => ({ ...entry, ...part }));
}
