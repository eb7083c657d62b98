// An event that scripts do not handle.
// ends: load script.exports
export const onCommand = () => {};
