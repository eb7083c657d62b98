// A log nobody wants to keep.
// ends: harmless script.cpu-limit
export const onArrival = (mail, { log }) => {
  const line = "x".repeat(50_000);
  for (let i = 0; i < 1_000; i++) log.info(line);
};
