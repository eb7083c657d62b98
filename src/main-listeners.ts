/** Starts the listeners of the configuration, each with its engine, and says what cannot happen on them. */
import type { ListenerView } from "./admin/server-view.ts";
import type { Config } from "./config/schema.ts";
import type { Dispatcher } from "./events/dispatcher.ts";
import { eventNames, eventTable } from "./events/event-table.ts";
import { libraryEvents, startLibraryListener } from "./inbound/library-engine.ts";
import type { Listener, ListenerOptions } from "./inbound/listener.ts";
import { startNativeListener } from "./inbound/native-engine.ts";
import { Reception, type ReceptionOptions } from "./inbound/reception.ts";
import type { Log } from "./platform/log.ts";
import type { LoopLag } from "./platform/loop-lag.ts";

export interface ListenerParts {
  readonly config: Config;
  /** The configuration's listeners with the files they name, in the same order. */
  readonly options: readonly ListenerOptions[];
  readonly reception: Omit<ReceptionOptions, "overloaded">;
  readonly lag: LoopLag;
  readonly dispatcher: Dispatcher;
  readonly log: Log;
}

/**
 * Starts them one after the other, and puts each into `listeners` and `views` as soon as it takes clients.
 * @throws {Fault} `listen.failed`; `config.unreadable` where a certificate cannot be used
 */
export async function startListeners(
  { config, options: allOptions, reception, lag, dispatcher, log }: ListenerParts,
  listeners: Listener[],
  views: ListenerView[],
): Promise<void> {
  const { clock } = reception;
  for (const [i, listenerConfig] of config.listeners.entries()) {
    const options = allOptions[i]!;
    const { shedLagMs } = listenerConfig.limits;
    const receives = new Reception(options, {
      ...reception,
      // A reload may change it.
      get postmasterDomain() {
        return reception.postmasterDomain;
      },
      overloaded: () => shedLagMs > 0 && lag.lagMs > shedLagMs,
    });
    const start = listenerConfig.engine === "native" ? startNativeListener : startLibraryListener;
    const listener = await start(options, receives, { clock, log });
    listeners.push(listener);
    const { name, address, port } = listener;
    views.push({ name, address, port, role: listenerConfig.role });
    if (listenerConfig.engine === "library") warnOfSilentEvents(name, dispatcher, log);
  }
}

/** A sink bound to an event that the library's API does not show would wait for ever there; say so. */
function warnOfSilentEvents(listener: string, dispatcher: Dispatcher, log: Log): void {
  for (const event of eventNames) {
    if (eventTable[event].family !== "inbound" || libraryEvents.has(event)) continue;
    for (const { id } of dispatcher.bindingsOf(event))
      log.warn("binding.never-fires", { binding: id, trigger: event, listener, engine: "library" });
  }
}
