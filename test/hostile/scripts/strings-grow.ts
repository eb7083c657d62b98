// Strings that are written out.
// ends: script.heap-limit script.cpu-limit
export const onArrival = (mail) => {
  const all = [];
  for (let i = 0; ; i++) all.push(`${i}`.padEnd(100_000, String(i)).split("").join("-"));
};
