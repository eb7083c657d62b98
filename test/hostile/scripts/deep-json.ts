// JSON nested deeper than the stack.
// ends: script.threw
export const onArrival = (mail, { log }) => {
  let deep = {};
  for (let i = 0; i < 200_000; i++) deep = { deep };
  JSON.stringify(deep);
};
