// No TypeScript.
// ends: compile script.compile
export const onArrival = (mail => {
