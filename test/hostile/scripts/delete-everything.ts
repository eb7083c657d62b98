// A world without names.
// ends: harmless
export const onArrival = (mail) => {
  if (typeof Object === "undefined") return;
  for (const name of Object.getOwnPropertyNames(globalThis)) {
    try {
      delete globalThis[name];
    } catch {}
  }
  mail.headers.set("X-Bare", "yes");
};
