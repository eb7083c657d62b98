// Call sites tell of no function and no this.
// ends: harmless
export const onArrival = (mail, { log }) => {
  Error.prepareStackTrace = (error, sites) => sites;
  const sites = new Error().stack;
  for (const site of sites) {
    if (site.getThis() !== undefined || site.getFunction() !== undefined) throw new Error("a way out");
  }
};
