// The same, awaited.
// ends: script.cpu-limit
export const onArrival = async (mail) => {
  for (;;) await null;
};
