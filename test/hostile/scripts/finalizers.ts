// Callbacks for when something is collected.
// ends: harmless
export const onArrival = (mail) => {
  const registry = new FinalizationRegistry(() => {
    for (;;);
  });
  for (let i = 0; i < 1_000; i++) registry.register({}, i);
};
