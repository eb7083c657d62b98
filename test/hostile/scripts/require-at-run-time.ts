// The same, the old way.
// ends: script.threw
export const onArrival = (mail) => {
  const name = ["f", "s"].join("");
  return require(name).readFileSync("/etc/passwd", "utf8");
};
