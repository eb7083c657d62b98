// A loop at the top level.
// ends: load script.cpu-limit
for (;;);
export const onArrival = () => {};
