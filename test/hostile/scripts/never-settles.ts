// A promise that nothing settles.
// ends: script.never-settled
export const onArrival = async (mail) => {
  await new Promise(() => {});
};
