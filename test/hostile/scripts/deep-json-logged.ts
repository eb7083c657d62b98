// The same, handed to the log.
// ends: harmless
export const onArrival = (mail, { log }) => {
  let deep = {};
  for (let i = 0; i < 20_000; i++) deep = { deep };
  log.info(deep);
};
