// A thenable that never answers.
// ends: script.never-settled
export const onArrival = (mail) => ({
  then() {},
});
