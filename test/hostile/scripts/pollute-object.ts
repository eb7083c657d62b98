// Prototypes that answer for everybody.
// ends: harmless
export const onArrival = (mail) => {
  const keys = ["toJSON", "then", "get", "set", "value", "from", "to", "fields", "fault", "code", "message", "stack", "kind"];
  for (let i = 0; i < keys.length; i++) {
    Object.defineProperty(Object.prototype, keys[i], { __proto__: null, configurable: true, get: () => () => "polluted", set() {} });
  }
  Array.prototype[Symbol.iterator] = () => { throw new Error("polluted"); };
  Object.defineProperty(Array.prototype, "0", { __proto__: null, configurable: true, set() {}, get: () => "polluted" });
  String.prototype.toLowerCase = () => "polluted";
  mail.headers.set("X-Polluted", "yes");
};
