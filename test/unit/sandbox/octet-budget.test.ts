import { describe, expect, it } from "vitest";
import { OctetBudget } from "../../../sandbox/octet-budget.ts";

describe("OctetBudget", () => {
  it("gives room in the order it was asked for, and what is too large to one alone", async () => {
    const budget = new OctetBudget(10);
    const order: string[] = [];
    const take = (name: string, octets: number) => budget.take(octets).then(() => order.push(name));
    await take("a", 6);
    const rest = [take("b", 5), take("c", 1), take("d", 99), take("e", 1)];
    await Promise.resolve();
    expect(order).toEqual(["a"]);
    budget.giveBack(6);
    await Promise.all(rest.slice(0, 2));
    expect(order).toEqual(["a", "b", "c"]);
    budget.giveBack(5);
    await Promise.resolve();
    expect(order).toEqual(["a", "b", "c"]);
    budget.giveBack(1);
    await rest[2];
    expect(order).toEqual(["a", "b", "c", "d"]);
    budget.giveBack(99);
    await rest[3];
    expect(order).toEqual(["a", "b", "c", "d", "e"]);
  });

  it("gives all of it, and not one octet more", async () => {
    const budget = new OctetBudget(10);
    await budget.take(4);
    await budget.take(6);
    let came = false;
    const more = budget.take(1).then(() => {
      came = true;
    });
    await Promise.resolve();
    expect(came).toBe(false);
    budget.giveBack(4);
    await more;
  });
});
