// A file above the folder.
// ends: compile script.import
import "../../etc/passwd";
export const onArrival = () => {};
