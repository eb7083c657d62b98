// The same in a promise nobody awaits: only killing the process stops it.
// ends: script.wall-limit script.cpu-limit
export const onArrival = (mail) => {
  Promise.reject(new Proxy({}, {
    get() {
      for (;;);
    },
  }));
};
