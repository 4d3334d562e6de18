import assert from "node:assert/strict";
import { PassThrough } from "node:stream";
import { describe, it } from "vitest";
import { createProgress } from "../../src/commands/output.ts";
import { ManualClock } from "../fakes/manual-clock.ts";

const MIB = 2 ** 20;

function setUp(isTTY: boolean) {
  const clock = new ManualClock();
  const stream = Object.assign(new PassThrough(), { isTTY });
  const progress = createProgress(stream, clock);
  return { clock, progress, drawn: () => String(stream.read() ?? "") };
}

describe("the progress of a long transfer", () => {
  it("is drawn over itself on a terminal, at most ten times a second, and ends its line", async () => {
    const { clock, progress, drawn } = setUp(true);
    progress(0, 4 * MIB);
    await clock.advance(1_000);
    progress(MIB, 4 * MIB);
    await clock.advance(50);
    progress(2 * MIB, 4 * MIB);
    await clock.advance(50);
    progress(3 * MIB, 4 * MIB);
    progress(4 * MIB, 4 * MIB);
    assert.equal(drawn(), "\r1.0 of 4.0 MiB read\r3.0 of 4.0 MiB read\r4.0 of 4.0 MiB read\n");
  });

  it("says what was read where the total is unknown", async () => {
    const { clock, progress, drawn } = setUp(true);
    progress(0, undefined);
    await clock.advance(1_000);
    progress(MIB, undefined);
    assert.equal(drawn(), "\r1.0 MiB read");
  });

  it("stays silent for a short transfer, and where nobody watches", async () => {
    const short = setUp(true);
    short.progress(0, MIB);
    await short.clock.advance(999);
    short.progress(MIB, MIB);
    assert.equal(short.drawn(), "");
    const piped = setUp(false);
    piped.progress(0, MIB);
    await piped.clock.advance(5_000);
    piped.progress(MIB, MIB);
    assert.equal(piped.drawn(), "");
  });
});
