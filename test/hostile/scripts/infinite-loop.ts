// A loop without end.
// ends: script.cpu-limit
export const onArrival = (mail) => {
  for (;;);
};
