// A regular expression that takes for ever.
// ends: script.cpu-limit
export const onArrival = (mail) => /^(a+)+$/.test("a".repeat(50) + "b");
