// A priority that is none.
// ends: load script.exports
export const priority = 99_999;
export const onArrival = () => {};
