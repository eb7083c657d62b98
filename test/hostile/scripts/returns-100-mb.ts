// What a handler returns goes nowhere.
// ends: harmless script.heap-limit script.threw
export const onArrival = (mail) => "x".repeat(100_000_000);
