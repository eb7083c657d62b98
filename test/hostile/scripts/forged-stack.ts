// A stack and a message that want to be something else.
// ends: script.threw
export const onArrival = (mail) => {
  const error = new Error("\u001b[2J\u001b]0;owned\u0007 fine\r\n{\"level\":\"info\"}");
  error.stack = "Error\n    at root (/etc/passwd:1:1)\n    at x (compiled:///script.js:999999:1)\n    at y (file:///srv/secret.ts:1:1)";
  throw error;
};
