/** The command line and its page tell the same verbs and flags. */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import type { Command } from "commander";
import { expect, test } from "vitest";
import { createProgram } from "../../../src/cli/onarrival.ts";
import { recordTerminal } from "../../support/terminal.ts";

const page = readFileSync(join(import.meta.dirname, "../../../docs/cli.md"), "utf8");
const program = createProgram(recordTerminal(), () => {});

interface Verb {
  readonly name: string;
  readonly command: Command;
}

/** Every verb that does something, with its whole name. */
function verbsOf(parent: Command, prefix = "onarrival"): Verb[] {
  return parent.commands.flatMap((command) => {
    const name = `${prefix} ${command.name()}`;
    return command.commands.length > 0 ? verbsOf(command, name) : [{ name, command }];
  });
}

const verbs = verbsOf(program);

test("docs/cli.md has every verb, and no verb that is not there", () => {
  const written = [...page.matchAll(/^\| `(onarrival [a-z ]+[a-z])/gm)].map((match) => match[1]);
  expect(written.toSorted()).toEqual(verbs.map((verb) => verb.name).toSorted());
});

test.each(verbs.map(({ name, command }) => [name, command] as const))(
  "docs/cli.md has every flag of %s, and the flag a sentence",
  (_name, command) => {
    for (const option of command.options) {
      expect(page).toContain(option.long);
      expect(option.description).toMatch(/\S/);
    }
  },
);

test.each(verbs.map(({ name, command }) => [name, command] as const))(
  "%s says in one line what it does",
  (_name, command) => {
    expect(command.description()).toMatch(/^[a-z].{10,}[^.]$/);
  },
);
