// A log line asks for a text.
// ends: script.cpu-limit
export const onArrival = (mail, { log }) => {
  log.info({
    toJSON() {
      for (;;);
    },
  });
};
