/**
 * Bindings while the server runs: what an admin changes, on top of what the configuration and the scripts say. A change is checked whole, written,
 * then live; where one of these fails, everything is as it was. Changes are made one after the other.
 */
import type { BindingChange, BindingControl, BindingRevision } from "./admin/binding-control.ts";
import type { BindingView } from "./admin/server-view.ts";
import {
  type AddedBinding,
  type BindingContent,
  type BindingDocument,
  differences,
  documentFormat,
  emptyDocument,
  formatDocument,
  keptPath,
  mergeContent,
  nextAdded,
  plainFields,
  readDocument,
  withAdded,
} from "./config/binding-document.ts";
import type { BindingFile } from "./config/binding-file.ts";
import { type Binding, priorityDefault } from "./events/binding.ts";
import { eventTable } from "./events/event-table.ts";
import {
  type BindingField,
  type BindingFields,
  bindingFields,
  changeOverride,
  eventOfId,
  mergeProperties,
  readFields,
  unknownField,
} from "./events/override.ts";
import { LiveBindings, type LiveBindingsOptions } from "./main-bindings-live.ts";
import type { Clock } from "./platform/clock.ts";
import { Fault } from "./platform/fault.ts";
import type { Log } from "./platform/log.ts";
import type { SinkEntry } from "./sinks/load-sinks.ts";

export interface BindingControlOptions extends LiveBindingsOptions {
  readonly file: BindingFile;
  readonly clock: Clock;
  readonly log: Log;
}

export interface RunningBindings extends BindingControl {
  /** Reads the file, loads the sinks, and binds. @throws {Fault} `bindings.unreadable`, `rule.syntax`; then nothing is bound */
  start(config: readonly SinkEntry[]): Promise<void>;
  /** The same again, with what configuration and file say now. @throws {Fault} the same; then nothing changed */
  reload(config: readonly SinkEntry[]): Promise<void>;
  /** Binds what scripts are live now; `released` is called when no message uses the former bindings any more. */
  rebind(released?: () => void): void;
}

/** What is in force. */
interface State {
  readonly config: readonly SinkEntry[];
  readonly document: BindingDocument;
  /** As the loader made them, without what is set over them. */
  readonly sinks: readonly Binding[];
}

