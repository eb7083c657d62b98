// Timers without end.
// ends: script.action-limit
export const onArrival = (mail) => {
  for (;;) setTimeout(() => {}, 0);
};
