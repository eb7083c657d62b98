/** The pages made from the table of options are those of the table as it is. */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { parse } from "smol-toml";
import { describe, expect, test } from "vitest";
import { nameOptions } from "../../../src/config/environment.ts";
import { loadConfig } from "../../../src/config/load.ts";
import { configTable } from "../../../src/config/option-table.ts";
import { configJsonSchema, configReference } from "../../../src/config/reference.ts";

const root = join(import.meta.dirname, "../../..");
const read = (path: string) => readFileSync(join(root, path), "utf8");

describe("configReference", () => {
  test("is what docs/configuration.md holds; `node src/config/reference.ts --write` renews it", () => {
    expect(read("docs/configuration.md")).toBe(configReference());
  });

  test("tells every option", () => {
    const page = configReference();
    for (const { path } of nameOptions(configTable.children, { sinks: [{}] }))
      expect(page).toContain(`| \`${String(path.at(-1))}\` |`);
  });
});

describe("configJsonSchema", () => {
  test("is what docs/onarrival.schema.json holds", () => {
    expect(JSON.parse(read("docs/onarrival.schema.json"))).toEqual(configJsonSchema());
  });

  test("does not depend on the machine", () => {
    expect(JSON.stringify(configJsonSchema())).not.toContain(loadConfig({ env: {}, cwd: root }).config.hostname);
  });
});

describe("the default site's onarrival.toml", () => {
  test("says what holds without it", () => {
    const withFile = loadConfig({ env: {}, cwd: root });
    const without = loadConfig({ env: {}, cwd: join(root, "docs") });
    const moved = JSON.parse(JSON.stringify(without.config).replaceAll(join(root, "docs/"), `${root}/`));
    expect(withFile.file).toBe(join(root, "onarrival.toml"));
    expect(JSON.parse(JSON.stringify(withFile.config))).toEqual(moved);
  });

  test("has examples in its comments that load", () => {
    const commented = read("onarrival.toml").replace(/^# ((?:\[|\w+ = ).*)$/gm, "$1");
    expect(Object.keys(parse(commented))).toContain("sinks");
  });
});