export function createBindingControl(options: BindingControlOptions): RunningBindings {
  const { file, clock, log, folder } = options;
  const live = new LiveBindings(options);
  let state: State = { config: [], document: emptyDocument, sinks: [] };
  /** Never rejects. */
  let work: Promise<unknown> = Promise.resolve();
  const inTurn = <T>(change: () => Promise<T>): Promise<T> => {
    const done = work.then(change);
    work = done.catch(() => {});
    return done;
  };

  const nowText = () => new Date(clock.now()).toISOString();

  /** Makes it what is asked, once `write` has kept it; where that fails, what was in force is so again. */
  async function goLive(
    { config, document }: Omit<State, "sinks">,
    check: (bindings: readonly Binding[]) => void = () => {},
    write: { (): Promise<void>; takeBack?: () => Promise<void> } = async () => {},
  ): Promise<readonly Binding[]> {
    const former = state;
    try {
      const sinks = await live.load(config, document);
      const bindings = live.compose(sinks, document.overrides);
      check(bindings);
      await write();
      try {
        live.bind(sinks, document.overrides);
      } catch (error) {
        await write.takeBack?.();
        throw error;
      }
      state = { config, document, sinks };
      return bindings;
    } catch (error) {
      state = { ...former, sinks: await live.load(former.config, former.document) };
      live.bind(state.sinks, state.document.overrides);
      throw error;
    }
  }

  async function readAgain(config: readonly SinkEntry[]): Promise<void> {
    const read = await file.read();
    // An edit by hand is a revision of its own: undo leads back to what was before it.
    const isEdited = await file.isEdited();
    const { restored: _restored, ...edited } = read;
    const document = isEdited ? { ...edited, revision: read.revision + 1, changedAt: nowText() } : read;
    const bindings = await goLive({ config, document }, undefined, async () => {
      file.takeUp();
      if (isEdited) await file.write(document);
    });
    for (const { id, event, source } of bindings)
      if (!eventTable[event].fired && source !== "script")
        log.warn("binding.never-fires", { binding: id, trigger: event });
    for (const { id } of missing()) log.warn("binding.missing", { binding: id });
  }

  async function commit(
    content: BindingContent,
    { force, restored }: { readonly force: boolean; readonly restored?: number },
  ): Promise<BindingChange> {
    const { document: former, sinks: formerSinks, config } = state;
    const changes = differences(former, content);
    if (changes.length === 0) return { revision: former.revision, changes, warnings: [] };
    const { issued, added, overrides } = content;
    const document: BindingDocument = {
      format: documentFormat,
      revision: former.revision + 1,
      changedAt: nowText(),
      ...(restored !== undefined && { restored }),
      issued,
      added,
      overrides,
    };
    const bindings = await goLive(
      { config, document },
      (composed) => {
        if (!force) refuseBroken(composed, formerSinks);
      },
      Object.assign(() => file.write(document), { takeBack: () => file.putBack() }),
    );
    log.info("bindings.changed", { revision: document.revision, bindings: changes.map(({ id }) => id) });
    return {
      revision: document.revision,
      changes,
      warnings: warningsOf(
        changes.map(({ id }) => id),
        bindings,
      ),
    };
  }

  function missing(): readonly BindingView[] {
    const present = new Set(live.written(state.sinks).map(({ id }) => id));
    return Object.entries(state.document.overrides)
      .filter(([id]) => !present.has(id))
      .map(([id, fields]) => missingView(id, fields));
  }

  /** One binding of the document with a change made to it. */
  function changed(
    content: BindingContent,
    id: string,
    { set, reset }: { readonly set: unknown; readonly reset: readonly BindingField[] },
  ): BindingContent {
    const event = eventOfId(id);
    const fields = readFields(set, { place: id, ...(event && { event }) });
    const added = content.added.find((one) => one.id === id);
    if (added) return withEntry(content, changedEntry(added, fields, reset));
    const binding = live.written(state.sinks).find((one) => one.id === id);
    const former = Object.hasOwn(content.overrides, id) ? content.overrides[id] : undefined;
    if (!binding && !(former && Object.keys(fields).length === 0)) throw unknownBinding(id);
    if (binding) checkChangeable(binding, fields);
    const next = changeOverride(former, { set: fields, reset, binding });
    return withOverride(content, id, next);
  }

  function removed(content: BindingContent, id: string, override: boolean): BindingContent {
    const isAdded = content.added.some((one) => one.id === id);
    const binding = live.written(state.sinks).find((one) => one.id === id);
    const isOverridden = Object.hasOwn(content.overrides, id);
    if (isAdded && !override) {
      const without = { ...content, added: content.added.filter((one) => one.id !== id) };
      return withOverride(without, id, undefined);
    }
    // Of a binding that is gone only this is left.
    if (isOverridden && (override || !binding)) return withOverride(content, id, undefined);
    if (!binding) throw unknownBinding(id);
    if (override) throw new Fault("binding.conflict", `Cannot reset ${id}: nothing is set over it`);
    throw new Fault("binding.conflict", `Cannot remove ${id}: ${whyItStays(binding)}`);
  }

  return {
    start: (config) => inTurn(() => readAgain(config)),
    reload: (config) => inTurn(() => readAgain(config)),
    rebind: (released) => live.bind(state.sinks, state.document.overrides, released),
    missing,
    add: (fields, { force }) =>
      inTurn(async () => {
        const added = inFolder(nextAdded(fields, state.document), folder);
        return { id: added.id, ...(await commit(withAdded(state.document, added), { force })) };
      }),
    set: (ids, { set, reset, force }) =>
      inTurn(async () => {
        const fields = readReset(reset);
        let content: BindingContent = state.document;
        for (const id of ids) content = changed(content, id, { set, reset: fields });
        return await commit(content, { force });
      }),
    remove: (ids, { override }) =>
      inTurn(async () => {
        let content: BindingContent = state.document;
        for (const id of new Set(ids)) content = removed(content, id, override);
        return await commit(content, { force: true });
      }),
    export: () => formatDocument(state.document),
    import: (json, { mode, dryRun, force }) =>
      inTurn(async () => {
        const other = readDocument(json);
        const moved = { ...other, added: other.added.map((one) => inFolder(one, folder)) };
        const content = mergeContent(state.document, moved, mode);
        if (!dryRun) return await commit(content, { force });
        return { revision: state.document.revision, changes: differences(state.document, content), warnings: [] };
      }),
    undo: ({ to }) =>
      inTurn(async () => {
        const { document } = state;
        const target = to ?? (await originOf(document, file)) - 1;
        if (target < 0) throw new Fault("binding.conflict", "Cannot undo: nothing was changed yet");
        const wanted = await file.revision(target);
        if (!wanted) throw new Fault("binding.conflict", `Cannot go back to revision ${target}: it is not kept`);
        return await commit(mergeContent(document, wanted, "replace"), { force: true, restored: target });
      }),
    async history() {
      const revisions: BindingRevision[] = [];
      let before: BindingDocument | undefined = emptyDocument;
      for (const revision of await file.revisions()) {
        // One that is damaged is left out; it is no reason to hide the others.
        const document: BindingDocument | undefined = await file.revision(revision).catch(() => undefined);
        if (!document) continue;
        revisions.push({
          revision,
          changedAt: document.changedAt,
          restored: document.restored ?? null,
          isPresent: revision === state.document.revision,
          changes: before?.revision === revision - 1 ? differences(before, document) : [],
        });
        before = document;
      }
      return revisions;
    },
  };
}

