// Asks the outside without end.
// ends: script.action-limit script.cpu-limit
export const onArrival = async (mail) => {
  for (;;) await mail.raw();
};
