/** The check behind the strace test sees every order that is wrong. */
import { describe, expect, test } from "vitest";
import { type Answered, checkSyncOrder } from "./sync-order.ts";

describe("checkSyncOrder", () => {
  const small: Answered = { id: "01KB2C3D4E5F6G7H", marker: "first", large: false };
  const large: Answered = { id: "01KB2C3D4E5F6G7J", marker: "second", large: true };
  const sound = {
    smallRecord: '11 pwrite64(20</d/spool.db-wal>, "\\0 01KB2C3D4E5F6G7H first", 4096, 56) = 4096',
    smallSyncBegins: "11 fdatasync(20</d/spool.db-wal> <unfinished ...>",
    otherReply: '10 write(25<TCP:[127.0.0.1:1->127.0.0.1:2]>, "354 go on\\r\\n", 11) = 11',
    smallSyncEnds: "11 <... fdatasync resumed>) = 0",
    smallReply: '10 write(25<TCP:[127.0.0.1:1->127.0.0.1:2]>, "250 2.0.0 queued as 01KB2C3D4E5F6G7H\\r\\n", 38) = 38',
    created: '12 openat(AT_FDCWD</d>, "/d/bodies/b1", O_WRONLY|O_CREAT|O_EXCL|O_CLOEXEC, 0600) = 30</d/bodies/b1>',
    bodyStart: '12 write(30</d/bodies/b1>, "second\\r\\nline", 65536) = 65536',
    bodyEnd: '13 pwrite64(30</d/bodies/b1>, "the end", 65536, 65536) = 65536',
    bodySync: "13 fdatasync(30</d/bodies/b1>) = 0",
    folderSync: "12 fsync(31</d/bodies>) = 0",
    largeRecord: '11 pwrite64(20</d/spool.db-wal>, "\\0 01KB2C3D4E5F6G7H \\0 01KB2C3D4E5F6G7J b1", 4096, 4176) = 4096',
    largeSync: "11 fdatasync(20</d/spool.db-wal>) = 0",
    largeReply:
      '10 writev(25<TCP:[127.0.0.1:1->127.0.0.1:2]>, [{iov_base="250 2.0.0 queued as 01KB2C3D4E5F6G7J\\r\\n", iov_len=38}], 1) = 38',
    afterwards: '12 write(40</d/mail/example.test/ada/tmp/x>, "second", 65536) = 65536',
  };
  type Step = keyof typeof sound;
  const steps = Object.keys(sound) as Step[];
  const check = (trace: readonly string[]) => checkSyncOrder(trace.join("\n"), [small, large], "/d");
  const without = (...gone: Step[]) => steps.filter((step) => !gone.includes(step)).map((step) => sound[step]);
  /** The step done only behind another. */
  const late = (step: Step, behind: Step) =>
    steps.filter((one) => one !== step).flatMap((one) => (one === behind ? [sound[one], sound[step]] : [sound[one]]));

  test.each<[why: string, trace: readonly string[], violation: RegExp | undefined]>([
    ["the order of RELIABILITY P1", without(), undefined],
    ["no reply was seen", without("smallReply"), /7H \(first\): no reply/],
    [
      "the log was never synced",
      without("smallSyncBegins", "smallSyncEnds"),
      /7H \(first\): answered before the write-ahead log was synced/,
    ],
    [
      "the sync had begun but not returned",
      late("smallSyncEnds", "smallReply"),
      /7H \(first\): answered before the write-ahead log was synced/,
    ],
    [
      "the sync began before the record",
      late("smallRecord", "smallSyncEnds"),
      /7H \(first\): answered before the write-ahead log was synced/,
    ],
    ["the record came behind the reply", late("smallRecord", "smallReply"), /7H \(first\): answered before its record/],
    [
      "another message's sync is no sync of this one",
      without("largeSync"),
      /7J \(second\): answered before the write-ahead log was synced/,
    ],
    [
      "the sync failed",
      without().map((line) => (line === sound.largeSync ? line.replace("= 0", "= -1 EIO (Input/output error)") : line)),
      /7J .* synced/,
    ],
    [
      "the body was never synced",
      without("bodySync"),
      /7J \(second\): its record was written before its body file was synced/,
    ],
    [
      "the body was written on behind its sync",
      late("bodyEnd", "bodySync"),
      /7J \(second\): its record was written before its body file was synced/,
    ],
    [
      "the body was synced behind its record",
      late("bodySync", "largeRecord"),
      /7J \(second\): its record was written before its body file was synced/,
    ],
    ["the folder was never synced", without("folderSync"), /7J \(second\): its record was written before the folder/],
    ["the folder was synced before the file was in it", late("created", "folderSync"), /7J \(second\): .*the folder/],
    [
      "the folder was synced behind the record",
      late("folderSync", "largeSync"),
      /7J \(second\): its record was written before the folder/,
    ],
    [
      "the large body was in no file",
      without("created", "bodyStart", "bodyEnd", "bodySync"),
      /7J \(second\): its body was in no file/,
    ],
  ])("sees it: %s", (_why, trace, violation) => {
    const violations = check(trace);
    if (violation === undefined) expect(violations).toEqual([]);
    else expect(violations.join("\n")).toMatch(violation);
  });

  test("sees a folder that was synced before the body was renamed into its place", () => {
    const renamed = '12 rename("/d/bodies/b1", "/d/bodies/done/b1") = 0';
    const trace = without().flatMap((line) => (line === sound.folderSync ? [line, renamed] : [line]));
    expect(check(trace).join("\n")).toMatch(/the folder of its body file/);
    const synced = trace.flatMap((line) => (line === renamed ? [line, "12 fsync(32</d/bodies/done>) = 0"] : [line]));
    expect(check(synced)).toEqual([]);
  });
});
