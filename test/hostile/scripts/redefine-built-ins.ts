// Built-ins that are not what they were.
// ends: harmless
export const onArrival = async (mail) => {
  JSON.parse = JSON.stringify = () => "redefined";
  Promise.prototype.then = () => { throw new Error("redefined"); };
  Promise.resolve = () => 1;
  Reflect.apply = Function.prototype.call = Function.prototype.apply = () => "redefined";
  RegExp.prototype.exec = RegExp.prototype.test = () => null;
  Object.freeze = Object.defineProperty = () => null;
  Error.prototype.toString = () => { throw new Error("redefined"); };
  await null;
  mail.headers.set("X-Redefined", "yes");
};
