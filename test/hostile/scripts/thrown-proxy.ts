// A proxy that answers no question.
// ends: script.cpu-limit
export const onArrival = (mail) => {
  throw new Proxy({}, {
    get() {
      for (;;);
    },
  });
};
