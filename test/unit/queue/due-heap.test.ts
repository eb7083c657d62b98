import fc from "fast-check";
import { expect, test } from "vitest";
import { DueHeap } from "../../../src/queue/due-heap.ts";

test("DueHeap gives what is due first, and first in first out for one time, whatever was taken in between", () => {
  fc.assert(
    fc.property(
      fc.array(fc.oneof(fc.constant("pop" as const), fc.integer({ min: 0, max: 20 })), { maxLength: 200 }),
      (steps) => {
        const heap = new DueHeap<{ readonly dueAt: number; readonly order: number }>();
        let model: { readonly dueAt: number; readonly order: number }[] = [];
        steps.forEach((step, order) => {
          if (step === "pop") {
            model = model.sort((one, other) => one.dueAt - other.dueAt || one.order - other.order);
            expect(heap.peek()).toEqual(model[0]);
            expect(heap.pop()).toEqual(model.shift());
          } else {
            heap.push({ dueAt: step, order });
            model.push({ dueAt: step, order });
          }
          expect(heap.size).toBe(model.length);
        });
      },
    ),
  );
});
