// One operation that V8 cannot interrupt.
// ends: script.wall-limit script.cpu-limit script.threw
export const onArrival = (mail) => {
  let n = 3n ** 10_000_000n;
  for (let i = 0; i < 50; i++) n = n * n + 1n;
  return String(n).length;
};
