// Prototypes that answer for everybody.
// ends: harmless
export const onArrival = (mail) => {
  for (const key of ["toJSON", "then", "get", "set", "value", "from", "to", "fields", "fault", "code", "message", "stack", "kind"]) {
    Object.defineProperty(Object.prototype, key, { configurable: true, get: () => () => "polluted", set() {} });
  }
  Array.prototype[Symbol.iterator] = () => { throw new Error("polluted"); };
  Object.defineProperty(Array.prototype, "0", { configurable: true, set() {}, get: () => "polluted" });
  String.prototype.toLowerCase = () => "polluted";
  mail.headers.set("X-Polluted", "yes");
};
