/**
 * Runs inside the isolate: the time and the chance a script sees. The clock stands still while a script computes: it shows when the isolate was last entered, by the
 * start of the run or by an answer. Random numbers are those of the run's seed. So a run is a function of what goes into it, and can be repeated.
 */
import { define, defineProperty, matches, slice } from "./primordials.ts";

const { apply, construct } = Reflect;
const RealDate = Date;
const realNow = Date.now;
const realText = Date.prototype.toString;
const realRandom = Math.random;
const parseNumber = Number.parseInt;
const seedText = /^[0-9a-f]{32}$/;

/** Milliseconds since the Unix epoch. */
let clockMs = realNow();
let seed = "";
let isSeeded = false;
/** State of the generator, which is sfc32 of PractRand: three words and a counter. */
let [a, b, c, counter] = [0, 0, 0, 1];

/** What the time is for the script, in milliseconds since the Unix epoch. */
export function clockNow(): number {
  return clockMs;
}

/** From here on it is this late. */
export function setClock(ms: number): void {
  clockMs = ms;
}

/** From here on random numbers are those of this seed, 32 hexadecimal digits. */
export function setSeed(digits: string): void {
  seed = digits;
  isSeeded = false;
}

/** Puts them in the place of the language's own. `Temporal` takes long to make, and is there only where a script mentions it. */
export function prepareClock(withTemporal: boolean): void {
  define(Math, "random", random, false);
  replaceDate();
  replaceFormats();
  if (withTemporal) replaceTemporal();
  else delete (globalThis as { Temporal?: unknown }).Temporal;
}

/** From 0 to below 1, as Math.random. */
export function random(): number {
  if (!isSeeded) plant();
  const sum = (((a + b) | 0) + counter) | 0;
  counter = (counter + 1) | 0;
  a = b ^ (b >>> 9);
  b = (c + (c << 3)) | 0;
  c = (((c << 21) | (c >>> 11)) + sum) | 0;
  return (sum >>> 0) / 4_294_967_296;
}

function plant(): void {
  isSeeded = true;
  const isGiven = matches(seedText, seed);
  const word = (at: number) =>
    isGiven ? parseNumber(slice(seed, at, at + 8), 16) | 0 : (realRandom() * 4_294_967_296) | 0;
  a = word(0);
  b = word(8);
  c = word(16);
  counter = word(24);
  for (let i = 0; i < 12; i++) random();
}

function replaceDate(): void {
  function StandingDate(...parts: unknown[]): unknown {
    if (new.target === undefined) return apply(realText, construct(RealDate, [clockMs]), []);
    return construct(RealDate, parts.length === 0 ? [clockMs] : parts, new.target);
  }
  define(StandingDate, "name", "Date", false);
  defineProperty(StandingDate, "length", { __proto__: null, value: 7 } as PropertyDescriptor);
  defineProperty(StandingDate, "prototype", { __proto__: null, value: RealDate.prototype, writable: false } as never);
  define(StandingDate, "now", clockNow, false);
  define(StandingDate, "parse", RealDate.parse, false);
  define(StandingDate, "UTC", RealDate.UTC, false);
  define(RealDate.prototype, "constructor", StandingDate, false);
  define(globalThis, "Date", StandingDate, false);
}

/** `new Intl.DateTimeFormat().format()` asks for the time as well. */
function replaceFormats(): void {
  const { prototype } = Intl.DateTimeFormat;
  const realFormat = Object.getOwnPropertyDescriptor(prototype, "format")!.get!;
  const realParts = prototype.formatToParts;
  const get = { __proto__: null, get: standingFormat } as PropertyDescriptor;
  function standingFormat(this: Intl.DateTimeFormat): (date?: unknown) => string {
    const format = apply(realFormat, this, []) as (date: unknown) => string;
    return (date) => format(date === undefined ? clockMs : date);
  }
  defineProperty(prototype, "format", get);
  define(
    prototype,
    "formatToParts",
    function formatToParts(this: Intl.DateTimeFormat, date?: unknown) {
      return apply(realParts, this, [date === undefined ? clockMs : date]);
    },
    false,
  );
}

/** What is used of `Temporal`. */
interface TemporalKit {
  readonly Now: { readonly timeZoneId: () => string } & Record<string, unknown>;
  readonly Instant: { readonly fromEpochMilliseconds: (ms: number) => object; readonly prototype: object };
  readonly ZonedDateTime: { readonly prototype: Record<string, (...args: never) => object> };
}

function replaceTemporal(): void {
  const kit = (globalThis as unknown as { readonly Temporal?: TemporalKit }).Temporal;
  if (kit === undefined) return;
  const { timeZoneId } = kit.Now;
  const { fromEpochMilliseconds } = kit.Instant;
  const { toZonedDateTimeISO } = kit.Instant.prototype as { readonly toZonedDateTimeISO: (zone: unknown) => object };
  const { toPlainDate, toPlainTime, toPlainDateTime } = kit.ZonedDateTime.prototype;
  const instant = () => apply(fromEpochMilliseconds, kit.Instant, [clockMs]) as object;
  const zoned = (zone: unknown = timeZoneId()) => apply(toZonedDateTimeISO, instant(), [zone]) as object;
  define(kit.Now, "instant", instant, false);
  define(kit.Now, "zonedDateTimeISO", (zone?: unknown) => zoned(zone), false);
  define(kit.Now, "plainDateISO", (zone?: unknown) => apply(toPlainDate as () => object, zoned(zone), []), false);
  define(kit.Now, "plainTimeISO", (zone?: unknown) => apply(toPlainTime as () => object, zoned(zone), []), false);
  define(
    kit.Now,
    "plainDateTimeISO",
    (zone?: unknown) => apply(toPlainDateTime as () => object, zoned(zone), []),
    false,
  );
}
