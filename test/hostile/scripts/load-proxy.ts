// A proxy thrown at the top level.
// ends: load script.cpu-limit
throw new Proxy({}, {
  get() {
    for (;;);
  },
});
export const onArrival = () => {};
