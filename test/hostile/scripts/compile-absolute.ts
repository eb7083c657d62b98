// A file by its whole path.
// ends: compile script.import
import "/etc/passwd";
export const onArrival = () => {};
