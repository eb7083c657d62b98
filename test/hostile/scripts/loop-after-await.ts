// The time limit holds behind an await.
// ends: script.cpu-limit
export const onArrival = async (mail) => {
  await null;
  for (;;);
};
