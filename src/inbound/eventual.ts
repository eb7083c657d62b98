/** Values that are here, or come later. Most sinks answer at once, and then nobody makes a promise or waits a turn of the loop for one. */

export type Eventual<T> = T | Promise<T>;

/** Goes on with a value as soon as it is here: at once where it is. */
export function whenHere<T, R>(value: Eventual<T>, goOn: (value: T) => Eventual<R>): Eventual<R> {
  return value instanceof Promise ? value.then(goOn) : goOn(value);
}
