/** The exit status of what stands in for sendmail: programs that call one know these numbers. sysexits.h of BSD. */

export const sysExit = {
  done: 0,
  usage: 64,
  /** The message is none that could be sent. */
  data: 65,
  noUser: 67,
  /** Refused for good. */
  unavailable: 69,
  /** A bug of ours. */
  software: 70,
  /** The input could not be read. */
  io: 74,
  /** Later it may work. */
  temporary: 75,
  noPermission: 77,
  config: 78,
} as const;

export type SysExit = (typeof sysExit)[keyof typeof sysExit];
