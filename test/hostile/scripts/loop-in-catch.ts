// Being stopped cannot be caught.
// ends: script.cpu-limit
export const onArrival = (mail) => {
  for (;;) {
    try {
      for (;;);
    } catch {}
  }
};
