// Nothing to run.
// ends: load script.exports
export const rule = "";
