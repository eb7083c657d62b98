import fc from "fast-check";
import { expect, test } from "vitest";
import { type Due, DueHeap } from "../../../src/queue/due-heap.ts";

test("DueHeap gives what is due first, and first in first out for one time, whatever was taken out in between", () => {
  fc.assert(
    fc.property(
      fc.array(fc.oneof(fc.constant("pop" as const), fc.constant("remove" as const), fc.integer({ min: 0, max: 20 })), {
        maxLength: 200,
      }),
      (steps) => {
        const heap = new DueHeap<Due>();
        let model: Due[] = [];
        steps.forEach((step, order) => {
          if (step === "pop") {
            model = model.sort((one, other) => one.dueAt - other.dueAt || one.order - other.order);
            expect(heap.peek()).toBe(model[0]);
            expect(heap.pop()).toBe(model.shift());
          } else if (step === "remove") {
            // Any of them: here the one that came so many ago.
            const [entry] = model.splice(order % Math.max(model.length, 1), 1);
            if (entry) {
              heap.remove(entry);
              expect(entry.place).toBe(-1);
            }
          } else {
            const entry = { dueAt: step, order, place: -1 };
            heap.push(entry);
            model.push(entry);
          }
          expect(heap.size).toBe(model.length);
          expect(new Set(heap)).toEqual(new Set(model));
        });
      },
    ),
  );
});
