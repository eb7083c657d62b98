// A thenable is asked for its then.
// ends: script.cpu-limit
export const onArrival = (mail) => ({
  get then() {
    for (;;);
  },
});
