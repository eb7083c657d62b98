// The same, the old way.
// ends: compile script.import
const fs = require("fs");
export const onArrival = () => fs;
