// The same, returned.
// ends: script.cpu-limit
export const onArrival = (mail) => new Proxy({}, {
  get() {
    for (;;);
  },
});