/** The revision whose content a document first was: an undo of an undo goes further back. */
async function originOf(document: BindingDocument, file: BindingFile): Promise<number> {
  let origin = document;
  while (origin.restored !== undefined && origin.restored < origin.revision) {
    const earlier = await file.revision(origin.restored);
    if (!earlier) return origin.restored;
    origin = earlier;
  }
  return origin.revision;
}

function inFolder(added: AddedBinding, folder: string): AddedBinding {
  return added.module === undefined ? added : { ...added, module: keptPath(added.module, folder) };
}

function changedEntry(
  entry: AddedBinding,
  { properties, ...fields }: BindingFields,
  reset: readonly BindingField[],
): AddedBinding {
  const usual = plainFields(entry);
  const plain = Object.fromEntries(reset.map((field) => [field, usual[field]]));
  const before: AddedBinding = { ...entry, ...plain };
  return { ...before, ...fields, properties: mergeProperties(before.properties, properties ?? {}) };
}

function withEntry(content: BindingContent, entry: AddedBinding): BindingContent {
  return { ...content, added: content.added.map((one) => (one.id === entry.id ? entry : one)) };
}

function withOverride(content: BindingContent, id: string, fields: BindingFields | undefined): BindingContent {
  const { [id]: _former, ...others } = content.overrides;
  return { ...content, overrides: fields ? { ...others, [id]: fields } : others };
}

function readReset(reset: unknown): readonly BindingField[] {
  if (!Array.isArray(reset)) throw new Fault("binding.invalid", "reset: expected a list of fields");
  return reset.map((name: unknown) => {
    const field = bindingFields.find((one) => one === name);
    if (field === undefined) throw unknownField(String(name), bindingFields, "reset");
    return field;
  });
}

/** @throws {Fault} `binding.conflict`, `binding.invalid` */
function checkChangeable({ id, source }: Binding, fields: BindingFields): void {
  if (source === "server")
    throw new Fault("binding.conflict", `Cannot change ${id}: it is the server's own handling, which stays as it is`);
  if (source === "script" && fields.timeoutMs !== undefined)
    throw new Fault("binding.invalid", `${id}: timeoutMs: a script has none; expected a native sink`);
}

function whyItStays({ id, source }: Binding): string {
  switch (source) {
    case "server":
      return "it is the server's own handling";
    case "script":
      return `it goes with its script; take the file out of the scripts folder, or: onarrival bindings disable '${id}'`;
    default:
      return `it stands in the configuration; take it out there, or: onarrival bindings disable '${id}'`;
  }
}

function unknownBinding(id: string): Fault {
  return new Fault("binding.unknown", `There is no binding ${id}`);
}

/** A change must not make a sink broken that worked, or bind one that is. @throws {Fault} `sink.load` */
function refuseBroken(bindings: readonly Binding[], formerSinks: readonly Binding[]): void {
  const wasBroken = new Set(formerSinks.filter(({ target }) => target.kind === "broken").map(({ id }) => id));
  for (const { id, source, target } of bindings) {
    if (target.kind !== "broken" || source === "script" || wasBroken.has(id)) continue;
    throw new Fault("sink.load", `Cannot bind ${id}: ${target.reason}`);
  }
}

function warningsOf(ids: readonly string[], bindings: readonly Binding[]): string[] {
  return ids.flatMap((id) => {
    const binding = bindings.find((one) => one.id === id);
    if (!binding) return [];
    const { event, rule, target } = binding;
    return [
      ...(target.kind === "broken" ? [`${id} is broken and is not asked: ${target.reason}`] : []),
      ...(eventTable[event].fired ? [] : [`${id} is never asked: this version does not fire ${event}`]),
      ...(rule?.warnings ?? []),
    ];
  });
}

/** Fields that wait for a binding that is not there: its script or its sink may come back. */
function missingView(id: string, fields: BindingFields): BindingView {
  const [name = id] = id.split("#");
  return {
    id,
    event: /#(on[A-Za-z]+)/.exec(id)?.[1] ?? "",
    name,
    source: id.startsWith("sinks/") ? "config" : id.startsWith("added/") ? "added" : "script",
    kind: "missing",
    priority: fields.priority ?? priorityDefault,
    rule: fields.rule ?? null,
    enabled: fields.enabled ?? true,
    phase: fields.phase ?? "session",
    onFault: fields.onFault ?? "defer",
    timeoutMs: fields.timeoutMs ?? null,
    maxFirings: fields.maxFirings ?? 0,
    properties: fields.properties ?? {},
    overridden: bindingFields.filter((field) => fields[field] !== undefined),
    firings: 0,
    faults: 0,
    breaker: "closed",
    lastFault: null,
    reason: "no such binding now",
  };
}
