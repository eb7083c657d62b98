// JSON nested deeper than the stack.
// ends: harmless script.threw
export const onArrival = (mail, { log }) => {
  let deep = {};
  for (let i = 0; i < 20_000; i++) deep = { deep };
  JSON.stringify(deep);
};
